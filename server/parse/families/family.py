"""What a module of a family offers, and what most of them need."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from server.messages import Message, Property, Tool
from server.parse.kinds import Schema, as_schema, kinds
from server.parse.parsed import Parser, Thoughts, held_length
from server.parse.scan import load

Think: TypeAlias = "bool | str | None"


class FamilyParser(Parser, Protocol):
    """A parser for one answer."""

    @property
    def thoughts(self) -> Thoughts | None:
        """The marks around reasoning, if this answer may have some."""
        ...


Make: TypeAlias = Callable[[Sequence[Tool], Message | None, Think], FamilyParser]
"""A parser for one answer: the declared tools, the last message of the conversation, whether it may think."""


Adapt: TypeAlias = Callable[[Sequence[Message], Sequence[Tool]], "tuple[list[Message], list[Tool]]"]


@dataclass(frozen=True, slots=True)
class Family:
    """A registered parser."""

    make: Make
    preserved: tuple[str, ...] = ()
    """Control tokens that the engine must write out."""
    adapt: "Adapt | None" = None
    """What the conversation goes through before it is rendered."""


def prefilled(last: Message | None) -> bool:
    """Whether the answer goes on with text that the request began."""
    return last is not None and last.role == "assistant" and bool(last.content)


def split_held(text: str, *marks: str, blanks: bool = True) -> tuple[str, str]:
    """What of a text is certain, and its end, which may turn out to belong to a mark; with `blanks`, white space in
    front of it, and at the end of the text, waits too."""
    held = max((held_length(text, mark) for mark in marks), default=0)
    certain = text[: len(text) - held]
    if blanks:
        certain = certain.rstrip()
    return certain, text[len(certain) :]


_BETWEEN_TYPES: Final = re.compile("[,|]")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LARGEST: Final = 2**63
_UNREAD: Final = object()


def types_of(tools: Sequence[Tool], name: str, parameter: str) -> list[str]:
    """The types that a declared tool gives a parameter; none where either is unknown."""
    for tool in tools:
        if tool.name == name:
            given = (tool.parameters.properties or {}).get(parameter)
            if given is None:
                return []
            root = tool.parameters.schema
            return _types(given) if given.type or root is None else kinds(_declared(root, parameter), root)
    return []


def _declared(root: Schema, parameter: str) -> object:
    """What only the schema knows: the types behind a reference, or of the values that are listed."""
    return as_schema(root.get("properties")).get(parameter)


def _types(given: Property) -> list[str]:
    """Some clients write a list of types as one text, with commas or bars."""
    written = [kind for branch in given.any_of for kind in branch.type] if given.any_of else given.type
    return [kind.strip() for text in written for kind in _BETWEEN_TYPES.split(text)]


def coerced(raw: str, types: Sequence[str]) -> Any:
    """The value that a text stands for, by the types it may have; the text itself where it has none of them."""
    if raw.lower() == "null":
        return None
    if not types:
        return raw
    for kind, read in _READERS:
        if kind in types and (value := read(raw)) is not _UNREAD:
            return value
    return False if list(types) == ["boolean"] else raw


def unframed(raw: str) -> str:
    """Without one line break at either end."""
    return raw.removeprefix("\n").removesuffix("\n")


def _boolean(raw: str) -> Any:
    return {"true": True, "false": False}.get(raw.lower(), _UNREAD)


def _integer(raw: str) -> Any:
    if not _INTEGER.fullmatch(raw) or len(raw) > 20:
        return _UNREAD
    value = int(raw)
    return value if -_LARGEST <= value < _LARGEST else _UNREAD


def _number(raw: str) -> Any:
    if not _NUMBER.fullmatch(raw):
        return _UNREAD
    value = float(raw)
    if not math.isfinite(value):
        return _UNREAD
    return int(value) if value.is_integer() and abs(value) < _LARGEST else value


def _json(kind: type) -> Callable[[str], Any]:
    def read(raw: str) -> Any:
        value = load(raw)
        return value if isinstance(value, kind) else _UNREAD

    return read


_READERS: Final[Sequence[tuple[str, Callable[[str], Any]]]] = (
    ("boolean", _boolean),
    ("integer", _integer),
    ("number", _number),
    ("array", _json(list)),
    ("object", _json(dict)),
)
