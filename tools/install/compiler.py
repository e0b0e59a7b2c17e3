"""The C and C++ compilers that build llama.cpp."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from .choices import NO_AMX
from .commands import capture
from .errors import ToolMissing

_INSTALL = {
    "apt-get": "sudo apt-get install -y g++ make",
    "dnf": "sudo dnf install -y gcc-c++ make",
    "pacman": "sudo pacman -S --needed gcc make",
    "zypper": "sudo zypper install -y gcc-c++ make",
    "brew": "xcode-select --install",
}


@dataclass(frozen=True, slots=True)
class Compiler:
    cc: str
    cxx: str
    version: str
    """First line of `--version`."""
    amx_switches: bool
    """It knows the switches that leave AMX out; one that does not never emits AMX either."""


def find(environ: Mapping[str, str] = os.environ, packages: str = "") -> Compiler:
    """The compilers of CC and CXX, or the system's. Raises ToolMissing."""
    remedy = "Get one: " + _INSTALL.get(packages, "install g++ (GCC 9 or newer) or clang++")
    cxx = _first(environ.get("CXX"), "g++", "c++", "clang++")
    if cxx is None:
        raise ToolMissing("llama.cpp is compiled for this machine, and there is no C++ compiler (g++).", remedy)
    cc = _first(environ.get("CC"), "gcc", "cc", "clang")
    if cc is None:
        raise ToolMissing("llama.cpp is compiled for this machine, and there is no C compiler (gcc).", remedy)
    status, version = capture([cxx, "--version"])
    if status:
        raise ToolMissing(f"{cxx} does not work: {version.strip()}", remedy)
    # An installed compiler without the C++ library and its headers is what half an installation looks like.
    probe = [cxx, "-x", "c++", "-std=c++17", "-fsyntax-only", "-include", "vector", os.devnull]
    status, output = capture(probe)
    if status:
        raise ToolMissing(f"{cxx} cannot compile C++17: {output.strip()}", remedy)
    switches, _ = capture([cc, *NO_AMX, "-x", "c", "-fsyntax-only", os.devnull])
    return Compiler(cc=cc, cxx=cxx, version=version.splitlines()[0].strip(), amx_switches=switches == 0)


def _first(*names: str | None) -> str | None:
    return next((path for name in names if name and (path := shutil.which(name))), None)
