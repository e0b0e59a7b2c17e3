"""Pictures and sounds of a prompt: where they stand, and what the model gets in their place.

A prompt names its media by marks: `[img-n]` is the n-th item of the request, a sound as well. Reading a prompt gives
segments in order, tokens and media. A medium takes cells in the KV cache as tokens do; negative numbers made from its
content stand for them in the list of a sequence's tokens, so that whatever compares such lists compares media too.

Media are kept between requests, so that the next turn of a conversation neither decodes nor encodes them again.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from scheduler.frames import NO_MARK
from scheduler.runner.engine import Vocabulary
from scheduler.runner.engine.projector import Bitmap, Chunk, ProjectionError, Projector
from scheduler.runner.limits import PromptTooLong
from scheduler.runner.media import picture, sound
from scheduler.runner.media.clips import CACHE_BYTES, CACHE_ENTRIES, Clip, Medium, Shelf
from scheduler.runner.media.picture import MediaError, refused
from scheduler.runner.sequence import Media

_MARK: Final = re.compile(r"\[img-([0-9]+)\]")
_NOT_SUPPORTED: Final = "{} input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
_MIN_SECONDS: Final = 0.1
"""Some preparations of a sound fail on next to nothing."""
_PROBE: Final = 64
"""Side of the picture that shows whether a projector cares about a picture's place."""


class MediaReader:
    """Reads prompts with media for one loaded model."""

    def __init__(
        self,
        projectors: Sequence[Projector],
        vocabulary: Vocabulary,
        *,
        num_ctx: int,
        physical_batch: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._sight = next((projector for projector in projectors if projector.vision), None)
        self._hearing = next((projector for projector in projectors if projector.audio), None)
        self._vocabulary = vocabulary
        self._adds_eos = any(projector.adds_eos for projector in projectors)
        self._num_ctx = num_ctx
        self._physical_batch = physical_batch
        self._shelf = Shelf(cache_bytes)
        self._together: dict[int, bool] = {}

    @property
    def vision(self) -> bool:
        """Whether it takes pictures."""
        return self._sight is not None

    @property
    def audio(self) -> bool:
        """Whether it takes sounds."""
        return self._hearing is not None

    def read(self, prompt: str, items: Sequence[bytes]) -> list[list[int] | Media]:
        """The prompt's segments, tokens never twice in a row. Raises `MediaError`, `PromptTooLong`."""
        texts, order = _split(prompt, len(items))
        projectors = [self._projector(item) for item in items]
        if self._vocabulary.add_bos and (bos := self._vocabulary.bos):
            texts[0] = texts[0].removeprefix(bos)
        try:
            if any(self._cares_about_place(projector) for projector in projectors):
                found = self._read_together(texts, order, items, projectors)
            else:
                found = self._read_apart(texts, order, items, projectors)
            return self._checked(found)
        except ProjectionError as error:
            raise refused(str(error)) from error

    def _projector(self, item: bytes) -> Projector:
        if not item:
            raise MediaError("failed to process inputs: received zero length image")
        heard = sound.is_sound(item)
        projector = self._hearing if heard else self._sight
        if projector is None:
            raise MediaError(_NOT_SUPPORTED.format("audio" if heard else "image"))
        return projector

    def _checked(self, found: Iterable[list[int] | Media]) -> list[list[int] | Media]:
        """Tokens joined, the ends as the tokenizer wants them; not more than the context holds."""
        vocabulary = self._vocabulary
        segments: list[list[int] | Media] = [[vocabulary.bos_id]] if vocabulary.add_bos else []
        cells = len(segments)
        for one in found:
            cells += len(one) if isinstance(one, list) else one.tokens
            if cells >= self._num_ctx:
                raise PromptTooLong(
                    f"request ({cells} tokens or more) exceeds the available context size "
                    f"({self._num_ctx} tokens), try increasing it"
                )
            _join(segments, one)
        if self._adds_eos:
            _join(segments, [vocabulary.eos_id])
        return segments

    # -- each medium by itself

    def _read_apart(
        self, texts: list[str], order: list[int], items: Sequence[bytes], projectors: list[Projector]
    ) -> Iterator[list[int] | Media]:
        for text, number in zip(texts, [*order, None], strict=True):
            yield self._vocabulary.tokenize(text)
            if number is not None:
                yield from self._medium(items[number], projectors[number])

    def _medium(self, item: bytes, projector: Projector) -> Medium:
        file = hashlib.sha256(item).digest()
        if (known := self._shelf.find_file(file)) is not None:
            return known
        bitmap, content = _bitmap(item, projector)
        if (known := self._shelf.find(content)) is None:
            found = projector.tokenize([bitmap])
            known = [one if isinstance(one, list) else self._clip(one, index) for index, one in enumerate(found)]
            self._shelf.put(content, known)
        self._shelf.remember(file, content)
        return known

    def _clip(self, chunk: Chunk, index: int) -> Clip:
        if not chunk.causal and chunk.tokens > self._physical_batch:
            raise MediaError(
                f"input ({chunk.tokens} tokens) is too large to process. increase the physical batch size "
                f"(current batch size: {self._physical_batch})"
            )
        return Clip(chunk, index)

    # -- all at once, for projectors that place a picture by what stands in front of it

    def _cares_about_place(self, projector: Projector) -> bool:
        key = id(projector)
        if key not in self._together:
            self._together[key] = projector.vision and _place_matters(projector)
        return self._together[key]

    def _read_together(
        self, texts: list[str], order: list[int], items: Sequence[bytes], projectors: list[Projector]
    ) -> Iterator[list[int] | Media]:
        if len(set(map(id, projectors))) > 1:
            raise MediaError("failed to process inputs: this model does not take pictures and sounds in one request")
        if len(order) > CACHE_ENTRIES:
            raise MediaError(f"failed to process inputs: {len(order)} images in one request, {CACHE_ENTRIES} allowed")
        bitmaps = [_bitmap(items[number], projectors[number])[0] for number in order]
        parts: list[str | Bitmap] = [texts[0]]
        for bitmap, text in zip(bitmaps, texts[1:], strict=True):
            parts += (bitmap, text)
        if self._vocabulary.add_bos:
            parts[0] = self._vocabulary.bos + texts[0]
        found = projectors[0].tokenize(parts)
        if self._vocabulary.add_bos and found and isinstance(found[0], list):
            del found[0][:1]
        index, identity = 0, ""
        for one in found:
            if isinstance(one, list):
                yield one
                continue
            index, identity = (index + 1 if one.identity == identity else 0), one.identity
            clip = self._clip(one, index)
            if (known := self._shelf.find(clip.key)) is None:
                self._shelf.put(clip.key, known := [clip])
            yield from known


def spoken(prompt: str) -> str:
    """The prompt as it reads, what looks like a mark and is none included."""
    return prompt.replace(NO_MARK, "[img-")


def _split(prompt: str, count: int) -> tuple[list[str], list[int]]:
    """Texts around the marks, and the numbers of the marks. Raises `MediaError`."""
    pieces = _MARK.split(prompt)
    texts, order = [spoken(text) for text in pieces[::2]], [int(number) for number in pieces[1::2]]
    for number in order:
        if number >= count:
            raise MediaError(f"failed to process inputs: invalid image index: {number}")
    if missing := set(range(count)).difference(order):
        raise MediaError(f"failed to process inputs: the prompt does not say where image {min(missing)} stands")
    return texts, order


def _bitmap(item: bytes, projector: Projector) -> tuple[Bitmap, bytes]:
    """An item decoded, and the hash of what the projector gets. Raises `MediaError`, `ProjectionError`."""
    if sound.is_sound(item):
        clean = sound.checked(item)
        content = hashlib.sha256(b"sound" + clean).digest()
        bitmap, samples = projector.sound(clean, content.hex())
        if samples < projector.sample_rate * _MIN_SECONDS:
            raise refused("the sound is too short")
        return bitmap, content
    pixels = picture.decode(item)
    content = hashlib.sha256(b"%d x %d " % (pixels.width, pixels.height) + pixels.data).digest()
    return projector.picture(*pixels, content.hex()), content


def _place_matters(projector: Projector) -> bool:
    """Whether a picture behind a picture, or behind text, is another to this projector."""
    pixels = bytes([127]) * (3 * _PROBE * _PROBE)

    def facts(*before: str | Bitmap) -> bytes:
        bitmap = projector.picture(_PROBE, _PROBE, pixels, "")
        return [one for one in projector.tokenize([*before, bitmap]) if isinstance(one, Chunk)][-1].facts

    alone = facts()
    return facts("x") != alone or facts(projector.picture(_PROBE, _PROBE, pixels, "")) != alone


def _join(segments: list[list[int] | Media], one: list[int] | Media) -> None:
    last = segments[-1] if segments else None
    if isinstance(one, list) and isinstance(last, list):
        last += one
    elif isinstance(one, list):
        segments.extend([list(one)] if one else [])
    else:
        segments.append(one)
