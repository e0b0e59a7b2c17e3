"""A request body becomes a request."""

from typing import Any, TypeVar

import msgspec
import orjson

from server.gojson.scan import EmptyText, ScanError, Scanned, scan
from server.gojson.walk import DecodeError, Decoder, Walk

T = TypeVar("T")


def decode(body: bytes, request: Decoder[T]) -> T:
    """The first JSON value of `body`; what follows it does not matter. Raises `DecodeError`."""
    try:
        return _decode_quickly(body, request)
    except (orjson.JSONDecodeError, DecodeError, _Doubt):
        return _decode_carefully(body, request)


class _Doubt(Exception):
    """The quick way saw a fault; the careful one has to word it."""


def _decode_quickly(body: bytes, request: Decoder[T]) -> T:
    def text_of(key: str) -> str:
        try:
            return bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[key]).decode()
        except (msgspec.DecodeError, RecursionError):
            raise _Doubt from None

    walk = Walk(text_of)
    value: Any = orjson.loads(body)
    result = request.zero() if value is None else request.decode(value, walk)
    if walk.complaint is not None:
        raise _Doubt
    return result


def _decode_carefully(body: bytes, request: Decoder[T]) -> T:
    try:
        scanned = scan(body)
    except EmptyText:
        raise DecodeError("missing request body") from None
    except ScanError as error:
        raise DecodeError(str(error)) from None
    return _build(scanned, body, request)


def _build(scanned: Scanned, body: bytes, request: Decoder[T]) -> T:
    def text_of(key: str) -> str:
        start, end = scanned.spans[key]
        return body[start:end].decode(errors="replace")

    walk = Walk(text_of)
    result = request.zero() if scanned.value is None else request.decode(scanned.value, walk)
    if walk.complaint is not None:
        raise walk.complaint
    return result
