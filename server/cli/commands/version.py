"""`--version`: the daemon's version, and the client's where they differ."""

from server.cli.answer import text
from server.cli.call import Call
from server.cli.errors import CliError
from server.version import PROGRAM, PROGRAM_VERSION, REFERENCE_VERSION


def run(call: Call) -> None:
    try:
        version = text(call.client.call("GET", "/api/version"), "version")
    except CliError:
        version = ""
        print("Warning: could not connect to a running Ollama instance")
    if version:
        print(f"ollama version is {version}")
    if version != REFERENCE_VERSION:
        print(f"Warning: client version is {REFERENCE_VERSION}")
    if call.on("verbose"):
        print(f"{PROGRAM} version is {PROGRAM_VERSION}")
        print(f"llama-cpp-python version is {_engine_version()}")


def _engine_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return "unknown"
