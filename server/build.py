"""How this installation's llama.cpp was built, as tools/install recorded it beside the interpreter."""

import sys
from pathlib import Path
from typing import Final

import msgspec

NAME: Final = "llamad-build.json"


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """Members that a record does not have are empty."""

    accel: str = "cpu"
    isa: str = "native"
    """native, avx2, baseline or portable."""
    amx: bool = False
    """AMX instructions are compiled in."""
    flags: list[str] = []
    gpu_found: str = ""
    """A GPU of this machine, whether or not the build uses it: `an NVIDIA GPU`."""
    hint: str = ""
    """The command that makes the build use it; empty when it does, or when there is none."""
    llama_cpp_version: str = ""
    key: str = ""


def read(prefix: Path = Path(sys.prefix)) -> Build | None:
    """The record of the running environment; None where something else than `make install` installed it."""
    try:
        return msgspec.json.decode((prefix / NAME).read_bytes(), type=Build)
    except (OSError, msgspec.DecodeError):
        return None
