"""Members of an object, arguments of a call: each at most once, in any order."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from server.parse.syntax.rules import Rules

_BITS: Final = 64
"""What a rule of llguidance can remember."""


class Member(NamedTuple):
    """One of them."""

    symbols: str
    required: bool


def any_order(rules: Rules, name: str, members: Sequence[Member], separator: str = "") -> str:
    """Define rules called after `name`; returns the symbols of a sequence with all members that are required.

    Of more than 64 only so many are watched, required ones first; optional ones behind them may come again.
    """
    if not members:
        return ""
    ordered = sorted(members, key=lambda member: not member.required)
    required = sum(member.required for member in ordered[:_BITS])
    end = f'"" %if is_ones([0:{required}])' if required else '""'
    more = f"{name}_more"
    if separator:
        rules.add(f"{name}::_", end, *_steps(ordered, more))
        rules.add(f"{more}::_", end, *(f"{separator} {step}" for step in _steps(ordered, more)))
    else:
        rules.add(f"{name}::_", end, *_steps(ordered, name))
    return f"{name}::0x0"


def _steps(members: Sequence[Member], more: str) -> Iterator[str]:
    for bit, member in enumerate(members):
        if bit < _BITS:
            yield f"{member.symbols} {more}::set_bit({bit}) %if bit_clear({bit})"
        else:
            yield f"{member.symbols} {more}::_"
