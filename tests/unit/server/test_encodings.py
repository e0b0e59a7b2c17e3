"""Compressed bodies come out as they went in, and never as more than is allowed."""

import gzip

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from server.encodings import MOST, inflate
from server.errors import ApiError


def compress(data: bytes, encoding: str) -> bytes:
    return zstandard.compress(data) if encoding == "zstd" else gzip.compress(data)


def bomb(encoding: str) -> bytes:
    """Ever the same byte, a little longer than is allowed."""
    return compress(bytes(MOST + 1), encoding)


def fault(body: bytes, encoding: str) -> tuple[int, str] | None:
    try:
        inflate(body, encoding)
    except ApiError as error:
        return error.status, error.message
    return None


ENCODINGS = ["zstd", "gzip"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=300), max_size=4), st.sampled_from(ENCODINGS))
def test_comes_out_as_it_went_in(parts: list[bytes], encoding: str) -> None:
    """In one piece, or in several behind each other."""
    assert inflate(b"".join(compress(part, encoding) for part in parts), encoding) == b"".join(parts)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255), st.sampled_from(ENCODINGS))
def test_damage_is_an_error_or_less_text_and_nothing_else(data: bytes, at: int, byte: int, encoding: str) -> None:
    packed = bytearray(compress(data, encoding))
    packed[at % len(packed)] = byte
    assert fault(bytes(packed[: at + 1]), encoding) in (None, (400, "failed to decompress request body"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("body", [b"{}", bytes(40), b"\x1f\x8b\x07" + bytes(40), b"\x28\xb5\x2f\xfd" + b"\xff" * 40])
def test_what_is_not_compressed_so_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(ApiError, match="failed to decompress request body"):
        inflate(body, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bomb_goes_off_within_bounds(encoding: str) -> None:
    with pytest.raises(ApiError, match="more than 20971520 bytes once decompressed") as caught:
        inflate(bomb(encoding), encoding)
    assert caught.value.status == 413


def test_a_stream_that_needs_a_large_window_is_refused() -> None:
    """It would cost its memory before the first byte comes out."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(ApiError, match="failed to decompress"):
        inflate(compressor.compress(bytes(1 << 16)) + compressor.flush(), "zstd")


def test_the_end_may_be_missing() -> None:
    """What the text then lacks is for the decoder to say."""
    packed = gzip.compress(b'{"model":"x"}')
    assert inflate(packed[:-8], "gzip") == b'{"model":"x"}'
