"""Reranking, as the clients of Jina and Cohere ask for it and read it."""

import math
from typing import Any, cast

from scheduler.frames import Ranked
from server import jsonout
from server.errors import ApiError
from server.schema.rerank import RerankRequest


def documents(request: RerankRequest) -> list[str]:
    """The texts to be ranked, which may be none. Raises `ApiError` 400 for a request that nobody can answer."""
    if not request.query:
        raise ApiError(400, "query is required")
    sent = request.documents
    if sent is None:
        raise ApiError(400, "documents are required")
    if request.top_n < 0:
        raise ApiError(400, "top_n must not be negative")
    if not isinstance(sent, list):
        raise ApiError(400, 'invalid documents: must be a list of strings, or of objects with a "text"')
    return [_text(item, index) for index, item in enumerate(cast("list[Any]", sent))]


def _text(item: Any, index: int) -> str:
    text: Any = cast("dict[str, Any]", item).get("text") if isinstance(item, dict) else item
    if isinstance(text, str):
        return text
    raise ApiError(400, f'invalid documents: number {index} must be a string, or an object with a "text"')


def answer(request: RerankRequest, texts: list[str], ranked: Ranked) -> dict[str, Any]:
    """The results, best first; equals in the order in which they were sent."""
    best = sorted(range(len(texts)), key=lambda index: -ranked.scores[index])
    return {
        "model": request.model,
        "results": [
            {
                "index": index,
                "relevance_score": jsonout.number(_relevance(ranked.scores[index], ranked)),
                **({"document": {"text": texts[index]}} if request.return_documents else {}),
            }
            for index in best[: request.top_n or None]
        ],
        "usage": {"total_tokens": ranked.prompt_tokens},
    }


def _relevance(score: float, ranked: Ranked) -> float:
    """Between 0 and 1, which thresholds of clients are about: the logistic function of a head's output."""
    if ranked.probabilities:
        return score
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    odds = math.exp(score)  # which the other form would overflow for
    return odds / (1 + odds)
