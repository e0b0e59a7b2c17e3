"""What is said when native code dies."""

import signal
from pathlib import Path

import pytest

from server.build import Build
from server.remedy import Processor, explain, find, read_processor

SAPPHIRE = Processor("Xeon", frozenset({"avx2", "avx512f", "amx_tile"}))
SKYLAKE = Processor("Xeon", frozenset({"avx2", "avx512f"}))
HASWELL = Processor("i7", frozenset({"avx2"}))
ARM = Processor("0xd40", frozenset({"asimd", "sve"}))


@pytest.mark.parametrize(
    ("build", "processor", "number", "cause", "command"),
    [
        (Build(amx=True), SAPPHIRE, signal.SIGSEGV, "AMX", "LLAMAD_AMX=0 make install"),
        (Build(amx=False), SAPPHIRE, signal.SIGILL, "AVX-512", "LLAMAD_ISA=avx2 make install"),
        (Build(amx=True), SKYLAKE, signal.SIGILL, "AVX-512", "LLAMAD_ISA=avx2 make install"),
        (Build(), HASWELL, signal.SIGILL, "AVX2", "LLAMAD_ISA=baseline make install"),
        (Build(isa="avx2"), SAPPHIRE, signal.SIGILL, "AVX2", "LLAMAD_ISA=baseline make install"),
        (Build(isa="avx2"), Processor("old", frozenset()), signal.SIGILL, "AVX2", "LLAMAD_ISA=baseline make install"),
        (Build(), ARM, signal.SIGILL, "compiler chose", "LLAMAD_ISA=baseline make install"),
        (Build(isa="baseline"), HASWELL, signal.SIGSEGV, "unknown", "CXX=clang++"),
        (Build(accel="cuda", amx=True), SAPPHIRE, signal.SIGABRT, "cuda library", "ACCEL=cpu make install"),
        (Build(accel="cuda", amx=True), SAPPHIRE, signal.SIGILL, "AMX", "LLAMAD_AMX=0 make install"),
        (None, SAPPHIRE, signal.SIGSEGV, "AMX", "-mno-amx-tile"),
        (None, SKYLAKE, signal.SIGILL, "AVX-512", "-DGGML_NATIVE=OFF"),
        (None, HASWELL, signal.SIGILL, "AVX2", "-DGGML_AVX=OFF"),
    ],
)
def test_the_likely_cause_and_the_command(
    build: Build | None, processor: Processor, number: int, cause: str, command: str
) -> None:
    remedy = find(number, build, processor)
    assert cause in remedy.cause
    assert command in remedy.command


def test_a_crash_names_the_signal_the_cause_and_the_last_words() -> None:
    lines = explain(signal.SIGSEGV, "", "load_tensors: done", Build(amx=True), SAPPHIRE)
    assert "crashes on this machine (SIGSEGV)" in lines[0]
    assert lines[0].endswith("Its last words: load_tensors: done")
    assert lines[1].startswith("The likely cause: AMX instructions")
    assert lines[1].endswith("To rebuild without: LLAMAD_AMX=0 make install")


def test_a_kill_is_no_matter_of_instructions() -> None:
    (line,) = explain(signal.SIGKILL, "", "", Build(amx=True), SAPPHIRE)
    assert "enough memory" in line


def test_an_error_in_words_is_passed_on() -> None:
    (line,) = explain(0, "no such file", "", Build(), SAPPHIRE)
    assert "no such file" in line


def test_a_signal_without_name() -> None:
    assert "signal 120" in explain(120, "", "", Build(), SAPPHIRE)[0]


def test_the_processor_as_linux_describes_it(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name : Xeon\nflags : avx2 amx_tile\n\nmodel name : other\nflags : none\n")
    assert read_processor(path) == Processor("Xeon", frozenset({"avx2", "amx_tile"}))
    path.write_text("CPU part : 0xd40\nFeatures : asimd sve\n")
    assert read_processor(path) == ARM
    assert read_processor(tmp_path / "none") == Processor("", frozenset())
