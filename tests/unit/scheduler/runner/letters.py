"""A vocabulary without an engine: a token is a byte, and two more begin and end a text."""

from collections.abc import Iterable, Sequence
from typing import cast

from scheduler.runner.engine import Vocabulary

BOS, EOS = 256, 257
SIZE = 258


class Letters:
    """What the runner's pieces need of `engine.Vocabulary`."""

    def __init__(self, *, add_bos: bool = True, add_eos: bool = True) -> None:
        self.size = SIZE
        self.add_bos = add_bos
        self._add_eos = add_eos
        self.bos_id = BOS if add_bos else -1
        self.eos_id = EOS if add_eos else -1
        self.end_tokens = frozenset({EOS} if add_eos else ())
        self.bos, self.eos = "<s>", "</s>"
        self.fill_in: tuple[str, str, str] | None = None

    @property
    def pair_marks(self) -> tuple[list[int], list[int], list[int]]:
        end = [EOS] if self._add_eos else []
        return [BOS] if self.add_bos else [], end, end

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < BOS else b""

    def hides(self, token: int) -> bool:
        return token >= BOS

    def written_piece(self, token: int) -> bytes:
        return self.piece(token) or {BOS: b"<s>", EOS: b"</s>"}[token]

    def texts(self) -> list[bytes]:
        return [self.written_piece(token) for token in range(self.size)]

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        front = [BOS] if add_special and self.add_bos else []
        return [*front, *text.encode(), *([EOS] if add_special and self._add_eos else ())]

    def prompt_tokens(self, text: str) -> list[int]:
        return [*([BOS] if self.add_bos else ()), *text.encode()]

    def detokenize(self, tokens: Sequence[int]) -> str:
        if any(token >= SIZE for token in tokens):
            raise ValueError("no such token")
        return b"".join(map(self.written_piece, tokens)).decode()

    def control_tokens(self, texts: Iterable[str]) -> frozenset[int]:
        return frozenset()


def letters(*, add_bos: bool = True, add_eos: bool = True) -> Vocabulary:
    return cast(Vocabulary, Letters(add_bos=add_bos, add_eos=add_eos))
