"""`stop`: take a model out of memory."""

from server.cli import progress
from server.cli.call import Call
from server.cli.errors import CliError, ServerError
from server.cli.transport import Client, last


def run(call: Call) -> None:
    name = call.args[0]
    try:
        with progress.wheel() as shown:
            shown.status("")
            unload(call.client, name)
    except ServerError as error:
        if error.status == 404:
            raise CliError(f'couldn\'t find model "{name}" to stop') from error
        raise


def unload(client: Client, name: str) -> None:
    """An empty prompt that is kept for no time: it ends a loaded model and loads none."""
    client.call("POST", "/api/show", {"model": name})
    last(client.stream("/api/generate", {"model": name, "prompt": "", "keep_alive": "0s"}))
