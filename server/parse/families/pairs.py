"""Calls as GLM writes them: `NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>…`.

Nothing else that looks like markup means anything. The four marks come in a fixed order; one that was forgotten is
supplied, as long as each text still has its place.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from server.messages import Tool, ToolCall
from server.parse.families.family import coerced, types_of, unframed

MARKS: Final = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
_MARK: Final = re.compile("|".join(MARKS))
_NAME: Final = re.compile(r"[^\s<>{}]+")
_BEFORE_KEY, _KEY, _BEFORE_VALUE, _VALUE = range(4)
"""Where a text may stand; each place ends with the mark of the same number."""


class _Unreadable(Exception):
    """A text without a place."""


def read_call(body: str, tools: Sequence[Tool]) -> list[ToolCall] | None:
    """The call that is written between the marks; None where it cannot be read."""
    first = _MARK.search(body)
    head, pairs = (body[: first.start()], body[first.start() :]) if first else (body, "")
    if first and first[0] != MARKS[0]:
        name, _, rest = head.strip().partition(_first_blank(head.strip()))
        head, pairs = name, rest + pairs
    name = head.strip()
    if not _NAME.fullmatch(name) and name not in {tool.name for tool in tools if tool.name}:
        return None
    try:
        return [_call(name, _pairs(pairs), tools)]
    except _Unreadable:
        return None


def read_unfinished(body: str, tools: Sequence[Tool]) -> list[ToolCall] | None:
    """The call of an answer that ends without the closing mark: only a whole one, of a declared tool."""
    found = [tool for tool in tools if tool.name and tool.name == _MARK.split(body, maxsplit=1)[0].strip()]
    if not found:
        return None
    marks = _MARK.findall(body)
    if marks != list(MARKS) * (len(marks) // 4) or (marks and not body.rstrip().endswith(MARKS[-1])):
        return None
    calls = read_call(body, tools)
    if calls is None or set(found[0].parameters.required) - calls[0].arguments.keys():
        return None
    return calls


def _first_blank(text: str) -> str:
    """The first white space in a text; a blank where there is none."""
    found = re.search(r"\s", text)
    return found[0] if found else " "


def _call(name: str, pairs: Sequence[tuple[str, str]], tools: Sequence[Tool]) -> ToolCall:
    arguments: dict[str, Any] = {}
    for key, value in pairs:
        arguments[key] = coerced(unframed(value), types_of(tools, name, key))
    return ToolCall(name, arguments)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Keys and values in the order written. Raises `_Unreadable`."""
    texts: list[str] = []
    place = at = 0
    for mark in _MARK.finditer(text):
        end = MARKS.index(mark[0])
        texts += _placed(text[at : mark.start()], place, end)
        place, at = (end + 1) % 4, mark.end()
    if place != _BEFORE_KEY:
        texts += _placed(text[at:], place, _VALUE)
    elif text[at:].strip():
        raise _Unreadable
    keys = [key.strip() for key in texts[::2]]
    if not all(keys):
        raise _Unreadable
    return list(zip(keys, texts[1::2], strict=True))


def _placed(text: str, place: int, end: int) -> list[str]:
    """The text as key or value, none for white space between them; marks from `place` up to `end` were forgotten."""
    between = place in (_BEFORE_KEY, _BEFORE_VALUE)
    if place == end and between:
        if text.strip():
            raise _Unreadable
        return []
    passed = [at % 4 for at in range(place, end + 1 if end >= place else end + 5)]
    missing = between and not text.strip()
    if missing or len([at for at in passed if at in (_KEY, _VALUE)]) != 1:
        raise _Unreadable  # a key or a value is not there
    return [text]
