"""The grammars admit what the renderers write, and the parsers read it."""

from itertools import product
from typing import Any, Final

import pytest

from server.messages import ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.parse.syntax.markup import DISTINCT, ENDS, MARKUP, declared, read, rendered, takes
from tests.unit.server.parse.syntax.walks import accepted, admits, bytewise, composed, matcher, refused

_TEXT: Final = {"type": "string"}
_NESTED: Final = {
    "type": "object",
    "properties": {"a": {"type": "array", "items": {"type": "number"}}, "o": {"type": "object"}, "s": _TEXT},
}
VALUES: Final[list[tuple[dict[str, Any], Any]]] = [
    (_TEXT, "Paris"),
    (_TEXT, ""),
    (_TEXT, "it's \"quoted\", isn't it? C:\\temp\\new"),
    (_TEXT, "one\ntwo\n\n  three\ttab"),
    (_TEXT, "日本 🙂 é"),
    (_TEXT, "<b>bold</b> & <i x='1'>, a < b > c"),
    (_TEXT, "nullify"),
    (_TEXT, "f(a=1, b=[2]), {k: v}"),
    ({"type": "integer"}, -12),
    ({"type": "number"}, 2.5),
    ({"type": "number"}, 1e20),
    ({"type": "boolean"}, True),
    ({"type": "boolean"}, False),
    ({"type": "array", "items": _TEXT}, ["a", "b, c", "[d]", 'e"']),
    ({"type": "array"}, []),
    ({"type": "object"}, {}),
    (_NESTED, {"a": [1, -2.5], "o": {"k": {"deep": [True, "x"]}}, "s": "a: {b}"}),
    ({"enum": ["red", "green & <blue>"]}, "green & <blue>"),
    ({"enum": ["auto", 3]}, 3),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "x y"),
    ({"$ref": "#/$defs/point"}, {"x": 1, "y": 2}),
    ({"type": ["string", "null"]}, "x"),
    ({}, "anything"),
]
_DEFINITIONS: Final = {"$defs": {"point": takes(x={"type": "integer"}, y={"type": "integer"})}}


@pytest.mark.parametrize(("name", "case"), [*product(DISTINCT, range(len(VALUES)))])
def test_what_a_renderer_writes_is_admitted_and_read(name: str, case: int) -> None:
    schema, value = VALUES[case]
    tools = [declared("get", {**takes(v=schema), **_DEFINITIONS}), declared("get_more", takes(w=_TEXT))]
    call = ToolCall("get", {"v": value})
    text = rendered(name, tools, [call])
    rules = MARKUP[name].write(tools, False)
    calls, rest = composed(rules), composed(rules, "rest")
    assert refused(calls, text) == ""
    assert admits(calls, text)
    _, opening, behind = text.partition(MARKUP[name].openings[0])
    assert opening
    assert accepted(rest, behind) == behind
    parsed = read(name, tools, text)
    assert (parsed.content, parsed.calls) == ("", (call,))


@pytest.mark.parametrize("name", MARKUP)
def test_several_calls_are_admitted_where_there_may_be_several(name: str) -> None:
    tools = [declared("get", takes(v=_TEXT)), declared("get.more", takes(w=_TEXT, v={"type": "integer"}))]
    given = [ToolCall("get", {"v": "x"}), ToolCall("get.more", {"v": 2, "w": "y\nz"}, index=1)]
    text = rendered(name, tools, given)
    assert admits(composed(MARKUP[name].write(tools, True)), text)
    assert not admits(composed(MARKUP[name].write(tools, False)), text)
    parsed = read(name, tools, text)
    assert (parsed.content.strip(), parsed.calls) == ("", tuple(given))


@pytest.mark.parametrize("name", MARKUP)
def test_arguments_may_stand_in_any_order_and_optional_ones_be_left_out(name: str) -> None:
    schema = {"type": "object", "properties": dict.fromkeys("abc", _TEXT), "required": ["b"]}
    tools = [declared("get", schema)]
    grammar = composed(MARKUP[name].write(tools, False))
    for keys in ("b", "abc", "cb", "bca", "ab"):
        assert admits(grammar, _unsorted(name, keys))
    for keys in ("", "ac", "abb"):
        assert not admits(grammar, _unsorted(name, keys))


def _unsorted(name: str, keys: str) -> str:
    """A call in this order, whatever that of the renderer is."""
    tools = [declared("get")]
    between = [rendered(name, tools, [ToolCall("get", dict.fromkeys(keys, "x"))]) for keys in ("", "b", "ab")]
    empty, one, two = between
    start = next(at for at, char in enumerate(one) if char != empty[at])
    member = one[start : len(one) - len(empty) + start]
    comma = "," if len(two) - len(one) > len(member) else ""
    return empty[:start] + comma.join(member.replace("b", key) for key in keys) + empty[start:]


@pytest.mark.parametrize("name", [name for name in MARKUP if name != "olmo3"])
def test_marks_may_be_control_tokens(name: str) -> None:
    """A free text ends where the token comes, as it ends where the mark is spelled out."""
    tools = [declared("get", takes(v=_TEXT, n={"type": "integer"}))]
    text = rendered(name, tools, [ToolCall("get", {"v": "a\n</x>", "n": 1})])
    rules = MARKUP[name].write(tools, False)
    tokens = {mark: 256 + index for index, mark in enumerate(rules.marks[:5])}
    started = matcher(composed(rules, tokens=tokens))
    written = bytewise().tokenize_str("")
    while text:
        mark = next((mark for mark in tokens if text.startswith(mark)), text[0])
        written += [tokens[mark]] if mark in tokens else list(mark.encode())
        text = text[len(mark) :]
    assert started.consume_tokens(written)
    assert started.is_accepting()


def test_every_family_that_is_rendered_has_its_end() -> None:
    assert ENDS.keys() == MARKUP.keys()
    assert not MARKUP.keys() - RENDERERS.keys() - {"gemma4-no-thinking"}
