"""Sound files: what is let through to the decoder tells the truth about its length."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runner.media.picture import MediaError
from scheduler.runner.media.sound import checked, is_sound

MP3_FRAME = bytes([0xFF, 0xFB, 0x90, 0x00]) + bytes(413)
"""128 kbit/s at 44.1 kHz: 417 bytes, 26 ms."""


def wave(
    samples: bytes, *, coding: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16, says: int | None = None
) -> bytes:
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", coding, channels, rate, rate * align, align, bits)
    size = len(samples) if says is None else says
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def flac(samples: int, rate: int = 16_000) -> bytes:
    info = bytes(10) + (rate << 44 | 15 << 36 | samples).to_bytes(8) + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info + b"\xff\xf8" + bytes(50)


def test_sounds_are_known_by_their_first_bytes() -> None:
    assert all(map(is_sound, (wave(b""), b"ID3\x04", b"fLaC", MP3_FRAME, b"\xff\xe0")))
    assert not any(map(is_sound, (b"", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff\xe0 JPEG", b"\x89PNG")))


def test_a_wave_file_keeps_its_format_and_samples() -> None:
    samples = bytes(range(200))
    assert checked(wave(samples)) == wave(samples)
    assert checked(wave(samples, channels=2, bits=24, rate=48_000)) == wave(
        samples[:198], channels=2, bits=24, rate=48_000
    )


def test_a_wave_file_written_as_it_was_recorded_says_no_length() -> None:
    assert checked(wave(bytes(200), says=0xFFFFFFFF)) == wave(bytes(200))


def test_a_wave_file_loses_the_chunk_that_lies_about_its_length() -> None:
    plain = wave(bytes(200))
    lying = plain[:12] + b"fact" + struct.pack("<II", 4, 0xFFFFFFFF) + plain[12:]
    assert checked(lying) == plain


@pytest.mark.parametrize(
    "data",
    [
        wave(bytes(100), rate=1),
        wave(bytes(100), channels=0),
        wave(bytes(100), channels=200, bits=8),
        wave(bytes(100), coding=2, bits=4),
        wave(bytes(100), bits=13),
        b"RIFF\0\0\0\0WAVE",
        flac(0),
        flac(1 << 35),
        flac(16_000 * 3600),
        b"fLaC",
        b"fLaC" + bytes(100),
        b"ID3",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"\xff\xfb",
        MP3_FRAME * 4 + b"something else",
        MP3_FRAME * 70_000,
    ],
)
def test_what_lies_or_is_too_long_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match=r"^failed to process inputs: Failed to load image or audio file: "):
        checked(data)


def test_a_flac_file_passes_as_it_is() -> None:
    assert checked(flac(16_000)) == flac(16_000)


@pytest.mark.parametrize("before", [b"", b"ID3\x04\0\0\0\0\0\x05hello", bytes(300)])
@pytest.mark.parametrize("after", [b"", b"TAG" + b"x" * 125, bytes(50)])
def test_of_an_mp3_file_the_frames_remain(before: bytes, after: bytes) -> None:
    assert checked(before + MP3_FRAME * 5 + after) == MP3_FRAME * 5


def test_an_mp3_file_may_end_within_a_frame() -> None:
    assert checked(MP3_FRAME * 5 + MP3_FRAME[:100]).startswith(MP3_FRAME * 5)


@given(
    st.binary(max_size=300), st.sampled_from([wave(bytes(64)), flac(100), MP3_FRAME * 2, b"ID3"]), st.integers(0, 60)
)
def test_any_bytes_pass_or_are_refused(noise: bytes, good: bytes, at: int) -> None:
    try:
        checked(good[:at] + noise + good[at:])
    except MediaError:
        pass
