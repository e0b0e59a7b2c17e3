"""What may be ranked, and what becomes of the scores."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.frames import Ranked
from server import jsonout
from server.dialects.rerank import answer, documents
from server.errors import ApiError
from server.gojson.decode import decode
from server.gojson.walk import DecodeError
from server.schema.rerank import RERANK, RerankRequest

FLOATS = st.floats(-1e6, 1e6, width=32)


def request(**members: Any) -> RerankRequest:
    return decode(orjson.dumps({"model": "M", "query": "q", "documents": [], **members}), RERANK)


def sent(asked: RerankRequest, ranked: Ranked) -> dict[str, Any]:
    return json.loads(jsonout.dumps(answer(asked, documents(asked), ranked)))


def scores(asked: RerankRequest, *values: float, probabilities: bool = False) -> list[tuple[int, float]]:
    results = sent(asked, Ranked(1, list(values), 3, probabilities))["results"]
    return [(result["index"], result["relevance_score"]) for result in results]


def test_documents_are_texts_or_objects_with_one() -> None:
    assert documents(request(documents=["a", {"text": "b", "id": 7}, "", "ü 👋"])) == ["a", "b", "", "ü 👋"]
    assert documents(request()) == []


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"query": ""}, "query is required"),
        ({"query": None}, "query is required"),
        ({"documents": None}, "documents are required"),
        ({"documents": "a"}, 'invalid documents: must be a list of strings, or of objects with a "text"'),
        ({"documents": {"text": "a"}}, 'invalid documents: must be a list of strings, or of objects with a "text"'),
        ({"documents": ["a", {"t": "b"}]}, 'invalid documents: number 1 must be a string, or an object with a "text"'),
        ({"documents": [{"text": 1}]}, 'invalid documents: number 0 must be a string, or an object with a "text"'),
        ({"documents": [None]}, 'invalid documents: number 0 must be a string, or an object with a "text"'),
        ({"documents": [["a"]]}, 'invalid documents: number 0 must be a string, or an object with a "text"'),
        ({"top_n": -1}, "top_n must not be negative"),
    ],
)
def test_what_cannot_be_ranked(members: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        documents(request(**members))
    assert (caught.value.status, caught.value.message) == (400, text)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"query": ["q"]}, "array into Go struct field RerankRequest.query of type string"),
        ({"top_n": "3"}, "string into Go struct field RerankRequest.top_n of type int"),
        ({"return_documents": 1}, "number into Go struct field RerankRequest.return_documents of type bool"),
    ],
)
def test_what_cannot_be_decoded(members: dict[str, Any], text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        request(**members)
    assert str(caught.value) == f"json: cannot unmarshal {text}"


@pytest.mark.parametrize(("top_n", "kept"), [(None, 3), (0, 3), (1, 1), (2, 2), (3, 3), (4, 3), (1 << 40, 3)])
def test_the_best_come_first_and_only_as_many_as_were_asked_for(top_n: int | None, kept: int) -> None:
    asked = request(documents=["a", "b", "c"], top_n=top_n)
    assert [index for index, _ in scores(asked, -1.0, 2.0, 0.5)] == [1, 2, 0][:kept]


def test_equals_keep_their_order() -> None:
    assert [index for index, _ in scores(request(documents=["a", "b", "c"]), 1.0, 2.0, 1.0)] == [1, 0, 2]


def test_documents_come_back_where_they_are_wanted() -> None:
    asked = request(documents=["a", {"text": "<ü>"}], return_documents=True, top_n=1)
    assert sent(asked, Ranked(1, [0.0, 0.5], 9)) == {
        "model": "M",
        "results": [{"index": 1, "relevance_score": pytest.approx(0.6224593), "document": {"text": "<ü>"}}],
        "usage": {"total_tokens": 9},
    }


def test_scores_are_the_logistic_function_of_a_head_unless_they_are_probabilities() -> None:
    asked = request(documents=["a", "b"])
    assert scores(asked, 0.0, -1.0) == [(0, 0.5), (1, pytest.approx(1 / (1 + math.e)))]
    assert scores(asked, 0.25, 0.75, probabilities=True) == [(1, 0.75), (0, 0.25)]


@given(st.lists(FLOATS, max_size=8))
def test_whatever_the_head_says_lies_between_0_and_1_in_its_order(values: list[float]) -> None:
    found = scores(request(documents=["x"] * len(values)), *values)
    assert sorted(index for index, _ in found) == list(range(len(values)))
    assert all(0 <= score <= 1 for _, score in found)
    assert [values[index] for index, _ in found] == sorted(values, reverse=True)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
