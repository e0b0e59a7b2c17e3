"""llama.cpp's quantizer, called in the process that was started for it.

Only the ctypes layer of the binding is loaded: its package's `__init__` would bring in much that is never used. So a
bare module object with the package's search path takes the package's place.
"""

import ctypes
import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from modelstore.quantize.message import Failed, Finished, Message, Order, Sized, Step

Say = Callable[[Message], None]

_ERROR: Final = 4
_CONTINUATION: Final = 5
_STEP: Final = re.compile(r"^\[\s*(\d+)/\s*(\d+)\]")
_SIZE: Final = re.compile(r"quant size\s*=\s*([\d.]+) MiB")
_REASON: Final = re.compile(r"failed to quantize: (.*)", re.DOTALL)
_ROWS: Final = 1 << 30
"""Bytes of a tensor's rows that are in memory at once."""
_UNSET: Final = 43
"""The number after the last type of a tensor."""


def carry_out(order: Order, say: Say) -> Finished | Failed:
    """Write the result, and say how far it is. The size comes first, from a run that writes nothing."""
    try:
        native = _native()
    except (ImportError, OSError, RuntimeError) as error:
        return Failed(f"the engine cannot be loaded: {type(error).__name__}")
    log = _Log(native)
    native.llama_backend_init()
    size = 0

    def measured(mebibytes: float) -> None:
        nonlocal size
        size = round(mebibytes * 1024 * 1024)

    log.listen(size=measured)
    if not _run(native, order, dry=True):
        return Failed(log.reason())
    say(Sized(size))
    log.listen(step=lambda tensor, tensors: say(Step(tensor, tensors)))
    return Finished() if _run(native, order, dry=False) else Failed(log.reason())


def _native() -> Any:
    """The ctypes module over libllama. Raises ImportError, OSError or RuntimeError if it cannot be used."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None:
        raise ModuleNotFoundError("llama-cpp-python is not installed")
    shell = types.ModuleType("llama_cpp")
    shell.__path__ = list(spec.submodule_search_locations or ())
    shell.__spec__ = spec
    sys.modules["llama_cpp"] = shell
    native: Any = importlib.import_module("llama_cpp.llama_cpp")
    defaults = native.llama_model_quantize_default_params()
    if (defaults.ftype, defaults.output_tensor_type, defaults.token_embedding_type) != (7, _UNSET, _UNSET):
        raise RuntimeError("libllama does not fit its Python binding")
    return native


def _run(native: Any, order: Order, *, dry: bool) -> bool:
    """One call; whether it succeeded."""
    pointer: Any = ctypes.POINTER
    params = native.llama_model_quantize_default_params()
    params.ftype = order.number
    params.nthread = order.threads
    params.dry_run = dry
    params.max_buf_size = _ROWS
    # Files that say F16 may have single tensors of fewer bits.
    params.allow_requantize = True
    tensors = (native.llama_model_tensor_override * (len(order.tensors) + 1))()
    for entry, (pattern, kind) in zip(tensors, order.tensors, strict=False):
        entry.pattern, entry.type = pattern.encode(), kind
    keys = (native.llama_model_kv_override * (len(order.keys) + 1))()
    for entry, (key, number) in zip(keys, order.keys, strict=False):
        entry.key, entry.tag, entry.value.val_i64 = key.encode(), native.LLAMA_KV_OVERRIDE_TYPE_INT, number
    if order.tensors:
        params.tt_overrides = ctypes.cast(tensors, pointer(native.llama_model_tensor_override))
    if order.keys:
        params.kv_overrides = ctypes.cast(keys, pointer(native.llama_model_kv_override))
    source, result = order.sources[0].encode(), order.result.encode()
    return native.llama_model_quantize(source, result, ctypes.byref(params)) == 0


class _Log:
    """The engine's log: the only place where it tells how far it is and what went wrong."""

    def __init__(self, native: Any) -> None:
        self._level = 0
        self._errors: list[str] = []
        self._step: Callable[[int, int], None] | None = None
        self._size: Callable[[float], None] | None = None
        # The library keeps no reference of its own.
        self._callback: Any = native.llama_log_callback(self._receive)
        native.llama_log_set(self._callback, None)

    def listen(
        self, *, step: Callable[[int, int], None] | None = None, size: Callable[[float], None] | None = None
    ) -> None:
        """Whom to tell the tensor that was begun, of how many, and the size of the result in MiB."""
        self._step, self._size = step, size

    def reason(self) -> str:
        """The last error, in the engine's words."""
        text = self._errors[-1] if self._errors else "the engine gives no reason"
        found = _REASON.search(text)
        return (found[1] if found else text).strip()

    def _receive(self, level: int, text: bytes | None, _user: object) -> None:
        if level != _CONTINUATION:
            self._level = level
        line = (text or b"").decode(errors="replace")
        if self._level == _ERROR:
            self._errors = [*self._errors[-7:], line]
        elif self._step is not None and (found := _STEP.match(line)):
            self._step(int(found[1]), int(found[2]))
        elif self._size is not None and (found := _SIZE.search(line)):
            self._size(float(found[1]))
