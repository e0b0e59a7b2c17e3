"""The outline of a GBNF grammar, read before the engine reads it: the engine has no patience with bad ones.

It loops for ever where a rule can come back to itself without a character in between (it finds only the plainest left
recursion), takes exponential time over rules that are referred to again and again at their beginning, and recurses once
for each parenthesis. What gets past this reader is compiled by the engine.

    rule      name ::= alternatives          a line break ends it, except within parentheses
    item      "text"  [class]  .  name  (alternatives)  <token>  !<token>     each with an optional * + ? {m} {m,} {m,n}
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

from scheduler.runner.engine.grammar import GrammarError

_MAX_SOURCE: Final = 1 << 16
_MAX_DEPTH: Final = 100
_MAX_REPEATS: Final = 2000
"""The engine's own limit for one repetition."""
_MAX_SIZE: Final = 50_000
"""Symbols after repetitions are written out."""
_MAX_WAYS: Final = 5_000
"""Ways from a rule to a first character: the engine keeps a stack for each, and compares each with each."""
_MAX_OVERLAP: Final = 16
"""Parts in a row that may be missing and begin with the same character: over a token that is refused in the end the
engine tries them all, again for each of its characters."""
_SPACE: Final = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES: Final = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME: Final = re.compile(r"[a-zA-Z0-9-]+")
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_CLASS: Final = re.compile(r"\[((?:[^\]\\]|\\.)*)\]", re.DOTALL)
_TOKEN: Final = re.compile(r"!?<[^>]*>")
_REPEAT: Final = re.compile(r"\{[ \t]*([0-9]{1,9})[ \t]*(,?)[ \t]*([0-9]{1,9})?[ \t]*\}")
_ESCAPE: Final = re.compile(r'\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"\[\]-])')
_CONTROLS: Final = {"t": "\t", "r": "\r", "n": "\n"}
_ANY: Final = (1 << 129) - 1


class Item(NamedTuple):
    """One symbol of an alternative. `rule` names another rule; a terminal has none."""

    rule: str
    least: int
    most: int = 1
    size: int = 1
    """Symbols it stands for after repetitions are written out."""
    first: int = 0
    """Of a terminal: a bit for each ASCII character that it may begin with, and the bit 128 for all others."""


Alternatives = list[list[Item]]


@dataclass(slots=True)
class Outline:
    """The rules of a grammar, those of parentheses included, as far as it matters here."""

    rules: dict[str, Alternatives] = field(default_factory=dict[str, Alternatives])
    lines: dict[str, int] = field(default_factory=dict[str, int])
    """Where each name is first spoken of."""
    tokens: set[str] = field(default_factory=set[str])
    """Tokens that it names, in angle brackets."""


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0
        self.outline = Outline()

    def read(self) -> Outline:
        self._skip(lines=True)
        while self._at < len(self._source):
            self._rule()
        return self.outline

    def _rule(self) -> None:
        name = self._name()
        self._skip()
        if not self._take("::="):
            raise self._fault("expected ::= after the name of a rule")
        self._skip(lines=True)
        self.outline.rules[name] = self._alternatives(name)
        if self._at < len(self._source) and self._peek() not in "\r\n":
            raise self._fault(f"{self._peek()!r} cannot stand here")
        self._skip(lines=True)

    def _alternatives(self, name: str) -> Alternatives:
        found = [self._sequence(name)]
        while self._take("|"):
            self._skip(lines=True)
            found.append(self._sequence(name))
        return found

    def _sequence(self, name: str) -> list[Item]:
        items: list[Item] = []
        while self._at < len(self._source):
            item = self._item(name)
            if item is None:
                break
            self._skip(lines=self._depth > 0)
            while bounds := self._bounds():
                item = _repeated(item, *bounds)
                self._skip(lines=self._depth > 0)
            if item.size > _MAX_SIZE:
                raise self._fault("the repetitions make too large a grammar")
            items.append(item)
        return items

    def _item(self, name: str) -> Item | None:
        letter = self._peek()
        if letter in '"[':
            found = self._match(_TEXT if letter == '"' else _CLASS, "no end of the text" if letter == '"' else "no ]")
            self._check_escapes(found)
            first = _first_of_text(found) if letter == '"' else _first_of_class(found)
            return Item("", 1, size=len(found), first=first) if found not in ("", "^") else Item("", 0)
        if letter in "<!":
            self.outline.tokens.add(self._match(_TOKEN, "expected <token>").removeprefix("!"))
            return Item("", 1, first=_ANY)
        if self._take("."):
            return Item("", 1, first=_ANY)
        if self._take("("):
            return self._group(name)
        return Item(self._name(), 1) if _NAME.match(letter) else None

    def _group(self, name: str) -> Item:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._fault(f"more than {_MAX_DEPTH} parentheses inside of each other")
        self._skip(lines=True)
        inner = f"{name} ({len(self.outline.rules)}"
        self.outline.rules[inner] = []
        self.outline.rules[inner] = self._alternatives(name)
        if not self._take(")"):
            raise self._fault("expected )")
        self._depth -= 1
        size = sum(item.size for one in self.outline.rules[inner] for item in one)
        return Item(inner, 1, size=size + 1)

    def _bounds(self) -> tuple[int, int | None] | None:
        letter = self._peek()
        if letter == "{":
            at = self._at
            found = _REPEAT.match(self._source, at)
            if not found:
                raise self._fault("expected {m}, {m,} or {m,n}")
            self._at = found.end()
            least = int(found[1])
            most = int(found[3]) if found[3] else (None if found[2] else least)
            if least > _MAX_REPEATS or (most or 0) > _MAX_REPEATS or (most is not None and most < least):
                self._at = at
                raise self._fault(f"repetitions go from 0 to {_MAX_REPEATS}")
            return least, most
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(letter)
        if bounds:
            self._at += 1
        return bounds

    def _name(self) -> str:
        line = self._line()
        name = self._match(_NAME, "expected the name of a rule")
        self.outline.lines.setdefault(name, line)
        return name

    def _check_escapes(self, text: str) -> None:
        at = text.find("\\")
        while at >= 0:
            found = _ESCAPE.match(text, at)
            if not found:
                raise self._fault(f"{text[at : at + 2]!r} is no escape")
            at = text.find("\\", found.end())

    # -- letters

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        found = self._source.startswith(text, self._at)
        self._at += len(text) * found
        return found

    def _match(self, pattern: re.Pattern[str], complaint: str) -> str:
        found = pattern.match(self._source, self._at)
        if not found:
            raise self._fault(complaint)
        self._at = found.end()
        return found[pattern.groups]

    def _skip(self, *, lines: bool = False) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self._source, self._at)
        assert found is not None
        self._at = found.end()

    def _line(self) -> int:
        return self._source.count("\n", 0, self._at) + 1

    def _fault(self, reason: str) -> GrammarError:
        return GrammarError(f"invalid grammar at line {self._line()}: {reason}")


def _letters(text: str) -> Iterator[str | None]:
    """The characters of a text or class; None for a dash that stands for a range."""
    at = 0
    while at < len(text):
        if text[at] != "\\":
            yield None if text[at] == "-" else text[at]
            at += 1
            continue
        found = _ESCAPE.match(text, at)
        assert found is not None
        code = found[0][2:]
        yield chr(min(int(code, 16), sys.maxunicode)) if code else _CONTROLS.get(found[0][1], found[0][1])
        at = found.end()


def _bits(low: str, high: str) -> int:
    """The bits of a range of characters."""
    start, end = ord(low), ord(high)
    ascii_part = ((1 << (min(end, 127) + 1)) - 1) >> start << start if start < 128 and end >= start else 0
    return ascii_part | (end > 127) << 128


def _first_of_text(text: str) -> int:
    letter = next(_letters(text), "") or "-"
    return _bits(letter, letter)


def _first_of_class(text: str) -> int:
    letters = list(_letters(text.removeprefix("^")))
    found = 0
    for index, letter in enumerate(letters):
        if letter is None and 0 < index < len(letters) - 1:
            found |= _bits(letters[index - 1] or "-", letters[index + 1] or "-")
        else:
            found |= _bits(letter or "-", letter or "-")
    return (_ANY & ~found) | 1 << 128 if text.startswith("^") else found


def _repeated(item: Item, least: int, most: int | None) -> Item:
    times = max(least, most or 0, 1)
    return item._replace(least=item.least * min(least, 1), most=item.most * times, size=item.size * times)


def outline(source: str) -> Outline:
    """Read a grammar. Raises `GrammarError` for one that is malformed, or that the engine would choke on."""
    if len(source) > _MAX_SOURCE:
        raise GrammarError(f"the grammar is too large: {len(source)} characters, at most {_MAX_SOURCE}")
    if "\0" in source:
        raise GrammarError("a grammar cannot contain a zero byte")
    found = _Reader(source).read()
    if "root" not in found.rules:
        raise GrammarError("invalid grammar: there is no rule named root")
    for name in _mentioned(found):
        if name not in found.rules:
            raise GrammarError(f"invalid grammar at line {found.lines[name]}: there is no rule named {name}")
    if sum(item.size for alternatives in found.rules.values() for one in alternatives for item in one) > _MAX_SIZE:
        raise GrammarError("invalid grammar: the repetitions make too large a grammar")
    _check_beginnings(found)
    return found


def _mentioned(found: Outline) -> Iterator[str]:
    for alternatives in found.rules.values():
        for one in alternatives:
            yield from (item.rule for item in one if item.rule)


def _empty_rules(found: Outline) -> set[str]:
    """Rules that may stand for nothing."""
    users: dict[str, set[str]] = {}
    for name, alternatives in found.rules.items():
        for item in chain.from_iterable(alternatives):
            users.setdefault(item.rule, set()).add(name)
    empty: set[str] = set()
    waiting = list(found.rules)
    while waiting:
        name = waiting.pop()
        if name not in empty and any(
            all(not item.least or item.rule in empty for item in one) for one in found.rules[name]
        ):
            empty.add(name)
            waiting.extend(users.get(name, ()))
    return empty


def _check_beginnings(found: Outline) -> None:
    """Refuse rules that can begin with themselves, and beginnings that branch without measure."""
    empty = _empty_rules(found)
    first = {
        name: [item for one in alternatives for item in _beginnings(one, empty)]
        for name, alternatives in found.rules.items()
    }
    ways: dict[str, int] = {}
    letters: dict[str, int] = {}
    for name in found.rules:
        if name not in ways:
            _count_ways(name, first, ways, letters)
        if ways[name] > _MAX_WAYS:
            raise GrammarError(f"invalid grammar: {_shown(name)} can begin in too many ways")
    for name, alternatives in found.rules.items():
        if any(_overlaps(one, empty, letters) for one in alternatives):
            raise GrammarError(f"invalid grammar: too many parts of {_shown(name)} may be missing and begin alike")


def _beginnings(items: list[Item], empty: set[str]) -> Iterator[Item]:
    for item in items:
        hollow = item.rule in empty
        yield item if hollow else item._replace(most=1)
        if item.least and not hollow:
            return


def _count_ways(name: str, first: dict[str, list[Item]], ways: dict[str, int], letters: dict[str, int]) -> None:
    """Depth first, without recursion: rules may refer to each other in long chains."""
    stack = [(name, iter(first[name]))]
    open_rules = {name}
    while stack:
        rule, rest = stack[-1]
        following = next((item.rule for item in rest if item.rule and item.rule not in ways), None)
        if following is None:
            stack.pop()
            open_rules.discard(rule)
            count = sum(item.most * ways.get(item.rule, 1) for item in first[rule])
            ways[rule] = min(1 + count, _MAX_WAYS + 1)
            letters[rule] = 0
            for item in first[rule]:
                letters[rule] |= letters.get(item.rule, item.first)
        elif following in open_rules:
            raise GrammarError(f"invalid grammar: the rule {_shown(following)} can begin with itself (left recursion)")
        else:
            open_rules.add(following)
            stack.append((following, iter(first[following])))


def _overlaps(items: list[Item], empty: set[str], letters: dict[str, int]) -> bool:
    """Whether more than a few of the parts that a text may be in the middle of can go on with the same character."""
    run: list[tuple[int, int]] = []
    for item in items:
        hollow = item.rule in empty
        run.append((letters.get(item.rule, item.first), item.most if hollow else 1))
        if item.least and not hollow:
            if _is_thick(run):
                return True
            run = []
    return _is_thick(run)


def _is_thick(run: list[tuple[int, int]]) -> bool:
    if sum(times for _, times in run) <= _MAX_OVERLAP:
        return False
    return any(sum(times for bits, times in run if bits >> bit & 1) > _MAX_OVERLAP for bit in range(129))


def _shown(name: str) -> str:
    return name.partition(" (")[0]
