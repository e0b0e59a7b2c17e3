"""Weights, and the adapters on top of them."""

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scheduler.runner.engine import mapping
from scheduler.runner.engine.library import ready
from scheduler.runner.engine.log import EngineLog
from scheduler.runner.engine.vocabulary import Vocabulary

_LOAD_MODE_AUTO: Final = -1
_LOAD_MODE_READ: Final = 0
_LOAD_MODE_MAP: Final = 1
_LOAD_MODE_LOCK: Final = 2
_LOAD_MODE_MAP_AND_LOCK: Final = 3
_SPLIT_NONE: Final = 0
_NO_VOCABULARY: Final = 0


class ModelLoadError(Exception):
    """The engine refused the model. `unsupported`: because of the file, not of memory or devices."""

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


@dataclass(frozen=True, slots=True)
class ModelParams:
    """What decides where and how weights are loaded."""

    weights: Sequence[str]
    num_gpu: int = -1
    main_gpu: int | None = None
    use_mmap: bool | None = None
    use_mlock: bool = False
    adapters: Sequence[tuple[str, float]] = ()
    tensor_split: Sequence[int] = ()
    """Layers of each GPU; empty: by their free memory."""


class Model:
    """A loaded model. Free contexts before it."""

    def __init__(self, params: ModelParams, log: EngineLog, progress: Callable[[float], None]) -> None:
        """Raises `ModelLoadError` with the engine's own words."""
        lib = ready()
        self._lib = lib
        self.pointer: Any = _load(lib, params, progress)
        if not self.pointer:
            raise ModelLoadError(log.reason() or "failed to load model", unsupported=log.blames_the_file())
        _give_back(params, log)
        vocabulary = lib.llama_model_get_vocab(self.pointer)
        if lib.llama_vocab_type(vocabulary) == _NO_VOCABULARY:
            raise ModelLoadError("the model has no vocabulary", unsupported=True)
        self.vocabulary = Vocabulary(vocabulary, log.end_tokens)
        self.num_ctx_train: int = lib.llama_model_n_ctx_train(self.pointer)
        self.embedding_width: int = lib.llama_model_n_embd_out(self.pointer)
        self.has_encoder: bool = lib.llama_model_has_encoder(self.pointer)
        self.has_decoder: bool = lib.llama_model_has_decoder(self.pointer)
        self.recurrent: bool = lib.llama_model_is_recurrent(self.pointer) or lib.llama_model_is_hybrid(self.pointer)
        self.adapters: list[tuple[Any, float]] = [self._adapter(path, scale, log) for path, scale in params.adapters]

    def close(self) -> None:
        """Give back its memory. Nothing made from it may be used, or closed, afterwards."""
        self._lib.llama_model_free(self.pointer)

    def metadata(self, key: str) -> str:
        """A scalar of the file's metadata as text; empty when absent."""
        buffer = ctypes.create_string_buffer(256)
        size = self._lib.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    @property
    def rank_template(self) -> str:
        """How the file writes a query and a document to be ranked together; empty when it does not say."""
        text: bytes | None = self._lib.llama_model_chat_template(self.pointer, b"rerank")
        return text.decode("utf-8", "replace") if text else ""

    def _adapter(self, path: str, scale: float, log: EngineLog) -> tuple[Any, float]:
        adapter = self._lib.llama_adapter_lora_init(self.pointer, path.encode())
        if not adapter:
            raise ModelLoadError(log.reason() or "failed to load the adapter", unsupported=True)
        return adapter, scale


def _give_back(params: ModelParams, log: EngineLog) -> None:
    """Memory of mapped weights that were copied, unless they were to stay where they are."""
    mapped = params.use_mmap is not False and not params.use_mlock
    if mapped and mapping.copied(log.buffers(), sum(map(os.path.getsize, params.weights))):
        mapping.release(params.weights)


def _load_mode(params: ModelParams) -> int:
    if params.use_mlock:
        return _LOAD_MODE_LOCK if params.use_mmap is False else _LOAD_MODE_MAP_AND_LOCK
    return {None: _LOAD_MODE_AUTO, False: _LOAD_MODE_READ, True: _LOAD_MODE_MAP}[params.use_mmap]


def _load(lib: Any, params: ModelParams, progress: Callable[[float], None]) -> Any:
    native_params = lib.llama_model_default_params()
    native_params.n_gpu_layers = params.num_gpu
    if params.main_gpu is not None and params.num_gpu != 0:
        native_params.main_gpu = params.main_gpu
        native_params.split_mode = _SPLIT_NONE
    if params.tensor_split:
        split = (ctypes.c_float * max(lib.llama_max_devices(), len(params.tensor_split)))(*params.tensor_split)
        native_params.tensor_split = split
    native_params.load_mode = _load_mode(params)

    def report(fraction: float, _user: object) -> bool:
        progress(fraction)
        return True

    callback = lib.llama_progress_callback(report)
    native_params.progress_callback = callback
    if len(params.weights) == 1:
        return lib.llama_model_load_from_file(params.weights[0].encode(), native_params)
    paths = (ctypes.c_char_p * len(params.weights))(*(path.encode() for path in params.weights))
    return lib.llama_model_load_from_splits(paths, len(params.weights), native_params)
