"""Text ↔ tokens. Safe to use from any thread: the vocabulary does not change after the model is loaded."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Final

from scheduler.runner.engine.library import native

_ROOM: Final = 64
"""Bytes that nearly every token's text fits in."""


class Vocabulary:
    """The tokenizer of one model."""

    def __init__(self, pointer: Any, end_tokens: Iterable[int] | None = None) -> None:
        """`end_tokens`: the only ones that may end a text, where the engine's log has named them. None looks at every
        token, which takes 20 ms for 32,000 of them and 150 ms for the largest vocabularies."""
        lib = native()
        self.pointer = pointer
        self._lib = lib
        self.size: int = lib.llama_vocab_n_tokens(pointer)
        self.add_bos: bool = lib.llama_vocab_get_add_bos(pointer)
        self.bos_id: int = lib.llama_vocab_bos(pointer)
        self.eos_id: int = lib.llama_vocab_eos(pointer)
        self._to_piece: Any = lib.llama_token_to_piece
        self._room = ctypes.create_string_buffer(_ROOM)
        self._pieces: list[bytes | None] = [None] * self.size
        self.end_tokens: frozenset[int] = frozenset(
            token
            for token in (range(self.size) if end_tokens is None else end_tokens)
            if lib.llama_vocab_is_eog(pointer, token)
        )
        """Every token that ends a generation."""
        self.suppressed: list[int] = self._suppressed()
        """Tokens that the file says must never be chosen."""

    def _suppressed(self) -> list[int]:
        count = ctypes.c_int32(0)
        tokens = self._lib.llama_vocab_get_suppress_tokens(self.pointer, ctypes.byref(count))
        return tokens[: count.value] if tokens else []

    @property
    def bos(self) -> str:
        """Text of the begin-of-sequence token; empty when there is none."""
        return self.text_of(self.bos_id)

    @property
    def eos(self) -> str:
        """Text of the end-of-sequence token; empty when there is none."""
        return self.text_of(self.eos_id)

    @property
    def fill_in(self) -> tuple[str, str, str] | None:
        """Texts of the tokens before the prefix, the suffix and the middle of a gap to fill, if it has all three."""
        lib = self._lib
        ids = (lib.llama_vocab_fim_pre(self.pointer), lib.llama_vocab_fim_suf(self.pointer))
        prefix, suffix, middle = map(self.text_of, (*ids, lib.llama_vocab_fim_mid(self.pointer)))
        return (prefix, suffix, middle) if prefix and suffix and middle else None

    @property
    def pair_marks(self) -> tuple[list[int], list[int], list[int]]:
        """What stands before, between and behind two texts that are read together."""
        lib, pointer = self._lib, self.pointer
        end = [self.eos_id] if lib.llama_vocab_get_add_eos(pointer) and self.eos_id >= 0 else []
        separator = lib.llama_vocab_sep(pointer) if lib.llama_vocab_get_add_sep(pointer) else -1
        between = [*end, separator] if separator >= 0 else end
        return [self.bos_id] if self.add_bos and self.bos_id >= 0 else [], between, between[:1]

    def text_of(self, token: int) -> str:
        """How a token is written in a template, control tokens included."""
        return self._render(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def piece(self, token: int) -> bytes:
        """Bytes that a token adds to the answer: nothing for control tokens. For the engine's thread only."""
        piece = self._pieces[token]
        if piece is None:
            size = self._to_piece(self.pointer, token, self._room, _ROOM, 0, False)
            piece = self._room.raw[:size] if size >= 0 else self._render(token, special=False)
            self._pieces[token] = piece
        return piece

    def hides(self, token: int) -> bool:
        """Whether a token adds nothing to the answer. From any thread."""
        return not self._to_piece(self.pointer, token, None, 0, 0, False)

    def written_piece(self, token: int) -> bytes:
        """Bytes of a token, control tokens written out."""
        return self._render(token, special=True)

    def texts(self) -> list[bytes]:
        """`written_piece` of every token, from any thread."""
        room = ctypes.create_string_buffer(_ROOM)
        view = memoryview(room)
        texts: list[bytes] = []
        for token in range(self.size):
            size = self._to_piece(self.pointer, token, room, _ROOM, 0, True)
            texts.append(bytes(view[:size]) if size >= 0 else self.written_piece(token))
        return texts

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """Tokens of a text. Control tokens written in it are recognised; `add_special` adds what the tokenizer adds."""
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 8
        tokens = (ctypes.c_int32 * room)()
        count = self._lib.llama_tokenize(self.pointer, data, len(data), tokens, room, add_special, True)
        if count < 0:
            room = -count
            tokens = (ctypes.c_int32 * room)()
            count = self._lib.llama_tokenize(self.pointer, data, len(data), tokens, room, add_special, True)
        return tokens[:count]

    def prompt_tokens(self, text: str) -> list[int]:
        """Tokens of a rendered prompt, with exactly one begin-of-sequence token if the tokenizer adds one itself."""
        if self.add_bos and (bos := self.bos):
            text = text.removeprefix(bos)
        return self.tokenize(text, add_special=True)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The pieces of tokens joined, control tokens written out. Raises `ValueError` for an id out of range."""
        for token in tokens:
            if not 0 <= token < self.size:
                raise ValueError(f"token {token} is not in the vocabulary of {self.size}")
        return b"".join(map(self.written_piece, tokens)).decode("utf-8", "replace")

    def control_tokens(self, texts: Iterable[str]) -> frozenset[int]:
        """Ids of the texts that are one token each."""
        found = (self.tokenize(text) for text in texts)
        return frozenset(tokens[0] for tokens in found if len(tokens) == 1)

    def _render(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(_ROOM)
        size = self._to_piece(self.pointer, token, buffer, _ROOM, 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._to_piece(self.pointer, token, buffer, -size, 0, special)
        return buffer.raw[:size]
