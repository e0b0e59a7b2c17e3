"""GBNF, the grammars of llama.cpp, followed by the engine's own code."""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.constrain.lexicon import Lexicon
from scheduler.runner.constrain.outline import outline
from scheduler.runner.engine.grammar import Grammar

_NUMBERED: Final = re.compile(r"<\[([0-9]{1,9})\]>")


class GbnfMatcher:
    """Matcher over a grammar of the engine.

    Asking about one token is cheap, a whole mask is not: nothing is prepared in advance, and where no draw is refused
    none is made.
    """

    def __init__(self, grammar: Grammar, lexicon: Lexicon, speech: frozenset[int]) -> None:
        """`speech`: tokens that may come at all. The engine takes control tokens for their names; they belong here only
        where the grammar speaks of them."""
        self._grammar = grammar
        self._lexicon = lexicon
        self._speech = speech
        self._mask: NDArray[np.int32] | None = None
        self.error = ""

    @property
    def active(self) -> bool:
        """It binds every token."""
        return True

    @property
    def ready(self) -> bool:
        """Whether the mask is known."""
        return self._mask is not None

    def clone(self) -> "GbnfMatcher":
        """Another one at the same position."""
        return GbnfMatcher(self._grammar.clone(), self._lexicon, self._speech)

    def prepare(self) -> None:
        """Nothing: the engine's grammar is asked about single tokens."""

    def admits(self, token: int) -> bool:
        """Whether the token may come next."""
        return token in self._speech and self._grammar.admits(token)

    def mask(self) -> NDArray[np.int32]:
        """A bit for each token that may come next; only the end where nothing may."""
        if self._mask is None:
            tokens = np.fromiter(self._speech, np.int32, len(self._speech))
            allowed = np.zeros((self._lexicon.size + 31) // 32 * 32, np.bool_)
            allowed[tokens] = self._grammar.which(tokens)
            if not allowed.any():
                self.error = "no token of this model can go on with it"
                allowed[self._lexicon.end_tokens] = True
            self._mask = np.packbits(allowed, bitorder="little").view(np.int32)
        return self._mask

    def consume(self, token: int) -> bool:
        """Advance over a chosen token. Whether anything may follow is not known before the next is asked for."""
        self._mask = None
        if token not in self._speech or not self._grammar.accept(token):
            self.error = self.error or "a token that the grammar forbids"
            return True
        return False

    def feed(self, text: bytes) -> bool:
        """Advance over a text. False, and nothing happens, where it may not come next."""
        ahead = self._grammar.clone()
        tokens = self._lexicon.cover(text)
        if not tokens or not all(ahead.accept(token) for token in tokens):
            return False
        self._grammar, self._mask = ahead, None
        return True


def from_gbnf(lexicon: Lexicon, source: str) -> GbnfMatcher:
    """Raises `GrammarError`."""
    tokens = outline(source).tokens
    numbers = {int(found[1]) for text in tokens if (found := _NUMBERED.fullmatch(text))}
    named = numbers | lexicon.named(text for text in tokens if not _NUMBERED.fullmatch(text))
    speech = frozenset(range(lexicon.size)) - lexicon.hidden.difference(lexicon.end_tokens, named)
    return GbnfMatcher(lexicon.grammar(source), lexicon, speech)
