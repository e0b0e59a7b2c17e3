"""What the operator's wishes leave of the GPUs there are."""

import pytest

from scheduler.devices import Device
from scheduler.devices.choice import Wishes, admit, deduplicate, wanted_libraries

GIB = 1 << 30
PRESENT = frozenset({"CUDA", "Vulkan"})


def device(name: str = "CUDA0", *, free: int = 8 * GIB, total: int = 8 * GIB, **fields: object) -> Device:
    library = name.rstrip("0123456789")
    return Device(name, library, name, total, free, **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "vulkan", "wanted", "logged"),
    [
        ("", True, {"CUDA", "Vulkan"}, ""),
        ("", False, {"CUDA"}, ""),
        ("cuda", True, {"CUDA"}, "library that OLLAMA_LLM_LIBRARY names"),
        ("cuda_v12", True, {"CUDA"}, ""),
        (" Vulkan ", True, {"Vulkan"}, ""),
        ("vulkan", False, {"Vulkan"}, ""),
        ("cpu", True, set[str](), ""),
        ("cpu_avx2", True, set[str](), ""),
        ("rocm_v6", True, set[str](), "is not in this build"),
        ("metal", True, set[str](), "available=['cpu', 'cuda', 'vulkan']"),
        ("cudart", True, {"CUDA", "Vulkan"}, "unknown OLLAMA_LLM_LIBRARY is ignored"),
        ("nonsense", False, {"CUDA"}, "available=['cpu', 'cuda', 'vulkan']"),
    ],
)
def test_the_library_that_is_used(
    name: str, vulkan: bool, wanted: set[str], logged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wanted_libraries(Wishes(library=name, vulkan=vulkan), PRESENT) == wanted
    assert logged in capsys.readouterr().out


def test_each_gpu_once_and_by_its_better_library() -> None:
    cuda = device("CUDA0", pci_id="0000:01:00.0")
    same = device("Vulkan0", pci_id="0000:01:00.0")
    other = device("Vulkan1", pci_id="0000:02:00.0")
    assert deduplicate([same, other, cuda]) == [cuda, other]


def test_without_pci_ids_name_and_size_decide() -> None:
    cuda = device("CUDA0", description="NVIDIA GeForce RTX 4090 (UUID 1)")
    same = device("Vulkan0", description="nvidia geforce rtx-4090", total=8 * GIB + (300 << 20))
    larger = device("Vulkan1", description="nvidia geforce rtx-4090", total=10 * GIB)
    assert deduplicate([cuda, same, larger]) == [cuda, larger]


def test_two_equal_cards_of_one_library_are_two() -> None:
    assert len(deduplicate([device("CUDA0"), device("CUDA1")])) == 2


def test_devices_without_memory_and_the_processor_in_disguise_are_none() -> None:
    assert (
        deduplicate([device(total=0, free=0), device("Vulkan0", description="llvmpipe (LLVM 15.0.7, 256 bits)")]) == []
    )


@pytest.mark.parametrize(
    ("gpu", "igpu", "admitted"),
    [
        (device("CUDA0"), False, True),
        (device("CUDA0", integrated=True), None, True),
        (device("CUDA0", integrated=True), False, False),
        (device("ROCm0", integrated=True, gfx="gfx1151"), None, True),
        (device("ROCm0", integrated=True, gfx="gfx1103"), None, False),
        (device("ROCm0", integrated=True, gfx="gfx1103"), True, True),
        (device("Metal", integrated=True), False, True),
        (device("Vulkan0", integrated=True), None, False),
    ],
)
def test_integrated_gpus_that_are_used(
    gpu: Device, igpu: bool | None, admitted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bool(admit([gpu], igpu)) is admitted
    told = "to enable, set OLLAMA_IGPU_ENABLE=1" in capsys.readouterr().out
    assert told is (not admitted and igpu is None), "who has said no needs no advice"
