"""Kinds of content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli.sniff import BINARY, HEAD, TEXT, kind


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", TEXT),
        (b'{"a": 1}', TEXT),
        ("Zoë\n".encode(), TEXT),
        (b"\xef\xbb\xbf{}", TEXT),
        (b"\xff\xfe{\x00", "text/plain; charset=utf-16le"),
        (b"GGUF\x03\x00\x00\x00", BINARY),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", BINARY),
        (b"PK\x03\x04....", "application/zip"),
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wave"),
        (b"RIFF\x00\x00\x00\x00????", BINARY),
        (b"  <html>", "text/html; charset=utf-8"),
        (b"<a href=", "text/html; charset=utf-8"),
        (b"<abc", TEXT),
        (b"<?xml version", "text/xml; charset=utf-8"),
        (b"text\x1b[0m", TEXT),
    ],
)
def test_first_bytes_decide(head: bytes, expected: str) -> None:
    assert kind(head) == expected


@given(st.binary())
def test_anything_has_a_kind_and_only_the_head_counts(content: bytes) -> None:
    assert kind(content) == kind(content[:HEAD])
    assert "/" in kind(content)
