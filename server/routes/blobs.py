"""HEAD and POST /api/blobs/{digest}: files for `/api/create`, sent ahead under the hash of their content.

A client on this machine that asks for a missing one is told how to hand the file over instead (`server.handover`).
"""

import asyncio
import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore.blobs import BlobWriter
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch
from server.errors import ApiError
from server.handover import HEADER
from server.host import Host
from server.paths import Endpoint
from server.responses import ErrorResponse
from server.services import services_of

_PIECE: Final = 1 << 20
"""Bytes that are hashed and written at once, on a thread."""
_NUMBER: Final = re.compile("[0-9]{1,18}")
_UNFIT: Final = Digest("0" * 64)
"""The digest of no content."""


async def head(request: Request) -> Response:
    """Whether the blob is there."""
    text = request.path_params["digest"]
    digest = Digest.parse(text)
    services = services_of(request)
    if not await asyncio.to_thread(services.store.blobs.is_sound, digest):
        response = ErrorResponse(ApiError(404, str(BlobNotFound(text))))
        if services.reception.header and _is_here(request):
            response.headers[HEADER] = services.reception.header
        return response
    response = Response()
    del response.headers["content-length"]
    return response


async def post(request: Request) -> Response:
    """Store the body. A client that hangs up, or sends something else, leaves nothing."""
    text = request.path_params["digest"]
    digest = Digest.parse(text)
    blobs = services_of(request).store.blobs
    if await asyncio.to_thread(blobs.touch, digest):
        return Response()
    length = _length(request)
    writer = await asyncio.to_thread(blobs.create, length)
    try:
        await _receive(request, writer)
        if length not in (None, writer.size):
            raise ApiError(400, "unexpected EOF")
        await asyncio.to_thread(_commit, writer, digest, text)
    finally:
        await asyncio.to_thread(writer.cancel)
    return Response(status_code=201)


def _is_here(request: Request) -> bool:
    """Whether the client is on this machine. Through a proxy or a tunnel it may seem so; then it finds no socket."""
    return request.client is not None and Host(host=request.client.host.removeprefix("::ffff:")).is_loopback


async def _receive(request: Request, writer: BlobWriter) -> None:
    """Write the body piece by piece. Raises `ClientDisconnect`, `DiskFull`."""
    piece = bytearray()
    async for chunk in request.stream():
        piece += chunk
        if len(piece) >= _PIECE:
            await asyncio.to_thread(writer.write, piece)
            piece = bytearray()
    if piece:
        await asyncio.to_thread(writer.write, piece)


def _commit(writer: BlobWriter, digest: Digest, text: str) -> None:
    """Keep the blob, if `text`, the digest as the client wrote it, is what the content has.

    In another spelling it is compared as text and never fits, as in the reference.
    """
    try:
        writer.commit(digest if str(digest) == text else _UNFIT)
    except DigestMismatch as error:
        raise DigestMismatch(text, error.got) from None


def _length(request: Request) -> int | None:
    """The length that the client states, if it does and the body has one."""
    text = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not _NUMBER.fullmatch(text):
        return None
    return int(text)


ENDPOINTS: Final = (
    Endpoint("/api/blobs/{digest}", head, ("HEAD",)),
    Endpoint("/api/blobs/{digest}", post, ("POST",)),
)
