"""Pairs of query and document: how they are written, cut and answered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import frames
from scheduler.runner.embedding.embed import EmbedError
from scheduler.runner.embedding.rank import has_head, prepare
from tests.unit.scheduler.runner.letters import BOS, EOS, letters

MODELS = Path(__file__).parents[4] / "models"
VOCABULARY = letters()


def pairs(query: str, *documents: str, limit: int = 20, template: str = "", **fields: Any) -> list[list[int]]:
    request = frames.Rank(1, query, list(documents), **fields)
    return prepare(request, VOCABULARY, limit=limit, template=template).inputs


def test_marks_stand_around_query_and_document() -> None:
    assert pairs("q", "ab", "") == [[BOS, 113, EOS, 97, 98, EOS], [BOS, 113, EOS, EOS]]


def test_a_file_may_have_its_own_way() -> None:
    (found,) = pairs("a{document}", "b{query}", template="{query}?{document}!", limit=99)
    assert bytes(found) == b"a{document}?b{query}!"


@pytest.mark.parametrize(("template", "text"), [("", b"qxab"), ("{query}:{document}.", b"q:abc.")])
def test_the_end_of_a_document_is_cut(template: str, text: bytes) -> None:
    (found,) = pairs("q" if template else "qx", "abcdefgh", template=template, limit=6 if template else 7)
    assert bytes(token for token in found if token < BOS) == text


def test_what_does_not_fit() -> None:
    with pytest.raises(EmbedError, match="the input length exceeds the context length"):
        pairs("q", "abc", limit=6, truncate=False)
    with pytest.raises(EmbedError, match="input after truncation exceeds maximum context length"):
        pairs("query", "abc", limit=8)


@given(st.text("ab", max_size=5), st.text("cd", max_size=30), st.integers(10, 20))
def test_whatever_is_prepared_fits(query: str, document: str, limit: int) -> None:
    (found,) = pairs(query, document, limit=limit)
    assert len(found) <= limit
    kept = bytes(token for token in found if token < BOS).decode()
    assert (query + document).startswith(kept)
    assert kept == query + document or len(found) == limit


def test_the_first_score_is_the_answer() -> None:
    job = prepare(frames.Rank(1, "q", ["a", "bc"]), VOCABULARY, limit=20)
    for index, score in enumerate((-2.5, 7.0)):
        job.put(index, np.array([score, 1], np.float32))
    assert job.answer() == frames.Ranked(1, [-2.5, 7.0], 5 + 6)


def test_some_heads_answer_with_probabilities() -> None:
    job = prepare(frames.Rank(1, "q", ["a"]), VOCABULARY, limit=20, architecture="qwen3")
    job.put(0, np.array([0.75, 0.25], np.float32))
    assert job.answer() == frames.Ranked(1, [0.75], 5, probabilities=True)


def test_no_documents_have_no_scores() -> None:
    assert prepare(frames.Rank(1, "q", []), VOCABULARY, limit=20).answer() == frames.Ranked(1, [], 0)


def test_a_score_that_is_no_number_is_refused() -> None:
    job = prepare(frames.Rank(1, "q", ["a"]), VOCABULARY, limit=20)
    job.put(0, np.array([float("inf")], np.float32))
    assert isinstance(job.answer(), frames.Failed)


def test_a_ranking_head_is_seen_in_the_file() -> None:
    assert has_head([str(MODELS / "tinyembed-random-f16.gguf"), str(MODELS / "tinyrank-f16.gguf")])
    assert not has_head([str(MODELS / "tinyembed-random-f16.gguf")])
