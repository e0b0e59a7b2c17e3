"""Compilers, the environment of the build, and running its commands."""

import shlex
import sys
from pathlib import Path

import pytest

from tools.install import build, compiler
from tools.install.choices import Plan, Wishes, plan
from tools.install.commands import capture, run_logged
from tools.install.compiler import Compiler
from tools.install.errors import CommandFailed, ToolMissing
from tools.install.machine import Cpu, Machine

GCC = Compiler(cc="/usr/bin/gcc", cxx="/usr/bin/g++", version="g++ 12", amx_switches=True)
OLD = Compiler(cc="cc", cxx="c++", version="c++ 7", amx_switches=False)


def planned(**wishes: str) -> Plan:
    return plan(Wishes(**wishes), Machine("Linux", "x86_64", Cpu("Xeon", frozenset()), (), {}, ""))  # pyright: ignore[reportArgumentType] # text only


def arguments(made: dict[str, str]) -> list[str]:
    return shlex.split(made["CMAKE_ARGS"])


def test_amx_is_switched_off_in_both_languages_on_top_of_the_users_flags() -> None:
    found = arguments(build.build_variables({"CFLAGS": "-O2"}, planned(), GCC))
    assert "-DCMAKE_C_FLAGS=-O2 -mno-amx-tile -mno-amx-int8 -mno-amx-bf16" in found
    assert "-DCMAKE_CXX_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" in found


def test_a_compiler_that_does_not_know_amx_is_not_told_about_it() -> None:
    assert "amx" not in build.build_variables({}, planned(), OLD)["CMAKE_ARGS"]


def test_the_users_definitions_come_last() -> None:
    assert arguments(build.build_variables({}, planned(cmake_args="-DGGML_BLAS=ON"), GCC))[-1] == "-DGGML_BLAS=ON"


def test_nothing_is_built_that_is_not_shipped() -> None:
    made = build.build_variables({"SOURCE_DATE_EPOCH": "0"}, planned(), GCC)
    assert f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={build.LEAN}" in arguments(made)
    assert build.LEAN.exists()
    assert "SOURCE_DATE_EPOCH" not in made
    assert int(made["CMAKE_BUILD_PARALLEL_LEVEL"]) >= 1
    assert (
        build.build_variables({"CMAKE_BUILD_PARALLEL_LEVEL": "7"}, planned(), GCC)["CMAKE_BUILD_PARALLEL_LEVEL"] == "7"
    )


def test_a_portable_build_loses_its_amx_variant_unless_it_is_wished_for(tmp_path: Path) -> None:
    names = {"libggml-cpu-sapphirerapids.so", "libggml-cpu-zen4.so"}
    for name in names:
        (tmp_path / name).touch()
    build.leave_out_amx(tmp_path, wished=True)
    assert {path.name for path in tmp_path.iterdir()} == names
    build.leave_out_amx(tmp_path, wished=False)
    assert {path.name for path in tmp_path.iterdir()} == {"libggml-cpu-zen4.so"}


def test_the_compilers_of_this_machine() -> None:
    found = compiler.find()
    assert found.version
    assert Path(found.cxx).is_absolute()


@pytest.mark.parametrize(("packages", "command"), [("apt-get", "apt-get install -y g++ make"), ("", "install g\\+\\+")])
def test_a_machine_without_compiler_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: str, command: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="no C\\+\\+ compiler") as caught:
        compiler.find({}, packages)
    assert command.replace("\\", "") in str(caught.value)


def test_a_compiler_without_its_library_is_found_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo broken 1.0 && exit 0\necho 'no vector' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ToolMissing, match=r"cannot compile C\+\+17: no vector"):
        compiler.find({"CXX": str(broken)})


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_builds_progress_is_told_in_tenths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "for i in range(1, 101): print(f'  [{i}/100] compiling')"
    run_logged("building", script(source), {}, tmp_path / "logs" / "build.log")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "  building   1 %"
    assert told[-1] == "  building 100 %"
    assert len(told) == 11
    assert (tmp_path / "logs" / "build.log").read_text().count("compiling") == 100


def test_a_failed_command_says_its_last_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    with pytest.raises(CommandFailed, match="line 99") as caught:
        run_logged("building", script("for i in range(100): print('line', i)\nraise SystemExit(3)"), {}, log)
    assert caught.value.status == 3
    assert "line 1\n" not in caught.value.tail
    assert str(log) in str(caught.value)


def test_a_command_that_is_not_there() -> None:
    assert capture(["/there/is/no/such/program"])[0] == 127
