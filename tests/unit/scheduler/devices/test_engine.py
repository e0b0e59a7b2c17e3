"""Asking the engine for its devices: the process, what it prints, and what when it fails."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.devices.engine import (
    EngineDevice,
    Listing,
    engine_backends,
    hidden,
    list_devices,
    probe,
    read_listing,
    vulkan_indexes,
)
from scheduler.devices.errors import ProbeFailed

pytestmark = pytest.mark.anyio

ALL = frozenset({"CUDA", "ROCm", "Vulkan"})


def command(code: str) -> Sequence[str]:
    return (sys.executable, "-S", "-E", "-c", code)


async def test_a_list_is_read_and_complaints_beside_it_are_kept() -> None:
    said = "failed to initialize CUDA: unknown error"
    listed = '[{"library":"MTL","name":"MTL0","kind":"gpu"}]'
    code = f"import sys; print({listed!r}); print({said!r}, file=sys.stderr)"
    listing = await probe({}, 30, command=command(code))
    assert listing == Listing((EngineDevice("Metal", "MTL0", "gpu"),), said)


@pytest.mark.parametrize(
    ("code", "limit", "reason"),
    [
        ("import os; os.abort()", 30.0, "signal: aborted"),
        ("import sys; sys.exit('CUDA error: unknown error')", 30.0, "exit status 1: CUDA error: unknown error"),
        ("print('hello')", 30.0, "cannot be read"),
        ("import time; time.sleep(60)", 0.05, "within 0.05 seconds"),
    ],
)
async def test_a_process_that_crashes_hangs_or_talks_nonsense(code: str, limit: float, reason: str) -> None:
    with pytest.raises(ProbeFailed, match=reason):
        await probe({}, limit, command=command(code))


async def test_a_process_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(ProbeFailed, match="cannot be asked"):
        await probe({}, 1, command=(str(tmp_path / "nothing"),))


async def test_the_probe_sees_the_user_s_devices_in_the_driver_s_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GGML_VK_VISIBLE_DEVICES")
    each = "dict(library='x', kind='gpu', name=os.environ.get(n, ''))"
    code = f"import os, json; print(json.dumps([{each} for n in {names}]))"
    shown = await probe(hidden(frozenset({"CUDA"})), 30, command=command(code))
    assert [one.name for one in shown.devices] == ["1,0", "PCI_BUS_ID", "-1"]


@given(st.binary() | st.from_regex(r'\[\{"library": ?.{0,20}\}\]', fullmatch=True).map(str.encode))
def test_any_output_is_a_list_or_an_error(output: bytes) -> None:
    try:
        found = read_listing(output)
    except ProbeFailed:
        return
    assert isinstance(found, tuple)


@pytest.mark.parametrize(
    ("archs", "compute", "runs"),
    [
        ("750,800", (8, 6), True),
        ("750,800", (7, 0), False),
        ("", (3, 5), True),
        ("890", (0, 0), True),
        ("890", (8, 9), True),
    ],
)
def test_code_for_a_gpu(archs: str, compute: tuple[int, int], runs: bool) -> None:
    assert EngineDevice("CUDA", "CUDA0", "gpu", archs=archs).compiled_for(compute) is runs


class Engine:
    """Lists one GPU a library it may show, crashes with one, and has Vulkan devices by index."""

    def __init__(self, *, crashes_with: str = "", vulkan: Sequence[str] = ()) -> None:
        self.crashes_with = crashes_with
        self.vulkan = vulkan
        self.asked: list[Mapping[str, str]] = []

    async def __call__(self, extra: Mapping[str, str], limit: float) -> Listing:
        self.asked.append(extra)
        variables = {
            "CUDA": "CUDA_VISIBLE_DEVICES",
            "ROCm": "ROCR_VISIBLE_DEVICES",
            "Vulkan": "GGML_VK_VISIBLE_DEVICES",
        }
        shown = [library for library, variable in variables.items() if extra.get(variable) != "-1"]
        if self.crashes_with in shown:
            raise ProbeFailed("signal: aborted")
        index = extra.get("GGML_VK_VISIBLE_DEVICES", "-1")
        if index != "-1":
            names = [name for name in self.vulkan[int(index) : int(index) + 1] if name]
            return Listing(tuple(EngineDevice("Vulkan", "Vulkan0", "gpu", name) for name in names))
        return Listing(tuple(EngineDevice(library, f"{library}0", "gpu") for library in shown))


async def test_a_backend_that_crashes_costs_only_its_own_devices() -> None:
    listing = await list_devices(Engine(crashes_with="ROCm"), ALL, 1)
    assert [one.library for one in listing.gpus] == ["CUDA", "Vulkan"]
    assert listing.complaint == "signal: aborted"


async def test_one_backend_that_crashes_is_an_error() -> None:
    with pytest.raises(ProbeFailed):
        await list_devices(Engine(crashes_with="CUDA"), frozenset({"CUDA"}), 1)


def test_rocm_is_not_hidden_by_cuda_s_variable() -> None:
    assert hidden(frozenset({"ROCm"})) == {"GGML_VK_VISIBLE_DEVICES": "-1"}
    assert hidden(frozenset({"CUDA", "Vulkan"})) == {"ROCR_VISIBLE_DEVICES": "-1"}


async def test_metal_is_tried_again_without_what_some_systems_cannot_compile() -> None:
    async def ask(extra: Mapping[str, str], limit: float) -> Listing:
        if "GGML_METAL_TENSOR_DISABLE" not in extra:
            raise ProbeFailed("signal: aborted")
        return Listing((EngineDevice("Metal", "MTL0", "gpu"),))

    assert (await list_devices(ask, frozenset({"Metal"}), 1, platform="darwin")).gpus


async def test_vulkan_devices_are_named_by_their_index_among_all() -> None:
    engine = Engine(vulkan=["llvmpipe", "", "Intel", "NVIDIA", "never asked"])
    wanted = [EngineDevice("Vulkan", "Vulkan0", "gpu", "NVIDIA"), EngineDevice("Vulkan", "Vulkan1", "gpu", "Intel")]
    assert await vulkan_indexes(engine, wanted, None, 1) == {"Vulkan0": "3", "Vulkan1": "2"}
    assert len(engine.asked) == 4
    assert await vulkan_indexes(engine, wanted, "3,1", 1) == {"Vulkan0": "3", "Vulkan1": "1"}
    assert await vulkan_indexes(engine, [EngineDevice("Vulkan", "Vulkan0", "gpu", "gone")], None, 1) == {}


def test_backends_are_known_without_loading_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("libggml-cuda.so", "libggml-cpu.so", "ggml-vulkan.dll", "libggml-metal.dylib", "libggml-base.so.0"):
        (tmp_path / name).touch()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    before = set(sys.modules)
    assert engine_backends() == {"CUDA", "Vulkan", "Metal"}
    assert "llama_cpp" not in set(sys.modules) - before


def test_a_build_in_one_file_may_have_all_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libllama.so").touch()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    assert engine_backends() == {"CUDA", "ROCm", "Vulkan", "Metal"}


async def test_this_build_lists_the_processor() -> None:
    """The real process, with the real engine."""
    listing = await probe(hidden(frozenset()), 60)
    assert [one.kind for one in listing.devices if one.library == "CPU"] == ["cpu"]
    assert all(one.total > 0 for one in listing.devices if one.kind == "cpu")
    assert msgspec.json.encode(listing)
