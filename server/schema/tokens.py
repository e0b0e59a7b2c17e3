"""The requests about tokens: POST /api/tokenize and POST /api/detokenize."""

from dataclasses import dataclass, field
from typing import Any, Final

from server.gojson.types import BOOL, INT, STRING, Custom, ListOf, Object
from server.schema.members import KEEP_ALIVE, OPTIONS


@dataclass(slots=True)
class TokenizeRequest:
    """POST /api/tokenize"""

    model: str = ""
    prompt: str = ""
    add_special: bool = True
    """Whether the tokenizer adds what it puts around a text."""
    keep_alive: float | None = None
    """Seconds; FOREVER."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])


_SHARED: Final = {"model": STRING, "keep_alive": Custom(KEEP_ALIVE), "options": OPTIONS}

TOKENIZE: Final = Object("TokenizeRequest", TokenizeRequest, {**_SHARED, "prompt": STRING, "add_special": BOOL})


@dataclass(slots=True)
class DetokenizeRequest:
    """POST /api/detokenize"""

    model: str = ""
    tokens: list[int] = field(default_factory=list[int])
    keep_alive: float | None = None
    """Seconds; FOREVER."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])


DETOKENIZE: Final = Object("DetokenizeRequest", DetokenizeRequest, {**_SHARED, "tokens": ListOf(INT)})
