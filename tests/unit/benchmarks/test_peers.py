"""How the peers are built."""

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.llamabench import rate_of
from benchmarks.peers import Peers, all_definitions, peers_key
from benchmarks.processes import clean_environment
from tools.install.choices import Plan
from tools.install.compiler import Compiler

PLAN = Plan("cpu", "native", False, True, ("-DGGML_CCACHE=OFF",), "-DGGML_OPENMP=ON", "", "", "")


def compiler(*, amx_switches: bool) -> Compiler:
    return Compiler("gcc", "g++", "g++ 12", amx_switches)


def test_definitions() -> None:
    """No download, no user interface, no tests and examples; what the installation defines; AMX off."""
    made = all_definitions(PLAN, compiler(amx_switches=True), x86=True)
    for name in ("CURL", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_UI", "USE_PREBUILT_UI"):
        assert f"-DLLAMA_{name}=OFF" in made
    assert {"-DGGML_CCACHE=OFF", "-DGGML_OPENMP=ON"} <= set(made)
    assert any(one.startswith("-DCMAKE_CXX_FLAGS=") and "-mno-amx-tile" in one for one in made)


def test_amx_switches_only_where_they_are_known() -> None:
    """Other processors and older compilers do not take them."""
    for made in (
        all_definitions(PLAN, compiler(amx_switches=False), x86=True),
        all_definitions(PLAN, compiler(amx_switches=True), x86=False),
    ):
        assert not any("amx" in one for one in made)


def test_key_names_what_the_build_depends_on() -> None:
    """Another engine or another definition is another build."""
    keys = {peers_key("a", ("x",)), peers_key("b", ("x",)), peers_key("a", ("y",))}
    assert len(keys) == 3
    assert peers_key("a", ("x",)).startswith("a-")


def test_half_a_build_is_none(tmp_path: Path) -> None:
    """Both programs have to be there."""
    peers = Peers(tmp_path)
    peers.server.touch()
    assert not peers.complete
    peers.bench.touch()
    assert peers.complete


def test_servers_inherit_no_settings() -> None:
    """What the user has set for daemons and engines would tilt the comparison."""
    given = {"PATH": "/bin", "OLLAMA_FLASH_ATTENTION": "0", "GLIBC_TUNABLES": "x", "OMP_NUM_THREADS": "1"}
    assert clean_environment(given, {"OLLAMA_HOST": "h"}) == {"PATH": "/bin", "OLLAMA_HOST": "h"}


def test_llama_bench_output() -> None:
    """One test with its average; anything else is refused."""
    assert rate_of(b'[{"n_gen": 8, "avg_ts": 12.5}]') == 12.5
    for output in (b"", b"[]", b"[{}]", b'[{"avg_ts": 1}, {"avg_ts": 2}]', b"{}"):
        with pytest.raises(BenchmarkError):
            rate_of(output)
