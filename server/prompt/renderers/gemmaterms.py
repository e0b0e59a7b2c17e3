"""Values and declarations as Gemma models write them: JSON with bare keys, objects sorted, strings between marks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from server.messages import Message


@dataclass(frozen=True, slots=True)
class Terms:
    """The notation of one family."""

    quote: str
    """The mark on either side of a string."""
    null: str
    number: Callable[[float], str]

    def text(self, text: str) -> str:
        """A string between its marks; nothing in it is escaped."""
        return f"{self.quote}{text}{self.quote}"

    def texts(self, given: Sequence[str]) -> str:
        """A list of strings."""
        return f"[{','.join(map(self.text, given))}]"

    def value(self, value: object, *, quoted_keys: bool = False) -> str:
        """The text of any JSON value."""
        match value:
            case None:
                return self.null
            case bool():
                return "true" if value else "false"
            case str():
                return self.text(value)
            case int() | float():
                return self.number(float(value))
            case Mapping():
                return self.members(cast("Mapping[str, object]", value), quoted_keys=quoted_keys)
            case list() | tuple():
                items = cast("Sequence[object]", value)
                return f"[{','.join(self.value(item, quoted_keys=quoted_keys) for item in items)}]"
            case _:
                raise TypeError(f"{type(value).__name__} is no JSON value")

    def members(self, given: Mapping[str, object], *, quoted_keys: bool = False) -> str:
        """An object, or the arguments of a call."""
        pairs = (
            f"{self.text(key) if quoted_keys else key}:{self.value(given[key], quoted_keys=quoted_keys)}"
            for key in sorted(given)
        )
        return f"{{{','.join(pairs)}}}"


def leading(messages: Sequence[Message]) -> tuple[str | None, Sequence[Message]]:
    """The instructions of a first message from the system or the developer, None without one; the rest."""
    if messages and messages[0].role in ("system", "developer"):
        return messages[0].content.strip(), messages[1:]
    return None, messages


def braced(pieces: Sequence[str]) -> str:
    """`{a,b}`, empty pieces left out."""
    return f"{{{','.join(filter(None, pieces))}}}"


def kinds(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema names, in capitals; none where there are none."""
    given = schema.get("type")
    if isinstance(given, str):
        return [given.upper()] if given else []
    return [str(kind).upper() for kind in cast("list[object]", given)] if isinstance(given, list) else []


def plain_number(value: float) -> str:
    """Digits without an exponent, and without a point if there is no fraction."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")
