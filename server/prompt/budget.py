"""What one rendering of a chat template may cost.

Everything a template does is paid for in steps before it is done: a turn of a loop, a call, a filter cost one; what
makes text or lists, or has to look through them, costs by their size. So neither time nor memory depends on what the
template says. Values may share parts (`[x, x]` of `[y, y]` of …), which makes them far larger to print or compare than
they are in memory: `weigh` counts what there is to walk through and ends where it is too much.
"""

from collections.abc import ItemsView, Iterable, KeysView, Mapping, ValuesView
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Final, cast

from jinja2.exceptions import SecurityError
from jinja2.nodes import Impossible

MAX_STEPS: Final = 1_000_000
MAX_TEXT: Final = 1 << 24
"""Characters, of the prompt and of any one text on the way."""
MAX_ITEMS: Final = 1 << 20
"""Of a list, and of all lists inside a value together."""
MAX_BITS: Final = 4096
_MADE_PER_STEP: Final = 128
"""Characters of new text."""
_READ_PER_STEP: Final = 4096
"""Characters of a text that is looked through."""
_COPIES_PER_STEP: Final = 64
"""Items that a list is made of."""
_WALKS_PER_STEP: Final = 8
"""Items that are looked at, in C or nearly so."""
_VISITS_PER_STEP: Final = 2
"""Items that something is done with."""
_MARKS_PER_ITEM: Final = 8
"""Commas, quotes and blanks around an item that is printed."""


class TooMuch(SecurityError):
    """A template exceeds its limits."""


@dataclass(slots=True)
class Budget:
    """What is left of one rendering."""

    steps: int


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


def begin() -> Token[Budget | None]:
    """A full budget for what this context renders, until `end`."""
    return _budget.set(Budget(MAX_STEPS))


def end(token: Token[Budget | None]) -> None:
    _budget.reset(token)


def spend(steps: int = 1) -> None:
    """Raises `TooMuch` when nothing is left.

    Jinja computes constant expressions while it compiles; there is no budget then, and they have to wait.
    """
    budget = _budget.get()
    if budget is None:
        raise Impossible
    budget.steps -= steps
    if budget.steps < 0:
        raise TooMuch(f"the chat template takes more than {MAX_STEPS} steps")


def pay_text(size: int) -> None:
    """For a text of `size` characters that is about to be made, or was."""
    if size > MAX_TEXT:
        raise TooMuch(f"the chat template makes a text of {size} characters")
    spend(size // _MADE_PER_STEP)


def pay_items(size: int) -> None:
    """For as many items that are listed."""
    if size > MAX_ITEMS:
        raise TooMuch(f"the chat template makes a list of {size} items")
    spend(size // _COPIES_PER_STEP)


def pay_result(value: Any) -> Any:
    """For what an operator, a filter or a method made; the value itself."""
    if isinstance(value, str):
        pay_text(len(value))
    elif isinstance(value, list | tuple):
        pay_items(len(cast("list[object]", value)))
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise TooMuch(f"the chat template makes a number of {value.bit_length()} bits")
    return cast("Any", value)


def pay_listing(value: Any) -> None:
    """For going through a value item by item."""
    if isinstance(value, str | list | tuple | range | Mapping):
        size = len(cast("list[object]", value))
        pay_items(size)
        spend(size // _VISITS_PER_STEP)


def weigh(value: Any, times: int = 1) -> int:
    """About the characters of the value, all its parts included, after paying for `times` walks through it."""
    if isinstance(value, str):
        size, items = len(value), 0
    else:
        size, items = _walk(value)
    spend((size // _READ_PER_STEP + items // _WALKS_PER_STEP) * times)
    if size > MAX_TEXT:
        raise TooMuch(f"the chat template uses a value of {size} characters")
    return size


def _walk(value: Any) -> tuple[int, int]:
    """Characters and items."""
    size, items = 0, 0
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, int):
            size += one.bit_length() // 3
        elif (parts := _parts(one)) is not None:
            items += len(parts)
            if items > MAX_ITEMS:
                raise TooMuch(f"the chat template uses a value of more than {MAX_ITEMS} items")
            waiting.extend(parts)
    return size + _MARKS_PER_ITEM * (items + 1), items


def _parts(value: object) -> "list[Any] | tuple[Any, ...] | None":
    if isinstance(value, list | tuple):
        return cast("list[Any]", value)
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return [*members.keys(), *members.values()]
    if isinstance(value, KeysView | ValuesView | ItemsView):
        return list(cast("Iterable[Any]", value))
    return None
