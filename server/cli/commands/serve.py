"""`serve`: become the daemon."""

import os
from importlib import import_module
from typing import Final

from server.cli.call import Call
from server.settings import Settings

_DAEMON: Final = "server.lifecycle"
"""Named and not imported, as nothing else of the command line may depend on the HTTP server."""


def run(_call: Call) -> int:
    exit_code: int = import_module(_DAEMON).serve(Settings.from_env(os.environ))
    return exit_code
