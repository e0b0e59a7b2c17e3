"""From the bytes of a picture to the pixels that a projector gets.

A picture comes from anyone, so its size is known and found harmless before a pixel of it is decoded: what a projector
makes of a picture is native code, for which running out of memory is the end of the process.
"""

import io
import struct
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES: Final = 64 << 20
MAX_PIXELS: Final = 64_000_000
MAX_SIDE: Final = 65_500
"""What a JPEG may have at most."""
MAX_RATIO: Final = 200
"""Of the longer side to the shorter; some ways of cutting a picture into tiles grow without bound beyond."""

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)
_ORIENTATION: Final = 0x0112
"""The EXIF tag that says how a camera was held."""
_WIDE_GREY: Final = ("I;16", "I;16B", "I;16L", "I")


class MediaError(Exception):
    """A picture or sound that cannot be used, or one that the prompt has no place for. The client's fault."""


class Pixels(NamedTuple):
    """A picture as rows of red, green, blue, eight bits each."""

    width: int
    height: int
    data: bytes


def decode(data: bytes) -> Pixels:
    """The first picture in a file, upright, on white where it is transparent.

    Of 16 bits a channel the upper 8 count. Raises `MediaError`.
    """
    if len(data) > MAX_BYTES:
        raise refused(f"the picture has {len(data):,} bytes, {MAX_BYTES:,} are allowed")
    kind = _kind(data)
    if kind is None:
        raise refused("it is not a JPEG, PNG, WebP, GIF or BMP picture")
    library = _pillow()
    try:
        with library.open(io.BytesIO(data), formats=(kind,)) as image:
            _check_size(*image.size)
            return _pixels(library, image)
    except MediaError:
        raise
    except (library.DecompressionBombError, library.DecompressionBombWarning):
        raise refused("the picture has too many pixels") from None
    except (MemoryError, OverflowError):
        raise refused("the picture does not fit into memory") from None
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise refused(f"the {kind} picture is damaged ({_reason(error)})") from error


def refused(reason: str) -> MediaError:
    """The reference's words for a file that it cannot read, and why."""
    return MediaError(f"failed to process inputs: Failed to load image or audio file: {reason}")


def _kind(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


@cache
def _pillow() -> Any:
    """`PIL.Image`, imported with the first picture: most runners never see one."""
    from PIL import Image, WebPImagePlugin

    plugin: ModuleType = WebPImagePlugin  # registers itself; the other formats are registered by `open`
    assert plugin
    return Image


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise refused("the picture is empty")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise refused(
            f"the picture has {width} × {height} pixels, {MAX_PIXELS:,} in all and {MAX_SIDE:,} a side are allowed"
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise refused(f"the picture is too narrow: {width} × {height} pixels, no more than 1:{MAX_RATIO} is allowed")


def _pixels(library: Any, image: "Image") -> Pixels:
    image.load()
    _check_size(*image.size)  # the frame of a GIF may be larger than its header says
    turn = _turn(library, image)
    if image.mode in _WIDE_GREY:
        image = library.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = library.new("RGBA", clear.size, (255, 255, 255, 255))
        image = library.alpha_composite(white, clear)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
    return Pixels(*image.size, image.tobytes())


def _turn(library: Any, image: "Image") -> Any:
    """What puts a photograph upright; None where nothing needs to be done."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # metadata that cannot be read says nothing
        return None
    transpose = library.Transpose
    return {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_270,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_90,
    }.get(orientation)


def _reason(error: Exception) -> str:
    """One line of an exception, without addresses of objects."""
    if isinstance(error, struct.error | EOFError | IndexError | KeyError):
        return "it ends too early"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.split(" <_io.", 1)[0]
