"""Tokens that clients send: those that a model has."""

from collections.abc import Iterable

from scheduler.lease import Lease
from server.errors import ApiError


def check(tokens: Iterable[int], lease: Lease) -> None:
    """Raises `ApiError` 400 for a token that is none of the model's."""
    size = lease.info.vocab_size
    if (wrong := next((token for token in tokens if not 0 <= token < size), None)) is not None:
        raise ApiError(400, f"token {wrong} is not in the vocabulary of {size}")
