"""Request bodies: read whole and decoded, or watched for the moment the client hangs up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from server.gojson.decode import decode
from server.gojson.walk import Decoder
from server.responses import hang_up

T = TypeVar("T")

_LARGE: Final = 1 << 18
"""Bytes from which on decoding is worth a thread."""


async def read(request: Request, schema: Decoder[T]) -> T:
    """The request in the body. Raises `DecodeError`, `ClientDisconnect`."""
    body = await request.body()
    if len(body) > _LARGE:
        return await asyncio.to_thread(decode, body, schema)
    return decode(body, schema)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up. Raises `ClientDisconnect` then.

    For answers that are sent in one piece, once the body has been read.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(hang_up(request.receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
