"""HEAD and POST /api/blobs/{digest}: files for `/api/create`, sent ahead under the hash of their content."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore.blobs import BlobWriter
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, DigestMismatch
from server.paths import Endpoint
from server.services import services_of

_PIECE: Final = 1 << 20
"""Bytes that are hashed and written at once, on a thread."""
_UNFIT: Final = Digest("0" * 64)
"""The digest of no content."""


async def head(request: Request) -> Response:
    """Whether the blob is there."""
    text = request.path_params["digest"]
    digest = Digest.parse(text)
    if not await asyncio.to_thread(services_of(request).store.blobs.has, digest):
        raise BlobNotFound(text)
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
    writer = await asyncio.to_thread(blobs.create, _length(request))
    try:
        await _receive(request, writer)
        await asyncio.to_thread(_commit, writer, digest, text)
    finally:
        await asyncio.to_thread(writer.cancel)
    return Response(status_code=201)


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
    """The length that the client states, if it does."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdigit() else None


ENDPOINTS: Final = (
    Endpoint("/api/blobs/{digest}", head, ("HEAD",)),
    Endpoint("/api/blobs/{digest}", post, ("POST",)),
)
