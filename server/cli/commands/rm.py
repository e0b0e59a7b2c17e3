"""`rm`: unload and delete models, one after the other, up to the first that cannot be deleted."""

import sys

from server.cli.call import Call
from server.cli.commands.stop import unload
from server.cli.errors import ServerError


def run(call: Call) -> None:
    for name in call.args:
        try:
            unload(call.client, name)
        except ServerError as error:
            if error.status != 404:
                print(f"Warning: unable to stop model '{name}'", file=sys.stderr)
        call.client.call("DELETE", "/api/delete", {"model": name})
        print(f"deleted '{name}'")
