"""What turns pictures and sounds into rows of the model's input: llama.cpp's library for media.

A projector is a second file beside the weights. It cuts a medium into chunks, tells how many cells and positions each
takes, and encodes a chunk into a row of floats a cell. Beside the chunks it may ask for tokens around them (begin and
end of an image, rows of tiles), which depend on the model.
"""

import ctypes
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.frames import Buffer
from scheduler.runner.engine.library import native
from scheduler.runner.engine.model import Model, ModelLoadError

_TEXT: Final = 0
_IMAGE: Final = 1
_INFO: Final = 2
_ERROR: Final = 4
_CONTINUATION: Final = 5
_FLASH: Final = {None: -1, False: 0, True: 1}
_TRIAL: Final = ((4096, 4096), (4096, 2048), (2048, 4096), (1024, 1024))
"""Sizes of pictures that show how many cells one may take."""


@cache
def _media_library() -> Any:
    """The ctypes module over libmtmd."""
    native()
    return importlib.import_module("llama_cpp.mtmd_cpp")


class ProjectionError(Exception):
    """The library cannot make anything of a medium; carries its words."""


class _Log:
    """The library's log: passed on to stderr, its errors kept."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.device = "CPU"
        """Where the projector computes."""
        self.compute: dict[str, int] = {}
        """Bytes of working memory by device."""
        self._level = 0
        self._line = ""
        self._callback: Any = native().llama_log_callback(self._receive)
        _media_library().mtmd_helper_log_set(self._callback, None)

    def _receive(self, level: int, text: bytes | None, _user: object) -> None:
        if level != _CONTINUATION:
            self._level = level
        *lines, self._line = (self._line + (text or b"").decode("utf-8", "replace")).split("\n")
        if self._level >= _INFO:
            for line in filter(None, map(str.rstrip, lines)):
                self._take(line)

    def _take(self, line: str) -> None:
        if self._level >= _ERROR:
            self.errors.append(line)
        words = line.split()
        if "CLIP using" in line and words[-1] == "backend":
            self.device = words[-2]
        elif "compute buffer size" in line and words[-1] == "MiB":
            self.compute[words[1]] = round(float(words[-2]) * 1024 * 1024)
        print(line, file=sys.stderr, flush=True)

    def begin(self) -> None:
        """Forget what was said of another file."""
        self.errors.clear()
        self.compute.clear()

    def take_reason(self) -> str:
        """The errors since the last call as one text, without the names of functions in front."""
        lines = [line.split(": error: ", 1)[-1] for line in self.errors]
        self.errors.clear()
        return "; ".join(lines)


@cache
def _log() -> _Log:
    return _Log()


class Bitmap:
    """A picture or sound in the library's memory."""

    def __init__(self, pointer: Any, identity: str) -> None:
        self.pointer = pointer
        _media_library().mtmd_bitmap_set_id(pointer, identity.encode())

    def __del__(self) -> None:
        _media_library().mtmd_bitmap_free(self.pointer)


class _Chunks:
    """A list of chunks as the library returned it; its media hold pixels ready for the encoder."""

    def __init__(self) -> None:
        self.pointer: Any = _media_library().mtmd_input_chunks_init()

    def __del__(self) -> None:
        _media_library().mtmd_input_chunks_free(self.pointer)


class Chunk:
    """One piece of a medium: what the encoder sees at once."""

    def __init__(self, projector: "Projector", owner: _Chunks, pointer: Any) -> None:
        lib = _media_library()
        self._lib = lib
        self._projector = projector
        self._full: tuple[_Chunks, Any] | None = (owner, pointer)
        self._shape: Any = lib.mtmd_input_chunk_get_placeholder(pointer)  # all of it but the pixels
        self.tokens: int = lib.mtmd_input_chunk_get_n_tokens(pointer)
        """Cells it takes in the KV cache."""
        self.positions: int = lib.mtmd_input_chunk_get_n_pos(pointer)
        """How far it advances the position counter."""
        self.identity: str = (lib.mtmd_input_chunk_get_id(pointer) or b"").decode()
        """Of the bitmap it comes from."""
        self.causal = not lib.mtmd_decode_use_non_causal(projector.pointer, pointer)
        """Whether a row sees only those before it; else all must be decoded together."""
        self.facts = self._facts()
        """Everything but the pixels that decides how it is encoded and placed; `identity` included."""
        self.width = projector.width
        """Floats in a row."""

    def __del__(self) -> None:
        self._lib.mtmd_input_chunk_free(self._shape)

    def _facts(self) -> bytes:
        size = ctypes.c_size_t()
        self._lib.mtmd_input_chunk_save(self._shape, None, 0, ctypes.byref(size))
        room = ctypes.create_string_buffer(size.value)
        self._lib.mtmd_input_chunk_save(self._shape, room, size.value, ctypes.byref(size))
        return room.raw

    def encode(self) -> NDArray[np.float32] | None:
        """A row of the model's input for each cell; None when the computation failed.

        For one thread at a time. Lets go of the pixels when they are no longer needed: call it once.
        """
        assert self._full is not None, "encoded already"
        rows = self._projector.encode(self._full[1], self.tokens)
        if rows is not None:
            self._full = None
        return rows

    def places(self, position: int) -> NDArray[np.int32]:
        """Positions of its cells when it begins at `position`: (cells,), or (4, cells) for M-RoPE."""
        steps = np.arange(position, position + self.tokens, dtype=np.int32)
        if not self._projector.sections:
            return steps
        image = self._lib.mtmd_input_chunk_get_tokens_image(self._shape)
        if not image:
            return np.tile(steps, (4, 1))
        found = (self._lib.mtmd_decoder_pos * self.tokens)()
        self._lib.mtmd_helper_image_get_decoder_pos(image, position, found)
        cells = np.frombuffer(found, np.int32).reshape(self.tokens, 4)  # time, x, y, z
        return np.ascontiguousarray(cells[:, (0, 2, 1, 3)].T)


@dataclass(frozen=True, slots=True)
class ProjectorParams:
    """What decides where a projector computes."""

    path: str
    threads: int
    use_gpu: bool = True
    flash_attention: bool | None = None
    least_cells: int = 0
    """Cells that a picture takes at least, where the projector lets it choose its size; 0 leaves it to the file."""


class Projector:
    """One projector file on a loaded model. It lives as long as the process."""

    def __init__(self, model: Model, params: ProjectorParams) -> None:
        """Raises `ModelLoadError` with the library's words, as when the file belongs to another model."""
        lib = _media_library()
        self._lib = lib
        self._log = _log()
        self._log.begin()
        _check_complete(params.path)
        self.pointer: Any = lib.mtmd_init_from_file(params.path.encode(), model.pointer, _native_params(lib, params))
        if not self.pointer:
            reason = self._log.take_reason() or "the file cannot be read"
            raise ModelLoadError(f"failed to load the projector: {reason}", unsupported=True)
        self.vision: bool = lib.mtmd_support_vision(self.pointer)
        self.audio: bool = lib.mtmd_support_audio(self.pointer)
        self.sections: bool = lib.mtmd_decode_use_mrope(self.pointer)
        """Whether a cell has four positions: time, row, column and one in reserve."""
        self.sample_rate: int = lib.mtmd_get_audio_sample_rate(self.pointer)
        self.adds_eos: bool = native().llama_vocab_get_add_eos(model.vocabulary.pointer)
        """Whether the model's tokenizer puts a token at the end of a prompt."""
        self.width: int = native().llama_model_n_embd_inp(model.pointer)
        """Floats in a row of the model's input."""
        self._device = self._log.device
        self._weights = os.path.getsize(params.path)
        self._working_memory = dict(self._log.compute)

    def buffers(self) -> list[Buffer]:
        """Memory it takes."""
        compute = [Buffer(device, "compute", size) for device, size in self._working_memory.items()]
        return [Buffer(self._device, "model", self._weights), *compute]

    def largest_whole_chunk(self) -> int:
        """Cells of the largest chunk that must be decoded in one batch; 0 when all chunks may be split."""
        if not self.vision or not self._lib.mtmd_decode_use_non_causal(self.pointer, None):
            return 0
        pictures = (self._blank(width, height) for width, height in _TRIAL)
        chunks = (chunk for picture in pictures for chunk in self.tokenize([picture]) if isinstance(chunk, Chunk))
        return max(chunk.tokens for chunk in chunks)

    # -- reading: safe from any thread

    def picture(self, width: int, height: int, pixels: bytes, identity: str) -> Bitmap:
        """A picture of `width` × `height` × 3 bytes."""
        assert len(pixels) == width * height * 3
        data = ctypes.cast(ctypes.c_char_p(pixels), ctypes.POINTER(ctypes.c_uint8))
        return Bitmap(self._lib.mtmd_bitmap_init(width, height, data), identity)

    def _blank(self, width: int, height: int) -> Bitmap:
        """A picture without pixels, good for counting."""
        return Bitmap(self._lib.mtmd_bitmap_init(width, height, None), "")

    def sound(self, data: bytes, identity: str) -> tuple[Bitmap, int]:
        """A decoded WAV, MP3 or FLAC file and its number of samples. Raises `ProjectionError`."""
        lib = self._lib
        buffer = ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_uint8))
        pointer = lib.mtmd_helper_bitmap_init_from_buf(self.pointer, buffer, len(data), False)
        if not pointer:
            raise ProjectionError(self._log.take_reason() or "the sound cannot be decoded")
        return Bitmap(pointer, identity), lib.mtmd_bitmap_get_nx(pointer)

    def tokenize(self, parts: Sequence[str | Bitmap]) -> list[list[int] | Chunk]:
        """Tokens and chunks of texts and media in order, nothing added at the ends. Raises `ProjectionError`.

        Texts are taken as they stand: no mark in them stands for a medium.
        """
        lib = self._lib
        natives = [self._part(part) for part in parts]
        addresses = (ctypes.c_void_p * len(natives))(*map(ctypes.addressof, natives))
        call = lib.mtmd_tokenize_from_parts
        chunks = _Chunks()
        pointers = ctypes.cast(addresses, call.argtypes[2])
        if call(self.pointer, chunks.pointer, pointers, len(natives), False) != 0:
            raise ProjectionError(self._log.take_reason() or "it cannot be prepared for the model")
        return list(self._read(chunks))

    def _part(self, part: str | Bitmap) -> Any:
        lib = self._lib
        if isinstance(part, Bitmap):
            return lib.mtmd_input_part(text=None, bitmap=part.pointer)
        data = part.encode("utf-8", "surrogatepass")
        text = lib.mtmd_input_text(text=data, text_len=len(data), add_special=False, parse_special=True)
        return lib.mtmd_input_part(text=ctypes.pointer(text), bitmap=None)

    def _read(self, chunks: _Chunks) -> Iterator[list[int] | Chunk]:
        lib = self._lib
        for index in range(lib.mtmd_input_chunks_size(chunks.pointer)):
            pointer = lib.mtmd_input_chunks_get(chunks.pointer, index)
            if lib.mtmd_input_chunk_get_type(pointer) == _TEXT:
                count = ctypes.c_size_t()
                tokens = lib.mtmd_input_chunk_get_tokens_text(pointer, ctypes.byref(count))
                yield tokens[: count.value]
            else:
                yield Chunk(self, chunks, pointer)

    # -- computing: one thread at a time

    def encode(self, pointer: Any, tokens: int) -> NDArray[np.float32] | None:
        """Rows of a chunk, copied out; None on failure."""
        if self._lib.mtmd_encode_chunk(self.pointer, pointer) != 0:
            return None
        rows = self._lib.mtmd_get_output_embd(self.pointer)
        return np.ctypeslib.as_array(rows, shape=(tokens, self.width)).copy()


def _check_complete(path: str) -> None:
    """The library takes what is missing at the end of a file for zeros. Raises `ModelLoadError`."""
    from modelstore import gguf  # only runners with a projector need it
    from modelstore.errors import InvalidGGUF

    try:
        gguf.read_header(Path(path))
    except (InvalidGGUF, OSError) as error:
        raise ModelLoadError(f"failed to load the projector: {error}", unsupported=True) from error


def _native_params(lib: Any, params: ProjectorParams) -> Any:
    native_params = lib.mtmd_context_params_default()
    native_params.use_gpu = params.use_gpu
    native_params.print_timings = False
    native_params.n_threads = params.threads
    native_params.flash_attn_type = _FLASH[params.flash_attention]
    if params.least_cells > 0:
        native_params.image_min_tokens = params.least_cells
    native_params.warmup = True  # reserves working memory now, so that a lack of it shows now; computes nothing
    return native_params
