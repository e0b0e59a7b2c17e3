"""Which texts share a decode, that requests take turns, and that a chat model finds a place for a text."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.cache.memory import MemoryKind, State
from scheduler.runner.cache.slots import Slots
from scheduler.runner.embedding.embed import EmbedJob, prepare
from scheduler.runner.embedding.embedder import ChatModelEmbedder, PackedEmbedder
from scheduler.runner.embedding.lanes import Lane, Lanes, Sharing
from scheduler.runner.engine import Context
from tests.unit.scheduler.runner.letters import letters

VOCABULARY = letters(add_bos=False, add_eos=False)


class FakeContext:
    """A vector is the number of a text's tokens and their sum; a hidden state is a token's number and 1."""

    kind = MemoryKind.WHOLE
    window = 0

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
        self.stored: dict[int, list[int]] = {}

    def use_threads(self, count: int) -> None:
        pass

    def decode(self, count: int) -> int:
        assert 0 < count <= self.batch_size
        assert self.outputs[:count].all()
        if self.failing:
            return -3
        rows = zip(self.tokens, self.positions, self.sequences, strict=True)
        self.batches.append([(int(t), int(p), int(s)) for t, p, s in list(rows)[:count]])
        for token, position, sequence in self.batches[-1]:
            stored = self.stored.setdefault(sequence, [])
            assert position == len(stored), "rows of a sequence continue it"
            stored.append(token)
        return 0

    def clear(self) -> None:
        self.stored.clear()

    def remove(self, sequence: int, start: int, end: int = -1) -> bool:
        assert (start, end) == (0, -1)
        self.stored.pop(sequence, None)
        return True

    def first_position(self, sequence: int) -> int:
        return 0 if self.stored.get(sequence) else -1

    def state_size(self, sequence: int, *, partial: bool = False) -> int:
        return len(self.stored.get(sequence, []))

    def save(self, sequence: int, *, partial: bool = False) -> State | None:
        return np.array(self.stored.get(sequence, []), np.uint8)

    def restore(self, sequence: int, state: State, *, partial: bool = False) -> bool:
        assert not self.stored.get(sequence)
        self.stored[sequence] = state.tolist()
        return True

    def embedding_of_sequence(self, sequence: int) -> NDArray[np.float32]:
        mine = [token for token, _, s in self.batches[-1] if s == sequence]
        return np.array([len(mine), sum(mine)], np.float32)

    def embedding_of_row(self, row: int) -> NDArray[np.float32]:
        return np.array([self.batches[-1][row][0], 1], np.float32)

    def embeddings(self, count: int) -> NDArray[np.float32]:
        assert self.embedding
        return np.array([[token, 1] for token, *_ in self.batches[-1][:count]], np.float32)

    @contextmanager
    def embedding_mode(self) -> Generator[None]:
        self.embedding = True
        yield
        self.embedding = False


class Bench:
    """What is answered."""

    def __init__(self) -> None:
        self.sent: list[frames.Frame] = []

    def job(self, id: int, *inputs: str, **fields: Any) -> EmbedJob:
        request = frames.Embed(id=id, inputs=list(inputs), normalize=False, **fields)
        return prepare(request, VOCABULARY, limit=999, batch=999, raw=True)

    def vectors(self, id: int) -> list[list[float]]:
        (found,) = [frame for frame in self.sent if isinstance(frame, frames.Embedded) and frame.id == id]
        return [json.loads(one) for one in found.vectors]

    @property
    def answered(self) -> list[int]:
        return [cast(frames.Embedded, frame).id for frame in self.sent]


class Packed(Bench):
    def __init__(
        self, *, sequences: int = 99, longest: int = 99, rows: int = 16, further: Sequence[int] = (), **context: Any
    ) -> None:
        super().__init__()
        self.contexts = [FakeContext(**context), *(FakeContext(batch=batch) for batch in further)]
        main, *others = (Lane(cast(Context, one)) for one in self.contexts)
        lanes = Lanes(main, others, sharing=Sharing(longest, rows))
        self.embedder = PackedEmbedder(lanes, sequences, self.sent.append)

    @property
    def context(self) -> FakeContext:
        return self.contexts[0]

    def submit(self, id: int, *inputs: str) -> None:
        self.embedder.submit(self.job(id, *inputs))

    def run(self) -> None:
        while self.embedder.busy:
            self.embedder.step()

    @property
    def decodes(self) -> list[int]:
        """Rows of each."""
        return [len(rows) for one in self.contexts for rows in one.batches]


class TestPacking:
    def test_texts_of_several_requests_share_a_decode(self) -> None:
        bench = Packed()
        bench.submit(1, "ab", "c")
        bench.submit(2, "d")
        bench.embedder.step()
        assert bench.context.batches == [[(97, 0, 0), (98, 1, 0), (99, 0, 1), (100, 0, 2)]]
        assert bench.vectors(1) == [[2, 195], [1, 99]]
        assert bench.vectors(2) == [[1, 100]]
        assert [frame.prompt_tokens for frame in bench.sent if isinstance(frame, frames.Embedded)] == [3, 1]
        assert not bench.embedder.busy
        assert not bench.context.stored

    @given(
        st.lists(st.lists(st.text("abc", min_size=1, max_size=16), max_size=5), max_size=5),
        st.integers(1, 4),
        st.integers(0, 16),
        st.integers(0, 16),
        st.lists(st.integers(8, 16), max_size=2),
    )
    def test_every_text_gets_its_own_vector_however_they_are_packed(
        self, wanted: list[list[str]], sequences: int, longest: int, rows: int, further: list[int]
    ) -> None:
        bench = Packed(sequences=sequences, longest=longest, rows=rows, further=further)
        for id, inputs in enumerate(wanted):
            bench.submit(id, *inputs)
        bench.run()
        for id, inputs in enumerate(wanted):
            assert bench.vectors(id) == [[len(text), sum(text.encode())] for text in inputs]
        for batch in (batch for one in bench.contexts for batch in one.batches):
            sizes = [sum(s == sequence for *_, s in batch) for sequence in {s for *_, s in batch}]
            assert len(sizes) == 1 or (max(sizes) <= longest and sum(sizes) <= rows and len(sizes) <= sequences)

    def test_many_texts_take_few_decodes(self) -> None:
        """The gaps that long ones leave are filled with short ones."""
        bench = Packed(rows=10)
        bench.submit(1, *(["a" * 7] * 20), *(["b" * 3] * 20))
        bench.run()
        assert bench.decodes == [10] * 20

    def test_a_decode_is_never_larger_than_what_may_be_shared_but_for_one_text_alone(self) -> None:
        bench = Packed(longest=3, rows=6)
        bench.submit(1, "a" * 9, "bbbb", "cc", "dd", "ee", "ff")
        bench.run()
        assert bench.decodes == [9, 4, 6, 2]

    def test_requests_take_turns(self) -> None:
        bench = Packed(rows=4)
        bench.submit(1, *(["aaaa"] * 9))
        bench.submit(2, "b")
        bench.embedder.step()
        assert bench.answered == [2]
        bench.run()
        assert bench.answered == [2, 1]

    def test_without_pooling_the_last_token_counts(self) -> None:
        bench = Packed(pooling=0)
        bench.submit(1, "ab", "c")
        bench.run()
        assert bench.vectors(1) == [[98, 1], [99, 1]]

    def test_a_request_for_nothing_is_answered_at_once(self) -> None:
        bench = Packed()
        bench.submit(1)
        assert bench.sent == [frames.Embedded(1, [], 0)]
        assert not bench.embedder.busy

    def test_a_cancelled_request_is_dropped(self) -> None:
        bench = Packed()
        bench.submit(1, "a")
        bench.submit(2, "b")
        bench.embedder.cancel(1)
        bench.run()
        assert bench.answered == [2]

    def test_a_failed_decode_fails_those_who_were_in_it_once_each(self) -> None:
        bench = Packed(rows=2)
        bench.submit(1, "a", "b", "cc")
        bench.context.failing = True
        bench.embedder.step()
        assert bench.sent == [frames.Failed(1, "Compute error.")]
        bench.context.failing = False
        bench.submit(2, "c")
        bench.run()
        assert bench.vectors(2) == [[1, 99]]

    def test_a_vector_that_is_no_number_fails_its_request_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Packed()
        bench.submit(1, "a")
        bench.submit(2, "b")

        def broken(sequence: int) -> NDArray[np.float32]:
            return np.array([float("nan") if sequence == 0 else 1], np.float32)

        monkeypatch.setattr(bench.context, "embedding_of_sequence", broken)
        bench.run()
        assert bench.sent[0] == frames.Failed(1, "embedding contains NaN or Inf values", 400)
        assert bench.vectors(2) == [[1]]


class TestLanes:
    def test_a_few_texts_are_spread(self) -> None:
        bench = Packed(further=[16])
        bench.submit(1, "aaa", "bbb", "cc", "dd")
        bench.embedder.step()
        assert bench.decodes == [5, 5]
        assert bench.vectors(1)[2] == [2, 198]

    def test_what_shares_a_decode_fits_every_lane(self) -> None:
        bench = Packed(further=[8])
        bench.submit(1, *(["aaa"] * 20))
        bench.run()
        assert max(bench.decodes) == 6

    def test_only_the_first_takes_texts_that_are_too_long_for_the_others(self) -> None:
        bench = Packed(batch=32, further=[8])
        bench.submit(1, "a", "b" * 20)
        bench.embedder.step()
        assert bench.decodes == [20]
        bench.run()
        assert len(bench.vectors(1)) == 2


class Chat(Bench):
    def __init__(self, *, slots: int = 2, room: int = 999, **context: Any) -> None:
        super().__init__()
        self.context = FakeContext(**context)
        native = cast(Context, self.context)
        self.slots = Slots(slots, native)
        self.embedder = ChatModelEmbedder(native, self.slots, self.sent.append, has_room=lambda tokens: tokens <= room)

    def submit(self, id: int, *inputs: str) -> None:
        self.embedder.submit(self.job(id, *inputs))

    def occupy(self, *texts: bytes) -> None:
        """Generations that have stored these tokens."""
        for slot, text in zip(self.slots.all, texts, strict=True):
            slot.tokens = list(text)
            slot.busy = True
            self.context.stored[slot.id] = list(text)

    def steps(self, count: int) -> None:
        for _ in range(count):
            if self.embedder.busy:
                self.embedder.step()


class TestChatModels:
    def test_a_vector_is_the_mean_over_all_tokens_also_over_several_decodes(self) -> None:
        bench = Chat(batch=2)
        bench.submit(1, "abc")
        bench.embedder.step()
        assert bench.sent == [], "others get a turn between two decodes"
        bench.embedder.step()
        assert [len(rows) for rows in bench.context.batches] == [2, 1]
        assert bench.vectors(1) == [[98, 1]]
        assert not bench.context.embedding
        assert not bench.context.stored
        assert len(bench.slots.idle()) == 2

    def test_every_text_gets_its_vector(self) -> None:
        bench = Chat()
        bench.submit(1, "a", "ccc")
        bench.submit(2, "b")
        while bench.embedder.busy:
            bench.embedder.step()
        assert (bench.vectors(1), bench.vectors(2)) == ([[97, 1], [99, 1]], [[98, 1]])

    def test_it_waits_for_a_slot(self) -> None:
        bench = Chat(slots=1)
        bench.occupy(b"xyz")
        bench.submit(1, "a")
        bench.steps(9)
        assert bench.context.batches == []
        bench.slots.release(bench.slots.all[0])
        bench.embedder.step()
        assert bench.vectors(1) == [[97, 1]]

    def test_it_does_not_wait_for_ever(self) -> None:
        """The shortest generation is interrupted for the time of one text, and finds what it had stored."""
        bench = Chat(batch=2)
        bench.occupy(b"stuvw", b"xyz")
        bench.submit(1, "abc")
        bench.steps(99)
        assert bench.vectors(1) == [[98, 1]]
        assert {sequence for rows in bench.context.batches for *_, sequence in rows} == {1}
        assert bench.context.stored == {0: list(b"stuvw"), 1: list(b"xyz")}
        assert bench.slots.idle() == []

    def test_a_text_without_room_fails(self) -> None:
        bench = Chat(room=2)
        bench.submit(1, "abc")
        bench.embedder.step()
        assert bench.sent == [frames.Failed(1, "failed to allocate memory for an input of this length")]

    def test_a_failed_decode_fails_the_request(self) -> None:
        bench = Chat()
        bench.context.failing = True
        bench.submit(1, "a", "b")
        bench.embedder.step()
        assert bench.sent == [frames.Failed(1, "Compute error.")]
        assert not bench.embedder.busy
        assert len(bench.slots.idle()) == 2

    def test_a_cancelled_text_gives_its_slot_back(self) -> None:
        bench = Chat(batch=2)
        bench.submit(1, "abc")
        bench.embedder.step()
        bench.embedder.cancel(1)
        assert not bench.embedder.busy
        assert len(bench.slots.idle()) == 2
        bench.submit(2, "b")
        bench.embedder.step()
        assert bench.answered == [2]
