"""The request of POST /api/rerank and its other paths."""

from dataclasses import dataclass, field
from typing import Any, Final

from server.gojson.types import ANY, BOOL, INT, STRING, Custom, Object
from server.schema.members import KEEP_ALIVE, OPTIONS


@dataclass(slots=True)
class RerankRequest:
    """POST /api/rerank, POST /v1/rerank, POST /v2/rerank

    Members that other servers know besides (`max_tokens_per_doc`, `truncation`, `rank_fields` …) are not read.
    """

    model: str = ""
    query: str = ""
    documents: Any = None
    """Whatever was sent; `server.dialects.rerank.documents` reads it."""
    top_n: int = 0
    """How many results to return, best first; 0: all."""
    return_documents: bool = False
    keep_alive: float | None = None
    """Seconds; FOREVER."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])


RERANK: Final = Object(
    "RerankRequest",
    RerankRequest,
    {
        "model": STRING,
        "query": STRING,
        "documents": ANY,
        "top_n": INT,
        "return_documents": BOOL,
        "keep_alive": Custom(KEEP_ALIVE),
        "options": OPTIONS,
    },
)
