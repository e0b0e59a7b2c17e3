"""Texts to vectors: cutting, what is made of the vectors, and what is answered."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.embedding import embed
from scheduler.runner.embedding.embed import EmbedError, EmbedJob, encode_rows, finish, prepare
from tests.unit.scheduler.runner.letters import BOS, EOS, letters

VOCABULARY = letters()


def job(*inputs: str, raw: bool | None = True, **fields: Any) -> EmbedJob:
    request = frames.Embed(id=1, inputs=list(inputs), **fields)
    return prepare(request, VOCABULARY, limit=20, batch=20, raw=raw)


def tokens(text: str, *, limit: int = 20, batch: int = 20, truncate: bool = True) -> list[int]:
    request = frames.Embed(id=1, inputs=[text], truncate=truncate)
    return prepare(request, VOCABULARY, limit=limit, batch=batch, raw=True).inputs[0]


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
        bare = letters(add_bos=False, add_eos=False)
        with pytest.raises(EmbedError, match="no tokens"):
            prepare(frames.Embed(1, [""]), bare, limit=9, batch=9, raw=True)

    @given(st.text(alphabet="abc", max_size=30), st.integers(3, 20), st.integers(3, 20))
    def test_whatever_is_prepared_fits(self, text: str, limit: int, batch: int) -> None:
        found = tokens(text, limit=limit, batch=batch)
        assert 0 < len(found) <= min(limit, batch)
        assert (found[0], found[-1]) == (BOS, EOS)


class TestTaking:
    def test_the_longest_that_fits_comes_first(self) -> None:
        one = job("a", "abcd", "ab")
        assert (one.tokens, one.waiting, one.longest) == (13, 13, 6)
        assert [one.take(5), one.take(9), one.take(2), one.take(9), one.take(9)] == [2, 1, None, 0, None]
        assert (one.waiting, one.longest) == (0, 0)

    @given(st.lists(st.text("abc", max_size=9), max_size=9), st.lists(st.integers(-1, 12)))
    def test_each_is_taken_once_and_none_is_too_long(self, texts: list[str], rooms: list[int]) -> None:
        one = job(*texts)
        taken: list[int] = []
        for room in [*rooms, *([99] * len(texts))]:
            index = one.take(room)
            if index is not None:
                assert len(one.inputs[index]) <= room
                taken.append(index)
        assert sorted(taken) == list(range(len(texts)))
        assert one.waiting == 0


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


class TestVectors:
    def test_they_have_length_one_or_keep_theirs(self) -> None:
        assert finish(rows([3, 4], [0, 2]), unit=True).tolist() == rows([0.6, 0.8], [0, 1]).tolist()
        assert finish(rows([3, 4]), unit=False).tolist() == [[3, 4]]

    def test_nothing_stays_nothing(self) -> None:
        assert finish(rows([0, 0]), unit=True).tolist() == [[0, 0]]

    @pytest.mark.parametrize(("dimensions", "left"), [(-1, 3), (0, 3), (2, 2), (3, 3), (9, 3)])
    def test_leading_dimensions_are_scaled_again(self, dimensions: int, left: int) -> None:
        found = finish(rows([1, 2, 2]), unit=True, dimensions=dimensions)
        assert found.shape == (1, left)
        assert np.linalg.norm(found) == pytest.approx(1)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_what_is_no_number_is_refused(self, bad: float) -> None:
        with pytest.raises(EmbedError, match="NaN or Inf"):
            finish(rows([1, bad]), unit=True)

    @given(st.lists(st.lists(st.floats(-9, 9, width=32), min_size=5, max_size=5), min_size=1, max_size=9))
    def test_many_at_once_are_what_each_is_alone(self, values: list[list[float]]) -> None:
        together = finish(rows(*values), unit=True, dimensions=4)
        assert together.tolist() == [finish(rows(one), unit=True, dimensions=4)[0].tolist() for one in values]

    def test_encodings(self) -> None:
        found = rows([0.1, -2])
        assert encode_rows(found, "json32") == [b"[0.1,-2.0]"]
        assert encode_rows(found, "json64") == [b"[0.10000000149011612,-2.0]"]
        assert np.frombuffer(encode_rows(found, "float32")[0], "<f4").tolist() == found[0].tolist()


def answered(one: EmbedJob, *vectors: list[float]) -> list[list[float]]:
    assert one.complete is (not one.inputs)
    for index in reversed(range(len(vectors))):
        one.put(index, np.array(vectors[index], np.float32))
    assert one.complete
    found = one.answer()
    assert isinstance(found, frames.Embedded)
    assert found.prompt_tokens == sum(map(len, one.inputs))
    return [json.loads(vector) for vector in found.vectors]


class TestAnswers:
    def test_vectors_are_in_the_order_of_the_inputs(self) -> None:
        assert answered(job("a", "b"), [0, 2], [3, 0]) == [[0, 1], [1, 0]]

    def test_they_keep_their_length_only_if_file_and_request_want_them_raw(self) -> None:
        assert answered(job("a", raw=True, normalize=False), [3, 4]) == [[3, 4]]
        assert answered(job("a", raw=False, normalize=False), [0, 4]) == [[0, 1]]
        assert answered(job("a", raw=True), [0, 4]) == [[0, 1]]

    def test_scores_are_left_alone(self) -> None:
        assert answered(job("a", raw=None, dimensions=1), [3, 4]) == [[3, 4]]

    def test_nothing_is_answered_with_nothing(self) -> None:
        assert answered(job()) == []

    def test_what_is_no_number_fails_the_request(self) -> None:
        one = job("a")
        one.put(0, np.array([float("nan")], np.float32))
        assert one.answer() == frames.Failed(1, "embedding contains NaN or Inf values", 400)
