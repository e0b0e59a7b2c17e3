"""Grammars of calls over a vocabulary of single bytes: what they admit, and texts drawn from them at random."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from llguidance import LLMatcher, LLTokenizer

from server.parse.syntax.rules import Rules, quoted

_JSON_OPTIONS: Final = {
    "whitespace_pattern": r"( |\n{1,2}[ \t]{0,20})",
    "lenient": True,
    "json_allow_general_unicode_escapes": True,
}
_ANYTHING: Final[Mapping[str, Any]] = {}
_NOTHING: Final[Mapping[str, Any]] = {"not": {}}
_LONG: Final = re.compile(rb"[eE][+-]?[0-9]{2}$|[0-9]{18}$")
_WIDE: Final = 20
"""Where more bytes than these may follow, the text is free."""
_SNIPPETS: Final = (
    '"', "'", "\\", "\n", "\r\n", " ", "{", "}", "[", "]", "(", ")", ",", ":", "=", "<", "</", "<b>x</b>", "a&b", "é",
    "日本", "🙂", "null", "true", "12", "-0.5e3", "\t", "<tool_call>", "</parameter", "<|", "<escape", "k=v", "http://",
)  # fmt: skip


@cache
def bytewise() -> Any:
    """A tokenizer whose tokens are bytes."""
    return LLTokenizer("byte")


def composed(rules: Rules, start: str = "calls", tokens: Mapping[str, int] | None = None) -> str:
    """One grammar: schemas are inlined, marks are texts but for those with a token of their own."""
    lines = ['%llguidance {"no_forcing": true}', f"start: {start}", rules.text]
    for index, text in enumerate(rules.marks):
        token = (tokens or {}).get(text)
        lines.append(f"mark_{index}: {quoted(text) if token is None else f'<[{token}]>'}")
    for index, text in enumerate(rules.schemas):
        schema: Mapping[str, Any] | bool = json.loads(text)
        given = schema if isinstance(schema, Mapping) else _ANYTHING if schema else _NOTHING
        lines.append(f"json_{index}: %json {json.dumps({**given, 'x-guidance': _JSON_OPTIONS})}")
    return "\n".join(lines) + "\n"


def matcher(grammar: str) -> LLMatcher:
    """At the beginning; a grammar that cannot be used fails the test."""
    found = _compiled(grammar)
    assert not found.is_error(), f"{found.get_error()}\n{grammar}"
    return found.deep_copy()


@lru_cache(8)
def _compiled(grammar: str) -> LLMatcher:
    return LLMatcher(bytewise(), grammar, log_level=0)


def admits(grammar: str, text: str) -> bool:
    """Whether the text is complete by the grammar."""
    started, tokens = matcher(grammar), _tokens(text)
    return started.validate_tokens(tokens) == len(tokens) and started.consume_tokens(tokens) and started.is_accepting()


def refused(grammar: str, text: str) -> str:
    """What of the text is not admitted: from the first byte on that may not come; empty if the text may go on."""
    tokens = _tokens(text)
    return bytes(tokens[matcher(grammar).validate_tokens(tokens) :]).decode(errors="replace")


def accepted(grammar: str, text: str) -> str:
    """The shortest beginning of the text that the grammar accepts: what is bound if the text is free from there on."""
    started, tokens = matcher(grammar), _tokens(text)
    for count, token in enumerate(tokens):
        if started.is_accepting():
            return bytes(tokens[:count]).decode()
        assert started.consume_token(token), f"not admitted: {bytes(tokens[count:]).decode(errors='replace')}"
    assert started.is_accepting()
    return text


def walk(grammar: str, seed: int, closings: Sequence[str] = (), *, length: int = 200, limit: int = 1200) -> str | None:
    """A text that the grammar admits; None if it did not come to an end within `limit` bytes.

    `closings`: texts that end something that is free, such as a quoted text. From `length` bytes on the way out is
    looked for.
    """
    rng = random.Random(seed)
    started = matcher(grammar)
    written = bytearray()
    while len(written) < limit:
        late = len(written) > length
        if started.is_accepting() and (late or rng.random() < 0.5 or started.is_stopped()):
            return written.decode()
        step = _step(started, written, rng, closings, late=late)
        if step is None:
            assert started.is_accepting(), f"nothing may follow {written.decode()!r}"
            return written.decode()
        assert started.consume_tokens(step)
        written += bytes(step)
    return None


def _step(
    started: LLMatcher, written: bytearray, rng: random.Random, closings: Sequence[str], *, late: bool
) -> list[int] | None:
    """Some bytes that may follow."""
    allowed = [at for at, bias in enumerate(started.compute_logit_bias()[:256]) if bias]
    allowed = _without_overflow(written, allowed)
    if not allowed:
        return None
    if late or (len(allowed) > _WIDE and rng.random() < 0.2):
        for text in rng.sample([*closings, '"', "}", "]", ","], len(closings) + 4) if late else closings:
            if _fits(started, tokens := _tokens(text)):
                return tokens
    if len(allowed) > _WIDE and rng.random() < 0.4 and _fits(started, tokens := _tokens(rng.choice(_SNIPPETS))):
        return tokens
    plain = [byte for byte in allowed if 32 <= byte < 127]
    return [rng.choice(plain if plain and rng.random() < 0.9 else allowed)]


def _without_overflow(written: bytearray, allowed: list[int]) -> list[int]:
    """Digits left out that would make a number which no double holds: JSON has such numbers, parsers do not."""
    if not _LONG.search(written[-20:]):
        return allowed
    return [byte for byte in allowed if byte not in b"0123456789"] or allowed


def _fits(started: LLMatcher, tokens: list[int]) -> bool:
    return started.validate_tokens(tokens) == len(tokens)


def _tokens(text: str) -> list[int]:
    return list(text.encode())
