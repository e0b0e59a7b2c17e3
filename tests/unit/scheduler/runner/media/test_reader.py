"""Prompts with media become segments; the projector is made up: a pixel's worth of its size is the cells it takes."""

import io
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from scheduler.frames import NO_MARK
from scheduler.runner.engine import Context
from scheduler.runner.engine.projector import Bitmap, Chunk, ProjectionError, Projector
from scheduler.runner.limits import PromptTooLong
from scheduler.runner.media import clips
from scheduler.runner.media.clips import Clip, Shelf
from scheduler.runner.media.picture import MediaError
from scheduler.runner.media.reader import MediaReader
from scheduler.runner.sequence import Media
from tests.unit.scheduler.runner.letters import BOS, EOS, letters
from tests.unit.scheduler.runner.media.test_sound import wave

BEGIN, END = 300, 301
"""Tokens that the projector wants around a picture."""


class FakeBitmap(Bitmap):
    def __init__(self, cells: int, identity: str) -> None:
        self.cells = cells
        self.identity = identity

    def __del__(self) -> None: ...


class FakeChunk(Chunk):
    def __init__(self, bitmap: FakeBitmap, *, causal: bool = True, place: int = 0, fails: bool = False) -> None:
        self.tokens = bitmap.cells
        self.positions = max(bitmap.cells // 2, 1)
        self.identity = bitmap.identity
        self.causal = causal
        self.facts = f"{bitmap.identity} {bitmap.cells} {place}".encode()
        self.width = 2
        self.encoded = 0
        self._fails = fails

    def __del__(self) -> None: ...

    def encode(self) -> NDArray[np.float32] | None:
        self.encoded += 1
        return None if self._fails else np.zeros((self.tokens, 2), np.float32)

    def places(self, position: int) -> NDArray[np.int32]:
        return np.arange(position, position + self.tokens, dtype=np.int32)


class FakeProjector:
    """A picture takes as many cells as it is wide, in chunks of at most `chunk`."""

    sample_rate = 10
    adds_eos = False

    def __init__(
        self, *, vision: bool = True, audio: bool = False, chunk: int = 100, causal: bool = True, places: bool = False
    ) -> None:
        self.vision, self.audio = vision, audio
        self._chunk, self._causal, self._places = chunk, causal, places
        self.decoded = 0
        self.chunks: list[FakeChunk] = []

    def picture(self, width: int, height: int, pixels: bytes, identity: str) -> Bitmap:
        assert len(pixels) == width * height * 3
        self.decoded += bool(identity)  # one without a name only shows whether places matter
        return FakeBitmap(width, identity)

    def sound(self, data: bytes, identity: str) -> tuple[Bitmap, int]:
        samples = (len(data) - 44) // 2
        return FakeBitmap(samples, identity), samples

    def tokenize(self, parts: Sequence[str | Bitmap]) -> list[list[int] | Chunk]:
        found: list[list[int] | Chunk] = []
        for number, part in enumerate(parts):
            if isinstance(part, str):
                found.append([BOS, *part[3:].encode()] if part.startswith("<s>") else [*part.encode()])
                continue
            assert isinstance(part, FakeBitmap)
            if part.cells == 13:
                raise ProjectionError("no such picture")
            found.append([BEGIN])
            for start in range(0, part.cells, self._chunk):
                piece = FakeBitmap(min(self._chunk, part.cells - start), part.identity)
                self.chunks.append(FakeChunk(piece, causal=self._causal, place=number if self._places else 0))
                found.append(self.chunks[-1])
            found.append([END])
        return found


class FakeContext:
    def __init__(self, result: int = 0) -> None:
        self.result = result
        self.calls: list[tuple[Any, ...]] = []

    def decode_embeddings(self, rows: Any, places: Any, sequence: int, *, logits_last: bool, causal: bool) -> int:
        self.calls.append((rows.shape, places.tolist(), sequence, logits_last, causal))
        return self.result

    def remove(self, *where: int) -> bool:
        self.calls.append(("remove", *where))
        return True


def reader(*projectors: FakeProjector, add_bos: bool = True, num_ctx: int = 200, **more: Any) -> MediaReader:
    vocabulary = letters(add_bos=add_bos)
    return MediaReader(
        [cast(Projector, one) for one in projectors or (FakeProjector(),)],
        vocabulary,
        num_ctx=num_ctx,
        physical_batch=50,
        **more,
    )


def png(width: int, colour: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 4), (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()


def shape(segments: Sequence[list[int] | Media]) -> list[str | int]:
    """Tokens as text, media as their cells."""
    return [bytes(t if t < 256 else b"<^{}"[t - BOS if t < 300 else t - 298] for t in one).decode()
            if isinstance(one, list) else one.tokens for one in segments]  # fmt: skip


def test_marks_say_where_the_pictures_stand() -> None:
    found = reader().read("see [img-1] and [img-0]!", [png(3), png(5)])
    assert shape(found) == ["<see {", 5, "} and {", 3, "}!"]


def test_what_only_reads_like_a_mark_is_text() -> None:
    found = reader().read(f"see {NO_MARK}0] and {NO_MARK}9]: [img-0]!", [png(3)])
    assert shape(found) == ["<see [img-0] and [img-9]: {", 3, "}!"]


def test_the_begin_token_stands_in_front_once_and_only_where_the_tokenizer_adds_it() -> None:
    assert shape(reader().read("<s>[img-0]x", [png(3)])) == ["<{", 3, "}x"]
    assert shape(reader(add_bos=False).read("[img-0]x", [png(3)])) == ["{", 3, "}x"]


def test_the_end_token_stands_at_the_end_where_the_tokenizer_adds_it() -> None:
    projector = FakeProjector()
    projector.adds_eos = True
    found = reader(projector).read("[img-0]x", [png(3)])
    assert found[-1] == [END, ord("x"), EOS]


def test_a_picture_may_stand_in_two_places() -> None:
    found = reader().read("[img-0][img-0]", [png(3)])
    assert shape(found) == ["<{", 3, "}{", 3, "}"]
    assert found[1] is found[3]


def test_a_picture_in_several_pieces_gives_several_media() -> None:
    found = reader(FakeProjector(chunk=4)).read("[img-0]", [png(10)])
    assert shape(found) == ["<{", 4, 4, 2, "}"]
    ids = [one.ids for one in found if not isinstance(one, list)]
    assert ids[0] != ids[1], "equal in size, not in content"


@pytest.mark.parametrize(
    ("prompt", "count", "words"),
    [
        ("[img-1]", 1, "failed to process inputs: invalid image index: 1"),
        ("[img-99999999999999999999]", 1, "failed to process inputs: invalid image index: 99999999999999999999"),
        ("nothing", 1, "failed to process inputs: the prompt does not say where image 0 stands"),
        ("[img-0]", 2, "failed to process inputs: the prompt does not say where image 1 stands"),
    ],
)
def test_marks_and_items_must_fit_each_other(prompt: str, count: int, words: str) -> None:
    with pytest.raises(MediaError) as caught:
        reader().read(prompt, [png(3)] * count)
    assert str(caught.value) == words


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(MediaError, match=r"^failed to process inputs: received zero length image$"):
        reader().read("[img-0]", [b""])
    with pytest.raises(MediaError, match=r"^audio input is not supported"):
        reader().read("[img-0]", [wave(bytes(100))])
    with pytest.raises(MediaError, match=r"^image input is not supported"):
        reader(FakeProjector(vision=False, audio=True)).read("[img-0]", [png(3)])
    with pytest.raises(MediaError, match="too short"):
        reader(FakeProjector(audio=True)).read("[img-0]", [wave(b"")])
    with pytest.raises(MediaError, match="no such picture"):
        reader().read("[img-0]", [png(13)])


def test_pictures_and_sounds_go_to_the_projector_that_takes_them() -> None:
    both = reader(FakeProjector(), FakeProjector(vision=False, audio=True))
    assert (both.vision, both.audio) == (True, True)
    assert shape(both.read("[img-0][img-1]", [wave(bytes(14)), png(3)])) == ["<{", 7, "}{", 3, "}"]


def test_no_more_is_prepared_than_the_context_holds() -> None:
    projector = FakeProjector()
    with pytest.raises(PromptTooLong, match=r"exceeds the available context size \(200 tokens\)"):
        reader(projector).read("".join(f"[img-{n}]" for n in range(50)), [png(60, n) for n in range(50)])
    assert projector.decoded == 4


def test_a_piece_that_must_go_whole_fits_the_batch_or_is_refused() -> None:
    reader(FakeProjector(causal=False)).read("[img-0]", [png(50)])
    reader(FakeProjector(causal=True)).read("[img-0]", [png(51)])
    with pytest.raises(MediaError, match=r"^input \(51 tokens\) is too large to process"):
        reader(FakeProjector(causal=False)).read("[img-0]", [png(51)])


# -- names and keeping


def media_of(segments: Sequence[list[int] | Media]) -> list[Media]:
    return [one for one in segments if not isinstance(one, list)]


def test_equal_content_has_equal_names_and_other_content_others() -> None:
    one, other = reader(), reader()
    (first,) = media_of(one.read("[img-0]", [png(9, 1)]))
    (again,) = media_of(other.read("some text [img-0]", [png(9, 1)]))
    (different,) = media_of(other.read("[img-0]", [png(9, 2)]))
    assert first.ids == again.ids
    assert len(first.ids) == first.tokens
    assert not set(first.ids) & set(different.ids)


@given(st.binary(max_size=40), st.integers(1, 3000))
def test_names_are_negative_and_fit_into_64_bits(key: bytes, count: int) -> None:
    ids = clips._ids(key, count)  # pyright: ignore[reportPrivateUsage]
    assert len(set(ids)) == count
    assert all(-(1 << 63) <= id < 0 for id in ids)


def test_a_picture_is_decoded_and_encoded_once() -> None:
    projector = FakeProjector()
    kept = reader(projector)
    context = FakeContext()
    for _ in range(3):
        (media,) = media_of(kept.read("[img-0]", [png(5)]))
        assert media.evaluate(cast(Context, context), 2, 7, logits=True) == 0
    assert projector.decoded == 1
    assert projector.chunks[-1].encoded == 1
    assert context.calls[0] == ((5, 2), [7, 8, 9, 10, 11], 2, True, True)


def test_the_same_pixels_in_another_file_are_the_same_picture() -> None:
    kept = reader()
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (0, 0, 0)).save(file, "BMP")
    assert media_of(kept.read("[img-0]", [png(5)])) == media_of(kept.read("[img-0]", [file.getvalue()]))


def test_what_fails_leaves_nothing_in_the_sequence() -> None:
    clip = Clip(FakeChunk(FakeBitmap(4, "a")), 0)
    context = FakeContext(result=1)
    assert clip.evaluate(cast(Context, context), 3, 10, logits=False) == 1
    assert context.calls[-1] == ("remove", 3, 10)
    failing = Clip(FakeChunk(FakeBitmap(4, "a"), fails=True), 0)
    assert failing.evaluate(cast(Context, FakeContext()), 0, 0, logits=False) < -1


def clip(cells: int, *, encoded: bool = True) -> Clip:
    one = Clip(FakeChunk(FakeBitmap(cells, str(cells))), 0)
    if encoded:
        one.encode()
    return one


def test_the_shelf_forgets_what_was_not_used_for_longest() -> None:
    shelf = Shelf(limit=10 * 8)  # ten cells of two floats
    shelf.put(b"a", [clip(4)])
    shelf.put(b"b", [clip(4)])
    assert shelf.find(b"a")
    shelf.put(b"c", [clip(4)])
    assert shelf.find(b"a")
    assert not shelf.find(b"b")
    shelf.put(b"too large", [clip(11)])
    assert not shelf.find(b"too large")
    assert shelf.find(b"c")


def test_the_shelf_keeps_few_media_with_their_pixels() -> None:
    shelf = Shelf(limit=1 << 30)
    for n in range(30):
        shelf.put(bytes([n]), [clip(4, encoded=n % 2 == 0)])
    kept = [n for n in range(30) if shelf.find(bytes([n]))]
    assert len([n for n in kept if n % 2]) <= 8
    assert [n for n in kept if n % 2 == 0] == list(range(0, 30, 2))


# -- projectors that place a picture by what stands in front of it


def test_where_places_matter_all_is_read_at_once_and_equal_pictures_differ() -> None:
    together = reader(FakeProjector(places=True))
    prompt = "<s>see [img-0] and [img-0]!"
    found = together.read(prompt, [png(5)])
    assert shape(found) == ["<see {", 5, "} and {", 5, "}!"]
    first, second = media_of(found)
    assert first.ids != second.ids
    assert media_of(together.read(prompt, [png(5)])) == [first, second], "kept for the next request"
    assert shape(reader().read(prompt, [png(5)])) == shape(found)


def test_where_places_matter_pictures_and_sounds_do_not_mix() -> None:
    mixed = reader(FakeProjector(places=True), FakeProjector(vision=False, audio=True))
    with pytest.raises(MediaError, match="in one request"):
        mixed.read("[img-0][img-1]", [wave(bytes(14)), png(3)])
    with pytest.raises(MediaError, match="64 allowed"):
        reader(FakeProjector(places=True)).read("[img-0]" * 65, [png(1)])
