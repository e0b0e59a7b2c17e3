"""Pictures of all kinds, good and bad, become rows of red, green and blue or a clear refusal."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageFile import ImageFile

from scheduler.runner.media import picture
from scheduler.runner.media.picture import MediaError, decode

NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8))
BLOCKS = Image.fromarray(np.kron(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8), np.ones((32, 32, 1), np.uint8)))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, rows: bytes, before: bytes = b"") -> bytes:
    """A PNG that says what it is told to say."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    text = chunk(b"zTXt", before) if before else b""
    return b"\x89PNG\r\n\x1a\n" + head + text + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_pixels_as_they_are(kind: str, options: dict[str, object]) -> None:
    assert decode(saved(NOISE, kind, **options)) == (60, 40, NOISE.tobytes())


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("GIF", "RGB"), ("GIF", "L"), ("GIF", "P"), ("PNG", "1")],
)
def test_lossy_formats_and_other_colours_come_out_near_enough(kind: str, mode: str) -> None:
    width, height, data = decode(saved(BLOCKS.convert(mode), kind))
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3).astype(int)
    wanted = np.asarray(BLOCKS.convert(mode).convert("RGB")).astype(int)
    assert abs(pixels[16, 16] - wanted[16, 16]).max() < 12


def test_of_sixteen_bits_the_upper_eight_count() -> None:
    values = np.arange(0, 65536, 512, dtype=np.uint16).reshape(8, 16)
    data = decode(saved(Image.fromarray(values), "PNG")).data
    assert list(data[::3]) == list((values >> 8).ravel())


def test_what_is_transparent_becomes_white_and_what_is_not_stays() -> None:
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
    assert decode(saved(Image.fromarray(pixels), "PNG")).data == bytes([255, 255, 255, 10, 20, 30])


def test_a_transparent_colour_of_a_palette_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([9, 9, 9, 50, 60, 70])
    image.putdata([0, 1])
    assert decode(saved(image, "PNG", transparency=0)).data == bytes([255, 255, 255, 50, 60, 70])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(orientation: int) -> None:
    seen = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)  # how it ought to look
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.T,
        6: np.rot90(seen),
        7: seen[::-1, ::-1].T,
        8: np.rot90(seen, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = image.getexif()
    exif[0x0112] = orientation
    width, height, data = decode(saved(image, "PNG", exif=exif))
    assert (width, height) == (3, 2)
    assert list(data[::3]) == list(seen.ravel())


def test_only_the_first_frame_of_many_counts() -> None:
    frames = [Image.new("RGB", (50, 50), (n, 0, 0)) for n in range(0, 250, 10)]
    animation = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(animation).data[:3] == bytes([0, 0, 0])


BOMBS = {
    "50,000 × 50,000": png(50_000, 50_000, b"\0" * 1000),
    "9,000 × 9,000": png(9_000, 9_000, b"\0" * 1000),
    "a side too long": png(70_000, 1, b"\0"),
    "a text of 200 MB": png(4, 4, b"\0" * 52, b"key\0\0" + zlib.compress(b"a" * (200 << 20))),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile, "load", load)
    with pytest.raises(MediaError, match=r"^failed to process inputs: Failed to load image or audio file: "):
        decode(BOMBS[kind])


def test_what_is_too_narrow_or_too_large_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MediaError, match="too narrow: 300 × 1"):
        decode(saved(Image.new("RGB", (300, 1)), "PNG"))
    monkeypatch.setattr(picture, "MAX_BYTES", 100)
    with pytest.raises(MediaError, match="bytes, 100 are allowed"):
        decode(saved(NOISE, "PNG"))


def test_the_smallest_picture_is_one() -> None:
    assert decode(saved(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")) == (1, 1, bytes([1, 2, 3]))


OTHERS = {
    "text": b"hello world",
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
    "TIFF": b"II*\0" + bytes(40),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "text called PNG": b"\x89PNG\r\n\x1a\nhello",
    "half a PNG": saved(NOISE, "PNG")[:3000],
    "half a JPEG": saved(NOISE, "JPEG")[:400],
    "half a WebP": saved(NOISE, "WEBP")[:40],
    "half a GIF": saved(NOISE, "GIF")[:800],
    "BMP of zeros": b"BM" + bytes(60),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_picture_is_refused_with_a_reason(kind: str) -> None:
    with pytest.raises(MediaError, match=r"damaged|it is not a JPEG, PNG, WebP, GIF or BMP picture") as caught:
        decode(OTHERS[kind])
    assert "0x" not in str(caught.value), "no addresses"


@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]), st.data())
def test_damage_anywhere_gives_pixels_or_a_refusal(kind: str, data: st.DataObject) -> None:
    good = bytearray(saved(NOISE, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        width, height, pixels = decode(bytes(good[: data.draw(st.integers(0, len(good)))]))
    except MediaError:
        return
    assert len(pixels) == width * height * 3
