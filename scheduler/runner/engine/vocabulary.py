"""Text ↔ tokens. Safe to use from any thread: the vocabulary does not change after the model is loaded."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Final

from scheduler.runner.engine.library import native

_ROOM: Final = 64
"""Bytes that nearly every token's text fits in."""


class Vocabulary:
    """The tokenizer of one model."""

    def __init__(self, pointer: Any) -> None:
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
            token for token in range(self.size) if lib.llama_vocab_is_eog(pointer, token)
        )
        """Every token that ends a generation."""

    @property
    def bos(self) -> str:
        """Text of the begin-of-sequence token; empty when there is none."""
        return self.text_of(self.bos_id)

    @property
    def eos(self) -> str:
        """Text of the end-of-sequence token; empty when there is none."""
        return self.text_of(self.eos_id)

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

    def written_piece(self, token: int) -> bytes:
        """Bytes of a token, control tokens written out."""
        return self._render(token, special=True)

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
