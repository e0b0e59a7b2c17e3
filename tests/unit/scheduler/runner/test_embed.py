"""Texts to vectors: cutting, packing, what is answered, and that the loop gets its turns."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner import embed
from scheduler.runner.embed import ChatModelEmbedder, EmbedError, PackedEmbedder, encode_vector, finish, prepare
from scheduler.runner.engine import Context
from scheduler.runner.prefix import Slots
from tests.unit.scheduler.runner.letters import BOS, EOS, letters

VOCABULARY = letters()


def request(*inputs: str, id: int = 1, **fields: Any) -> frames.Embed:
    return frames.Embed(id=id, inputs=list(inputs), **fields)


def tokens(text: str, *, limit: int = 20, batch: int = 20, truncate: bool = True) -> list[int]:
    return prepare(request(text, truncate=truncate), VOCABULARY, limit=limit, batch=batch).inputs[0]


class TestInputs:
    def test_special_tokens_surround_a_text(self) -> None:
        assert tokens("ab") == [BOS, 97, 98, EOS]
        assert tokens("") == [BOS, EOS]

    def test_a_text_is_cut_at_its_end_with_room_for_special_tokens(self) -> None:
        assert tokens("abcdef", limit=5) == [BOS, 97, 98, 99, EOS]
        assert tokens("abc", limit=5, truncate=False) == [BOS, 97, 98, 99, EOS]

    def test_it_is_cut_again_to_what_one_decode_holds(self) -> None:
        assert tokens("abcdef", limit=20, batch=4) == [BOS, 97, 98, EOS]

    @pytest.mark.parametrize(
        ("text", "limits", "message"),
        [
            ("abcdef", {"limit": 5, "truncate": False}, embed.TOO_LONG),
            ("abcdef", {"batch": 5, "truncate": False}, embed.TOO_LONG),
            ("a", {"limit": 2}, "input after truncation exceeds maximum context length"),
            ("a", {"batch": 2}, "input exceeds maximum context length and cannot be truncated further"),
        ],
    )
    def test_what_does_not_fit(self, text: str, limits: dict[str, Any], message: str) -> None:
        with pytest.raises(EmbedError) as caught:
            tokens(text, **limits)
        assert str(caught.value) == message

    def test_a_text_of_no_tokens(self) -> None:
        with pytest.raises(EmbedError, match="no tokens"):
            prepare(request(""), letters(add_bos=False, add_eos=False), limit=9, batch=9)

    @given(st.text(alphabet="abc", max_size=30), st.integers(3, 20), st.integers(3, 20))
    def test_whatever_is_prepared_fits(self, text: str, limit: int, batch: int) -> None:
        found = tokens(text, limit=limit, batch=batch)
        assert 0 < len(found) <= min(limit, batch)
        assert (found[0], found[-1]) == (BOS, EOS)


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


class TestVectors:
    def test_they_have_length_one_unless_the_file_and_the_request_want_them_raw(self) -> None:
        assert finish(vector(3, 4), request(), raw=True).tolist() == vector(0.6, 0.8).tolist()
        assert finish(vector(3, 4), request(normalize=False), raw=False).tolist() == vector(0.6, 0.8).tolist()
        assert finish(vector(3, 4), request(normalize=False), raw=True).tolist() == [3, 4]

    def test_nothing_stays_nothing(self) -> None:
        assert finish(vector(0, 0), request(), raw=False).tolist() == [0, 0]

    @pytest.mark.parametrize(("dimensions", "left"), [(-1, 3), (0, 3), (2, 2), (3, 3), (9, 3)])
    def test_leading_dimensions_are_scaled_again(self, dimensions: int, left: int) -> None:
        found = finish(vector(1, 2, 2), request(dimensions=dimensions), raw=False)
        assert len(found) == left
        assert np.linalg.norm(found) == pytest.approx(1)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_what_is_no_number_is_refused(self, bad: float) -> None:
        with pytest.raises(EmbedError, match="NaN or Inf"):
            finish(vector(1, bad), request(), raw=True)

    def test_encodings(self) -> None:
        found = vector(0.1, -2)
        assert encode_vector(found, "json32") == b"[0.1,-2.0]"
        assert encode_vector(found, "json64") == b"[0.10000000149011612,-2.0]"
        assert np.frombuffer(encode_vector(found, "float32"), "<f4").tolist() == found.tolist()


class FakeContext:
    """A vector is the number of a text's tokens and their sum; a hidden state is a token's number and 1."""

    def __init__(self, *, batch: int = 16, pooling: int = 1) -> None:
        self.tokens = np.zeros(batch, np.int32)
        self.positions = np.zeros(batch, np.int32)
        self.sequences = np.zeros(batch, np.int32)
        self.outputs = np.zeros(batch, np.int8)
        self.batch_size = self.physical_batch = batch
        self.pooling = pooling
        self.batches: list[list[tuple[int, int, int]]] = []
        """Token, position and sequence of each row."""
        self.failing = False
        self.embedding = False
        self.removed: list[int] = []

    def decode(self, count: int) -> int:
        assert 0 < count <= self.batch_size
        assert self.outputs[:count].all()
        if self.failing:
            return -3
        rows = zip(self.tokens, self.positions, self.sequences, strict=True)
        self.batches.append([(int(t), int(p), int(s)) for t, p, s in list(rows)[:count]])
        return 0

    def clear(self) -> None:
        pass

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        self.removed.append(sequence)
        return True

    def embedding_of_sequence(self, sequence: int) -> NDArray[np.float32]:
        mine = [token for token, _, s in self.batches[-1] if s == sequence]
        return vector(len(mine), sum(mine))

    def embedding_of_row(self, row: int) -> NDArray[np.float32]:
        return vector(self.batches[-1][row][0], 1)

    @contextmanager
    def embedding_mode(self) -> Generator[None]:
        self.embedding = True
        yield
        self.embedding = False


class Bench:
    """An embedder and what it answers."""

    def __init__(self, *, sequences: int = 4, raw: bool = True, **context: Any) -> None:
        self.context = FakeContext(**context)
        self.sent: list[frames.Frame] = []
        native = cast(Context, self.context)
        self.slots = Slots(2)
        self.packed = PackedEmbedder(native, sequences, self.sent.append, raw=raw)
        self.chat = ChatModelEmbedder(native, self.slots, self.sent.append)

    def job(self, id: int, *inputs: str, **fields: Any) -> embed.EmbedJob:
        wish = request(*inputs, id=id, normalize=False, **fields)
        return prepare(wish, letters(add_bos=False, add_eos=False), limit=16, batch=16)

    def vectors(self, id: int) -> list[list[float]]:
        (found,) = [frame for frame in self.sent if isinstance(frame, frames.Embedded) and frame.id == id]
        return [json.loads(one) for one in found.vectors]


class TestPacking:
    def test_texts_of_several_requests_share_a_decode(self) -> None:
        bench = Bench()
        bench.packed.submit(bench.job(1, "ab", "c"))
        bench.packed.submit(bench.job(2, "d"))
        bench.packed.step()
        assert bench.context.batches == [[(97, 0, 0), (98, 1, 0), (99, 0, 1), (100, 0, 2)]]
        assert bench.vectors(1) == [[2, 195], [1, 99]]
        assert bench.vectors(2) == [[1, 100]]
        assert [frame.prompt_tokens for frame in bench.sent if isinstance(frame, frames.Embedded)] == [3, 1]
        assert not bench.packed.busy

    @given(st.lists(st.lists(st.text("abc", min_size=1, max_size=9), max_size=5), max_size=5), st.integers(1, 4))
    def test_every_text_gets_its_own_vector_however_they_are_packed(
        self, wanted: list[list[str]], sequences: int
    ) -> None:
        bench = Bench(sequences=sequences)
        for id, inputs in enumerate(wanted):
            bench.packed.submit(bench.job(id, *inputs))
        while bench.packed.busy:
            bench.packed.step()
        for id, inputs in enumerate(wanted):
            assert bench.vectors(id) == [[len(text), sum(text.encode())] for text in inputs]

    def test_without_pooling_the_last_token_counts(self) -> None:
        bench = Bench(pooling=0)
        bench.packed.submit(bench.job(1, "ab", "c"))
        bench.packed.step()
        assert bench.vectors(1) == [[98, 1], [99, 1]]

    def test_a_request_for_nothing_is_answered_at_once(self) -> None:
        bench = Bench()
        bench.packed.submit(bench.job(1))
        assert bench.sent == [frames.Embedded(1, [], 0)]

    def test_a_cancelled_request_is_dropped(self) -> None:
        bench = Bench()
        bench.packed.submit(bench.job(1, "a"))
        bench.packed.submit(bench.job(2, "b"))
        bench.packed.cancel(1)
        bench.packed.step()
        assert [cast(frames.Embedded, frame).id for frame in bench.sent] == [2]

    def test_a_failed_decode_fails_those_who_were_in_it_once_each(self) -> None:
        bench = Bench(sequences=2)
        bench.packed.submit(bench.job(1, "a", "b"))
        bench.packed.submit(bench.job(2, "c"))
        bench.context.failing = True
        bench.packed.step()
        assert bench.sent == [frames.Failed(1, "Compute error.")]
        bench.context.failing = False
        bench.packed.step()
        assert bench.vectors(2) == [[1, 99]]


class TestChatModels:
    def test_a_vector_is_the_mean_over_all_tokens_also_over_several_decodes(self) -> None:
        bench = Bench(batch=2)
        bench.chat.submit(bench.job(1, "abc"))
        bench.chat.step()
        assert [len(rows) for rows in bench.context.batches] == [2, 1]
        (found,) = bench.vectors(1)
        assert found[0] / found[1] == pytest.approx(98)
        assert np.linalg.norm(found) == pytest.approx(1)
        assert not bench.context.embedding

    def test_it_takes_the_idle_slot_that_is_missed_least(self) -> None:
        bench = Bench()
        first, second = bench.slots.all
        first.tokens, first.used = [1], 5
        bench.chat.submit(bench.job(1, "a", "b"))
        bench.chat.step()
        assert {sequence for rows in bench.context.batches for *_, sequence in rows} == {second.id}
        assert first.tokens == [1]
        second.busy = True
        bench.chat.step()
        assert first.tokens == []
        assert not bench.chat.busy

    def test_it_waits_while_every_slot_is_busy(self) -> None:
        bench = Bench()
        for slot in bench.slots.all:
            slot.busy = True
        bench.chat.submit(bench.job(1, "a"))
        bench.chat.step()
        assert bench.context.batches == []
        assert bench.chat.busy

    def test_a_failed_decode_fails_the_request(self) -> None:
        bench = Bench()
        bench.context.failing = True
        bench.chat.submit(bench.job(1, "a", "b"))
        bench.chat.step()
        assert bench.sent == [frames.Failed(1, "Compute error.")]
        assert not bench.chat.busy


def test_a_vector_that_is_no_number_fails_its_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.packed.submit(bench.job(1, "a"))
    bench.packed.submit(bench.job(2, "b"))

    def broken(sequence: int) -> NDArray[np.float32]:
        return vector(float("nan") if sequence == 0 else 1)

    monkeypatch.setattr(bench.context, "embedding_of_sequence", broken)
    bench.packed.step()
    assert bench.sent[0] == frames.Failed(1, "embedding contains NaN or Inf values", 400)
    assert bench.vectors(2) == [[1]]
