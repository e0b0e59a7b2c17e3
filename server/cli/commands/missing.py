"""Commands of the reference that are not there: they say so instead of being unknown."""

from server.cli.call import Call
from server.cli.errors import CliError


def run(call: Call) -> None:
    raise CliError(f"{call.command} is not available in {call.program}")
