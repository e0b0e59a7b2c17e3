"""One sequence in llama.cpp, evaluated in one go: what every other way of evaluating has to agree with."""

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp.llama_cpp as native
import numpy as np
from numpy.typing import NDArray

CELLS = 1024
NORMAL, BYTE = 4, 32  # bits of llama.cpp's token attributes
FLASH_OFF, FLASH_AUTO = 0, -1

_silent = native.llama_log_callback(lambda _level, _text, _user: None)


class Answer(NamedTuple):
    """A greedy continuation, and the smallest lead of a chosen token over the second best."""

    ids: list[int]
    margin: float
    logprobs: list[float]


class Engine:
    """A model with an empty context of CELLS tokens, one thread."""

    def __init__(self, path: Path, kv: str = "f16", *, flash: int = FLASH_AUTO, batch: int = 512) -> None:
        """Raises `ValueError` where llama.cpp refuses the combination."""
        native.llama_log_set(_silent, ctypes.c_void_p(0))
        native.llama_backend_init()
        self._model = native.llama_model_load_from_file(str(path).encode(), native.llama_model_default_params())
        if not self._model:
            raise ValueError(f"llama.cpp does not load {path}")
        params = native.llama_context_default_params()
        params.n_ctx, params.n_seq_max = CELLS, 1
        params.n_batch = params.n_ubatch = self._batch_size = batch
        params.n_threads = params.n_threads_batch = 1
        params.type_k = params.type_v = {"f32": 0, "f16": 1, "q8_0": 8}[kv]
        params.flash_attn_type = flash
        self._context: Any = native.llama_init_from_model(self._model, params)
        if not self._context:
            native.llama_model_free(self._model)
            raise ValueError(f"llama.cpp makes no {kv} context for {path}")
        self._memory = native.llama_get_memory(self._context)
        self._vocabulary: Any = native.llama_model_get_vocab(self._model)
        self.vocabulary_size = native.llama_vocab_n_tokens(self._vocabulary)
        self._batch = native.llama_batch_init(batch, 0, 1)
        self._stored = 0

    def close(self) -> None:
        """Free everything."""
        native.llama_batch_free(self._batch)
        native.llama_free(self._context)
        native.llama_model_free(self._model)

    @property
    def can_shift(self) -> bool:
        """Whether llama.cpp claims that positions can be moved."""
        return bool(native.llama_memory_can_shift(self._memory))

    def evaluate(self, ids: list[int]) -> NDArray[np.float32]:
        """Logits after these tokens, on an empty memory."""
        native.llama_memory_clear(self._memory, True)
        self._stored = 0
        for start in range(0, len(ids), self._batch_size):
            logits = self._decode(ids[start : start + self._batch_size])
        return logits

    def answer(self, ids: list[int], count: int) -> Answer:
        """The greedy continuation; nothing ends it."""
        logits = self.evaluate(ids)
        answer = Answer([], float("inf"), [])
        for _ in range(count):
            order = np.argpartition(logits, -2)
            best = int(np.argmax(logits))
            margin = float(logits[best] - np.sort(logits[order[-2:]])[0])
            shifted = logits.astype(np.float64) - logits[best]
            answer.logprobs.append(-float(np.log(np.exp(shifted).sum())))
            answer.ids.append(best)
            answer = answer._replace(margin=min(answer.margin, margin))
            if len(answer.ids) < count:
                logits = self._decode([best])
        return answer

    def _decode(self, ids: list[int]) -> NDArray[np.float32]:
        batch = self._batch
        batch.n_tokens = len(ids)
        for row, token in enumerate(ids):
            batch.token[row], batch.pos[row] = token, self._stored + row
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
            batch.logits[row] = row == len(ids) - 1
        if native.llama_decode(self._context, batch) != 0:
            raise ValueError("llama.cpp fails to decode")
        self._stored += len(ids)
        pointer = native.llama_get_logits_ith(self._context, len(ids) - 1)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,)).copy()

    # -- text

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Tokens of a text; with `special`, those that the vocabulary puts in front too."""
        data = text.encode()
        ids = (native.llama_token * (len(data) + 8))()
        count = native.llama_tokenize(self._vocabulary, data, len(data), ids, len(ids), special, True)
        return list(ids[:count])

    def text(self, ids: list[int]) -> str | None:
        """The text of plain tokens; None when one is not plain, ends a generation, or the bytes are no UTF-8."""
        data = b""
        for token in ids:
            plain = native.llama_vocab_get_attr(self._vocabulary, token) & (NORMAL | BYTE)
            if not plain or native.llama_vocab_is_eog(self._vocabulary, token):
                return None
            buffer = ctypes.create_string_buffer(256)
            size = native.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, True)
            data += buffer.raw[:size]
        try:
            return data.decode()
        except UnicodeDecodeError:
            return None

    @property
    def end_tokens(self) -> list[int]:
        """Tokens that end a generation."""
        return [id for id in range(self.vocabulary_size) if native.llama_vocab_is_eog(self._vocabulary, id)]
