"""`python -P -m scheduler.runner.engine.devices`: what this build of the engine can compute on, as JSON on stdout.

Asking a GPU's library initialises it, which takes memory on the GPU and may crash or hang: so a process of its own does
it, and ends. `scheduler/devices/engine.py` reads what it prints: a list of objects with

    library  CUDA, ROCm, Vulkan, MTL, CPU …: the backend      kind         gpu, igpu, cpu, accel
    name     CUDA0                                            description  NVIDIA H200
    total    bytes                                            free         bytes
    pci_id   0000:c1:00.0, or empty                           archs        750,800: compiled CUDA code, or empty
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from scheduler.runner.engine.library import IncompatibleBinding, ready

_KINDS: Final = ("cpu", "gpu", "igpu", "accel")
_ARCHS: Final = b"ARCHS"


class _Properties(ctypes.Structure):
    """ggml_backend_dev_props of ggml-backend.h; its capabilities, flags of a byte each, are not read."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("free", ctypes.c_size_t),
        ("total", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_uint8 * 32),
    )


class _Feature(ctypes.Structure):
    """ggml_backend_feature; a list of them ends with one without a name."""

    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p))


class Ggml:
    """The few functions of ggml that libllama's binding leaves out."""

    def __init__(self, binding: Any) -> None:
        llama = binding._lib
        folder = Path(llama._name).parent
        # Elsewhere than on Windows a library's handle also finds what its dependencies export.
        self._libraries = [llama]
        if sys.platform == "win32":
            self._libraries += [ctypes.CDLL(str(folder / name)) for name in ("ggml.dll", "ggml-base.dll")]

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """A C function by its name. Raises `IncompatibleBinding` when no library has it."""
        for library in self._libraries:
            try:
                function = getattr(library, name)
            except AttributeError:
                continue
            function.restype, function.argtypes = result, arguments
            return function
        raise IncompatibleBinding(f"the engine has no {name}")

    def listing(self) -> list[dict[str, str | int]]:
        """All devices, in the engine's order."""
        pointer = ctypes.c_void_p
        count = self.function("ggml_backend_dev_count", ctypes.c_size_t)
        device_at = self.function("ggml_backend_dev_get", pointer, ctypes.c_size_t)
        return [self._describe(device_at(i)) for i in range(count())]

    def _describe(self, device: int) -> dict[str, str | int]:
        pointer = ctypes.c_void_p
        properties = _Properties()
        read = self.function("ggml_backend_dev_get_props", None, pointer, ctypes.POINTER(_Properties))
        read(device, ctypes.byref(properties))
        backend = self.function("ggml_backend_dev_backend_reg", pointer, pointer)(device)
        library = self.function("ggml_backend_reg_name", ctypes.c_char_p, pointer)(backend)
        kind: int = properties.kind
        return {
            "library": _text(library),
            "name": _text(properties.name),
            "description": _text(properties.description),
            "kind": _KINDS[kind] if 0 <= kind < len(_KINDS) else "other",
            "total": properties.total,
            "free": properties.free,
            "pci_id": _text(properties.device_id),
            "archs": self._archs(backend),
        }

    def _archs(self, backend: int) -> str:
        """Compute capabilities, times a hundred, that the CUDA code was compiled for; backends of others tell none."""
        pointer = ctypes.c_void_p
        find = self.function("ggml_backend_reg_get_proc_address", pointer, pointer, ctypes.c_char_p)
        address = find(backend, b"ggml_backend_get_features")
        if not address:
            return ""
        features = ctypes.CFUNCTYPE(ctypes.POINTER(_Feature), pointer)(address)(backend)
        i = 0
        while features and features[i].name:
            if features[i].name == _ARCHS:
                return _text(features[i].value)
            i += 1
        return ""


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def main() -> int:
    """The process: exit status 0 with a list, 1 with a complaint on stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever native code prints must not land in the list
    try:
        listing = Ggml(ready()).listing()
    except IncompatibleBinding as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    os.write(answer, json.dumps(listing).encode())
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a driver's own clean-up at exit may hang
