"""A guess, and what may follow a token."""

from collections.abc import Container
from typing import Final, NamedTuple


class Guess(NamedTuple):
    """A continuation, and for each of its tokens the odds that it is right if all before it are."""

    tokens: list[int]
    odds: list[float]


NOTHING: Final = Guess([], [])


def usable(tokens: list[int], end_tokens: Container[int]) -> list[int]:
    """As much of a continuation as can be verified: nothing after the end of a text, no picture."""
    for index, token in enumerate(tokens):
        if token < 0 or token in end_tokens:
            return tokens[: index + (token >= 0)]
    return tokens
