"""Standard base64 as Go's encoding/base64 reads it: line breaks are skipped, padding is required."""

import binascii
import re

_LINE_BREAKS = re.compile(rb"[\r\n]+")
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]")


class CorruptInput(ValueError):
    """`offset` is the position of the first byte that cannot be right."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"illegal base64 data at input byte {offset}")
        self.offset = offset


def decode(text: str) -> bytes:
    """Raises `CorruptInput`."""
    data = text.encode()
    packed = _LINE_BREAKS.sub(b"", data) if "\n" in text or "\r" in text else data
    try:
        return binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error:
        raise CorruptInput(_first_fault(data)) from None


def _first_fault(data: bytes) -> int:
    """Where Go's decoder gives up on `data`, which is known to be wrong somewhere."""
    position = 0  # in the group of four
    seen = 0  # offset of the byte after the last one looked at
    for seen, byte in enumerate(data):
        if byte in b"\r\n":
            continue
        if byte == ord("="):
            return _padding_fault(data, seen, position)
        if not _ALPHABET.match(data, seen):
            return seen
        position = (position + 1) % 4
    return len(data) - position


def _padding_fault(data: bytes, at: int, position: int) -> int:
    """`at` is the offset of the first `=`, which stands at `position` of its group."""
    if position < 2:
        return at
    at = _skip_breaks(data, at + 1)
    if position == 2:
        if at == len(data):
            return at
        if data[at] != ord("="):
            return at - 1
        at = _skip_breaks(data, at + 1)
    return at


def _skip_breaks(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in b"\r\n":
        at += 1
    return at
