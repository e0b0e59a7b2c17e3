"""What a loaded model occupies, from the buffers that the engine reported."""

from collections.abc import Sequence

from scheduler.frames import Buffer, Loaded


def on_gpu(device: str) -> bool:
    """Whether a buffer of this name lies on a GPU: `CPU`, `BLAS`, `CPU_Mapped`, `CUDA_Host` and their like do not."""
    return not (device in ("CPU", "BLAS") or device.startswith("CPU_") or device.endswith("_Host"))


def measured(loaded: Loaded, file: int) -> tuple[int, int]:
    """Bytes in all, and bytes on GPUs. `file` is the size of the weights; 0: unknown."""
    if not loaded.buffers:
        return file, 0
    vram = sum(one.size for one in loaded.buffers if on_gpu(one.device))
    if loaded.layers_total > 0 and loaded.layers_offloaded >= loaded.layers_total and vram > 0:
        return vram, vram
    size = sum(one.size for one in loaded.buffers) - _counted_twice(loaded.buffers, file)
    return size, vram


def _counted_twice(buffers: Sequence[Buffer], file: int) -> int:
    """Mapped pages of weights that were copied to a GPU: the file is counted once. Repacked copies are real."""
    mapped = sum(one.size for one in buffers if one.device == "CPU_Mapped")
    backed = sum(
        one.size for one in buffers if one.kind == "model" and (one.device.endswith("_Mapped") or on_gpu(one.device))
    )
    return min(mapped, max(backed - file, 0)) if file > 0 else 0
