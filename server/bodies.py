"""Request bodies: read whole, decompressed and decoded.

No more of a body is kept than `LLAMAD_MAX_BODY` allows; blobs, which go to the disk, are read elsewhere.
"""

import asyncio
from typing import Final, TypeVar

from starlette.requests import Request

from server.encodings import COMPRESSED, inflate
from server.errors import ApiError
from server.gojson.decode import decode
from server.gojson.walk import Decoder
from server.services import services_of

T = TypeVar("T")

_LARGE: Final = 1 << 18
"""Bytes from which on decoding is worth a thread."""


async def read(request: Request, schema: Decoder[T]) -> T:
    """The request in the body. Raises `DecodeError`, `ApiError`, `ClientDisconnect`."""
    body = await receive(request)
    if len(body) > _LARGE:
        return await asyncio.to_thread(decode, body, schema)
    return decode(body, schema)


async def receive(request: Request) -> bytes:
    """The whole body, decompressed. Raises `ApiError`, `ClientDisconnect`."""
    most = services_of(request).settings.max_body
    if most:
        _check(_stated(request), most)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if most:
            _check(size, most)
        pieces.append(piece)
    body = b"".join(pieces)
    encoding = request.headers.get("content-encoding", "").lower()
    if encoding in COMPRESSED:
        return await asyncio.to_thread(inflate, body, encoding)
    return body


def _stated(request: Request) -> int:
    """The length that the client announces; 0 where it does not. The protocol has made sure that it is a number."""
    return int(request.headers.get("content-length", "0"))


def _check(size: int, most: int) -> None:
    """Raises `ApiError` where a body has more than `most` bytes. The connection drops the rest of it."""
    if size > most:
        raise ApiError(413, f"request body too large: more than {most} bytes (LLAMAD_MAX_BODY)")
