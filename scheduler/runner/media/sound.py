"""Sound files, made safe for the decoder.

llama.cpp decodes sound with a library that believes headers: it reserves memory for as many samples as a file says it
has, and a process that cannot have that memory ends. So the headers are read here first.

Sources: Microsoft's RIFF WAVE, RFC 9639 (FLAC), ISO 11172-3 and 13818-3 (MPEG audio headers).
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from scheduler.runner.media.picture import MAX_BYTES, refused

MAX_SECONDS: Final = 30 * 60
_RATES: Final = range(1_000, 768_001)
_MAX_CHANNELS: Final = 32

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_ID3: Final = 10
_BIT_RATES: Final = {
    # version 1, layer: kbit/s by index
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_SYNC_WITHIN: Final = 1 << 16
"""Bytes of padding in front of the first frame."""


def is_sound(data: bytes) -> bool:
    """Whether the bytes begin like a WAV, MP3 or FLAC file, as the reference decides."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return True
    return data.startswith((b"ID3", b"fLaC")) or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)


def checked(data: bytes) -> bytes:
    """A file of the same sound that tells the truth about its length. Raises `MediaError`."""
    if len(data) > MAX_BYTES:
        raise refused(f"the sound has {len(data):,} bytes, {MAX_BYTES:,} are allowed")
    try:
        if data.startswith(b"RIFF"):
            return _wave(data)
        if data.startswith(b"fLaC"):
            _check_flac(data)
            return data
        return _mpeg(data)
    except (struct.error, IndexError):
        raise refused("the sound ends too early") from None


def _check_seconds(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise refused(f"the sound is longer than {MAX_SECONDS // 60} minutes")


# -- WAV


def _wave(data: bytes) -> bytes:
    """The file again with nothing but its format and its samples."""
    chunks = dict(_chunks(data))
    form, samples = chunks.get(b"fmt "), chunks.get(b"data")
    if form is None or samples is None or len(form) < 16:
        raise refused("the WAV file has no format or no samples")
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", form)
    coding = struct.unpack_from("<H", form, 24)[0] if tag == _EXTENSIBLE else tag
    widths = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64), _ALAW: (8,), _MULAW: (8,)}.get(coding)
    if widths is None or bits not in widths:
        raise refused(f"WAV coding {coding} with {bits} bits is not supported")
    if rate not in _RATES or not 1 <= channels <= _MAX_CHANNELS or align != channels * bits // 8:
        raise refused("the format of the WAV file makes no sense")
    _check_seconds(len(samples) / align / rate)
    samples = samples[: len(samples) // align * align]
    header = struct.pack("<HHIIHH", coding, channels, rate, rate * align, align, bits)
    size = 4 + 8 + len(header) + 8 + len(samples)
    parts = (b"RIFF", struct.pack("<I", size), b"WAVE", b"fmt ", struct.pack("<I", len(header)), header)
    return b"".join((*parts, b"data", struct.pack("<I", len(samples)), samples))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        yield name, data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


# -- FLAC


def _check_flac(data: bytes) -> None:
    if data[4] & 0x7F or int.from_bytes(data[5:8]) != 34:
        raise refused("the FLAC file does not begin with its stream's description")
    packed = int.from_bytes(data[18:26])
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & 0xFFFFFFFFF
    if len(data) < 42 or rate not in _RATES or channels > _MAX_CHANNELS or not samples:
        raise refused("the FLAC file does not say how long it is")
    _check_seconds(samples / rate)


# -- MP3


def _mpeg(data: bytes) -> bytes:
    """The chain of like frames, followed for as long as a sound may last; tags around it are left out.

    Frames that are all of one kind leave the decoder no other way to read the file.
    """
    start = position = _first_frame(data, _after_tag(data))
    first = _frame(data, position)
    seconds = 0.0
    while (frame := _frame(data, position)) is not None and first is not None and frame.kind == first.kind:
        position += frame.size
        seconds += frame.seconds
        _check_seconds(seconds)
    if data[position : position + 3] not in (b"TAG", b"APE") and any(data[position:]):
        raise refused("the MP3 file is damaged")
    return data[start:position]


def _after_tag(data: bytes) -> int:
    if not data.startswith(b"ID3"):
        return 0
    size = 0
    for byte in data[6:_ID3]:
        size = size << 7 | byte & 0x7F
    return _ID3 + size


class _Frame(NamedTuple):
    size: int
    seconds: float
    kind: tuple[int, int, int]
    """Version, layer, samples a second."""


def _first_frame(data: bytes, start: int) -> int:
    """Where a frame is followed by another of its kind."""
    position = data.find(b"\xff", start)
    while 0 <= position < start + _SYNC_WITHIN:
        if (frame := _frame(data, position)) is not None:
            after = position + frame.size
            following = _frame(data, after)
            if after >= len(data) or (following is not None and following.kind == frame.kind):
                return position
        position = data.find(b"\xff", position + 1)
    raise refused("there is no sound in the MP3 file")


def _frame(data: bytes, position: int) -> _Frame | None:
    """The frame at a position; None when there is none, or one of a bit rate of its own."""
    if position + 4 > len(data):
        return None
    head = int.from_bytes(data[position : position + 4])
    version, layer = head >> 19 & 3, 4 - (head >> 17 & 3)
    rate_index, bits_index = head >> 10 & 3, head >> 12 & 15
    if head >> 21 != 0x7FF or version == 1 or layer == 4 or rate_index == 3 or bits_index in (0, 15):
        return None
    first = version == 3
    rate = _SAMPLE_RATES[version][rate_index]
    bits = _BIT_RATES[first, layer][bits_index] * 1000
    padding = head >> 9 & 1
    if layer == 1:
        samples, size = 384, (12 * bits // rate + padding) * 4
    else:
        samples = 1152 if first or layer == 2 else 576
        size = samples // 8 * bits // rate + padding
    return _Frame(size, samples / rate, (version, layer, rate))
