"""What a loaded model occupies, from the engine's own figures."""

import pytest

from scheduler.frames import Buffer, Loaded
from scheduler.sizes import measured, on_gpu

MIB = 1 << 20


def loaded(buffers: list[tuple[str, str, float]], layers: tuple[int, int] = (0, 0)) -> Loaded:
    return Loaded(
        num_ctx=1,
        num_ctx_train=1,
        vocab_size=1,
        embedding_width=1,
        add_bos=False,
        bos="",
        eos="",
        can_shift=True,
        buffers=[Buffer(device, kind, int(size * MIB)) for device, kind, size in buffers],
        layers_offloaded=layers[0],
        layers_total=layers[1],
    )


@pytest.mark.parametrize(
    ("file", "buffers", "layers", "size", "vram"),
    [
        pytest.param(
            13578,
            [
                ("CUDA0", "model", 12900),
                ("CPU_Mapped", "model", 13260),
                ("CUDA0", "KV", 460),
                ("CUDA0", "compute", 350),
                ("CUDA_Host", "compute", 270),
            ],
            (0, 0),
            13578 + 460 + 350 + 270,
            13710,
            id="mapped pages of what lies on the GPU count once",
        ),
        pytest.param(
            1919,
            [
                ("CPU_Mapped", "model", 1918),
                ("CPU_REPACK", "model", 1299),
                ("CPU", "KV", 112),
                ("CPU", "compute", 72),
            ],
            (0, 29),
            1918 + 1299 + 112 + 72,
            0,
            id="repacked copies are real",
        ),
        pytest.param(
            13578,
            [("CUDA0", "model", 6500), ("CPU_Mapped", "model", 7000)],
            (24, 49),
            13500,
            6500,
            id="partly offloaded",
        ),
        pytest.param(
            100, [("CUDA0", "model", 90), ("CPU_Mapped", "model", 10)], (33, 33), 90, 90, id="wholly offloaded"
        ),
        pytest.param(100, [], (0, 0), 100, 0, id="the engine said nothing"),
        pytest.param(
            0, [("CUDA0", "model", 9), ("CPU_Mapped", "model", 9)], (1, 2), 18, 9, id="a file of unknown size"
        ),
    ],
)
def test_sizes(file: int, buffers: list[tuple[str, str, float]], layers: tuple[int, int], size: int, vram: int) -> None:
    assert measured(loaded(buffers, layers), file * MIB) == (size * MIB, vram * MIB)


def test_which_buffers_lie_on_a_gpu() -> None:
    names = ["CPU", "BLAS", "CPU_Mapped", "CPU_REPACK", "CUDA_Host", "CUDA0", "MTL0_Mapped", "ROCm1", "Vulkan0"]
    assert [on_gpu(name) for name in names] == [False] * 5 + [True] * 4
