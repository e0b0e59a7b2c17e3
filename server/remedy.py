"""What to say when native code dies by a signal: the instructions that are the likely cause, and what builds without.

Pure, but for `read_processor`.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.build import Build

_AMX: Final = "amx_tile"
_AVX512: Final = "avx512f"
_AVX2: Final = "avx2"
_NO_AMX: Final = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"

_NO_SETS: Final = " ".join(f"-DGGML_{name}=OFF" for name in ("SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C"))


@dataclass(frozen=True, slots=True)
class Processor:
    model: str
    instructions: frozenset[str]
    """As Linux spells them; empty elsewhere."""


@dataclass(frozen=True, slots=True)
class Remedy:
    cause: str
    command: str


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """The first processor of the machine."""
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return Processor("", frozenset())
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    instructions = fields.get("flags") or fields.get("Features", "")
    return Processor(fields.get("model name", fields.get("CPU part", "")), frozenset(instructions.split()))


def explain(number: int, error: str, last_line: str, build: Build | None, processor: Processor) -> list[str]:
    """Lines for the log about a trial that failed: by the signal `number`, or with `error` when that is 0."""
    said = f" Its last words: {last_line}" if last_line else ""
    if not number:
        return [f"llama.cpp does not work on this machine: {error}.{said}"]
    name = _name(number)
    if number == signal.SIGKILL:
        return [f"the trial run of llama.cpp was killed ({name}); is there enough memory?{said}"]
    remedy = find(number, build, processor)
    lines = [f"llama.cpp crashes on this machine ({name}); every request to a model would fail.{said}"]
    lines.append(f"The likely cause: {remedy.cause}. To rebuild without: {remedy.command}")
    return lines


def find(number: int, build: Build | None, processor: Processor) -> Remedy:
    """The likeliest cause of a death by the signal `number`."""
    # A GPU library crashes in many ways, but it contains no instruction that this processor lacks.
    if build and build.accel != "cpu" and number != signal.SIGILL:
        return Remedy(f"the {build.accel} library or its driver", "ACCEL=cpu make install")
    has = processor.instructions
    # Installed by other means than ours, it is compiled for what the processor claims to be: AMX included.
    amx = build.amx if build else True
    isa = build.isa if build else "native"
    if amx and _AMX in has:
        return Remedy("AMX instructions, which virtual machines advertise and trap on", _rebuild(build, "amx"))
    if isa == "native" and _AVX512 in has:
        return Remedy("AVX-512 instructions", _rebuild(build, "avx2"))
    if isa in {"native", "avx2"} and (_AVX2 in has or isa == "avx2"):
        return Remedy("AVX2 instructions", _rebuild(build, "baseline"))
    if isa == "native":
        return Remedy("instructions of this processor that the compiler chose", _rebuild(build, "baseline"))
    return Remedy(
        "unknown; the build uses no optional instructions", "make install with another compiler (CXX=clang++)"
    )


def _rebuild(build: Build | None, without: str) -> str:
    if build:
        return "LLAMAD_AMX=0 make install" if without == "amx" else f"LLAMAD_ISA={without} make install"
    arguments = {
        "amx": f"-DCMAKE_C_FLAGS='{_NO_AMX}' -DCMAKE_CXX_FLAGS='{_NO_AMX}'",
        "avx2": "-DGGML_NATIVE=OFF",
        "baseline": f"-DGGML_NATIVE=OFF {_NO_SETS}",
    }[without]
    pip = "pip install --force-reinstall --no-deps --no-cache-dir --no-binary :all: llama-cpp-python==0.3.36"
    return f'CMAKE_ARGS="{arguments}" {pip}'


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
