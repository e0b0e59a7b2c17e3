"""Guesses from the text itself: what followed the newest tokens where they stood before.

A copy is followed silently from token to token. How far it has agreed already is the best sign of how far it will go
on agreeing, so the odds of its next token are kept by that length; they are learnt from every token, whether or not
anything was proposed, and learning costs no row. So free text, where runs of two tokens agree by chance and then part,
makes short agreements worthless, while a passage that is being copied soon promises many tokens.
"""

from collections.abc import Container, Sequence
from typing import Final

from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate.guess import NOTHING, Guess, usable
from scheduler.runner.speculate.ngrams import NgramIndex
from scheduler.runner.speculate.odds import Averages, Odds

MOST: Final = 31
"""Tokens of a guess where nobody has set a number: with the one before them 32 rows, whole blocks of a kernel's."""
_AT_FIRST: Final = (0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97)
"""Odds of the next token of a copy that has agreed for 1, 2-3, 4-7, 8-15 … 128 and more tokens, before any is known."""
_LAST_KIND: Final = len(_AT_FIRST) - 1
_LEAST: Final = 0.25
"""Worse odds are not followed up."""
_COUNTED: Final = 64
"""Tokens that are looked back on to see how far a copy has agreed already."""


class PromptLookup:
    """The texts of all running requests."""

    def __init__(self, most: int, end_tokens: Container[int]) -> None:
        self._most = most
        self._end_tokens = end_tokens
        self._odds = Averages(_AT_FIRST)
        self._texts: dict[int, _Text] = {}

    def guess(self, wanted: Proposal) -> Guess:
        """How this text goes on if it repeats itself."""
        text = self._texts.get(wanted.key)
        if text is None or text.seen > len(wanted.tokens):
            text = self._texts[wanted.key] = _Text(len(wanted.tokens), self._odds)
        text.follow(wanted.tokens)
        if text.place < 0:
            return NOTHING
        odds = text.odds.values
        if odds[_kind(text.agreed)] < _LEAST:
            return NOTHING
        tokens = usable(text.continuation(wanted.tokens, min(wanted.most, self._most)), self._end_tokens)
        return Guess(tokens, _growing(odds, text.agreed, len(tokens)))

    def forget(self, key: int) -> None:
        """The request has ended."""
        self._texts.pop(key, None)


def _kind(agreed: int) -> int:
    return min(agreed.bit_length(), _LAST_KIND)


def _growing(odds: Sequence[float], agreed: int, count: int) -> list[float]:
    """Odds of `count` tokens in a row, each of which makes the agreement longer by one."""
    found: list[float] = []
    kind = _kind(agreed)
    for one in range(kind, _LAST_KIND):
        found += [odds[one]] * min((1 << one) - agreed - len(found), count - len(found))
    return found + [odds[_LAST_KIND]] * (count - len(found))


class _Text:
    """One text, and the earlier passage that it seems to repeat."""

    __slots__ = ("agreed", "index", "odds", "place", "seen")

    def __init__(self, length: int, odds: Averages) -> None:
        self.index = NgramIndex(length)
        self.odds = Odds(odds)
        self.seen = 0
        """Tokens that have been dealt with."""
        self.place = -1
        """Where the token stands that should come next; -1: nothing is repeated."""
        self.agreed = 0
        """Tokens before it that equal those at the end of the text."""

    def follow(self, tokens: Sequence[int]) -> None:
        """Take in what is new, and be ready to say what comes next."""
        count = len(tokens)
        if self.place >= 0:
            for token in tokens[self.seen :]:
                right = tokens[self.place] == token
                self.odds.learn(_kind(self.agreed), right=right)
                if not right:
                    self.place = -1
                    break
                self.place += 1
                self.agreed += 1
        self.seen = count
        self.index.extend(tokens)
        if self.place < 0:
            self.place = self.index.find(tokens)
            if self.place >= 0:
                self.agreed = self._agreement(tokens)

    def continuation(self, tokens: Sequence[int], most: int) -> list[int]:
        """What followed before; of a text that repeats what it has just said, as often as it takes."""
        found = list(tokens[self.place : self.place + most])
        while 0 < len(found) < most:
            found += found[: most - len(found)]
        return found

    def _agreement(self, tokens: Sequence[int]) -> int:
        agreed = 0
        for back in range(1, min(_COUNTED, self.place) + 1):
            if tokens[self.place - back] != tokens[-back]:
                break
            agreed += 1
        return agreed
