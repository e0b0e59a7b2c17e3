"""Request bodies that come compressed (`Content-Encoding: zstd`, `gzip`).

What comes out is bounded while it is made: a few kilobytes may be gigabytes in the end.
"""

import zlib
from typing import Final

from server.errors import ApiError

MOST: Final = 20 << 20
"""Bytes that may come out."""
_WINDOW: Final = 8 << 20
"""How far back a zstd stream may refer: memory that its reader needs at once."""
_PIECE: Final = 1 << 20
_GZIP_HEADER: Final = 16 + zlib.MAX_WBITS
COMPRESSED: Final = frozenset(("zstd", "gzip", "x-gzip"))


def inflate(body: bytes, encoding: str) -> bytes:
    """The content of a body in one of the encodings `COMPRESSED`; where the body is cut short, what there is of it.

    Raises `ApiError` 400 for a body that is none in that encoding, 413 for too much content.
    """
    try:
        return _from_zstd(body) if encoding == "zstd" else _from_gzip(body)
    except zlib.error:
        raise _broken() from None


def _from_gzip(body: bytes) -> bytes:
    """Members may follow each other, as `cat` leaves them."""
    content = bytearray()
    while body:
        member = zlib.decompressobj(_GZIP_HEADER)
        content += member.decompress(body, MOST + 1 - len(content))
        if len(content) > MOST:
            raise _too_much()
        body = member.unused_data
    return bytes(content)


def _from_zstd(body: bytes) -> bytes:
    import zstandard  # only clients that compress need it

    content = bytearray()
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(body, read_across_frames=True)
    try:
        while piece := reader.read(_PIECE):
            content += piece
            if len(content) > MOST:
                raise _too_much()
    except zstandard.ZstdError:
        raise _broken() from None
    return bytes(content)


def _broken() -> ApiError:
    return ApiError(400, "failed to decompress request body")


def _too_much() -> ApiError:
    return ApiError(413, f"request body too large: more than {MOST} bytes once decompressed")
