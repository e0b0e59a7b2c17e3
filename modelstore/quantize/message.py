"""What the two processes say to each other: one line of JSON each.

daemon → quantizer    Order, once; then nothing, until the end of the stream tells that the daemon needs it no more
quantizer → daemon    Sized, Step …, Finished; or Failed at any time
"""

from typing import Any, Final, TypeAlias

import msgspec


class Order(msgspec.Struct, frozen=True):
    """What to do, with files of the quantizer's working directory."""

    sources: tuple[str, ...]
    """Links to the weights; shards in their order, under the names that llama.cpp gives them."""
    result: str
    """The file to write."""
    number: int
    tensors: tuple[tuple[str, int], ...]
    keys: tuple[tuple[str, int], ...]
    """These three as in `recipe.Recipe`."""
    threads: int


class Sized(msgspec.Struct, frozen=True, tag="sized"):
    """The tensors of the result will have so many bytes, give or take some thousands."""

    bytes: int


class Step(msgspec.Struct, frozen=True, tag="step"):
    """The tensor with this number, from 1, has been begun."""

    tensor: int
    tensors: int


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The result is complete."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It will not be, for this reason."""

    reason: str


Message: TypeAlias = Sized | Step | Finished | Failed

_MESSAGE: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Sized | Step | Finished | Failed)
_ORDER: Final = msgspec.json.Decoder(Order)


def line(value: Any) -> bytes:
    """A message or an order as a line."""
    return msgspec.json.encode(value) + b"\n"


def parse(text: bytes) -> Message:
    """A message of the quantizer. Raises `msgspec.MsgspecError`."""
    return _MESSAGE.decode(text)


def parse_order(text: bytes) -> Order:
    """An order. Raises `msgspec.MsgspecError`."""
    return _ORDER.decode(text)
