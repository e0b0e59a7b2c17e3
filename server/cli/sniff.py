"""What kind of content a file holds, by its first bytes: the algorithm of the WHATWG MIME Sniffing Standard."""

from pathlib import Path
from typing import Final

HEAD: Final = 512
"""Bytes that are looked at."""

TEXT: Final = "text/plain; charset=utf-8"
BINARY: Final = "application/octet-stream"

_MAGIC: Final = (
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", TEXT),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x01\x00\x00", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
)
_CONTAINERS: Final = ((b"WEBPVP", "image/webp"), (b"WAVE", "audio/wave"), (b"AVI ", "video/avi"))
"""What stands behind `RIFF` and a length."""
_TAGS: Final = tuple(
    f"<{tag}".encode()
    for tag in (
        "!DOCTYPE HTML", "HTML", "HEAD", "SCRIPT", "IFRAME", "H1", "DIV", "FONT", "TABLE", "A", "STYLE", "TITLE", "B",
        "BODY", "BR", "P",
    )
)  # fmt: skip
_CONTROL: Final = bytes([*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)])


def kind_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return kind(file.read(HEAD))


def kind(head: bytes) -> str:
    """The MIME type of content that begins so; text and binary where nothing more is known."""
    head = head[:HEAD]
    text = head.lstrip(b"\t\n\x0c\r ")
    if any(_is_tag(text, tag) for tag in _TAGS) or text.startswith(b"<!--"):
        return "text/html; charset=utf-8"
    if text.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF"):
        for magic, name in _CONTAINERS:
            if head.startswith(magic, 8):
                return name
    return BINARY if any(byte in _CONTROL for byte in head) else TEXT


def _is_tag(text: bytes, tag: bytes) -> bool:
    return text[: len(tag)].upper() == tag and text[len(tag) : len(tag) + 1] in (b" ", b">")
