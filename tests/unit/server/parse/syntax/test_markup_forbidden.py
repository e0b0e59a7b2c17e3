"""What the grammars do not admit."""

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import Parameters, Tool, ToolCall
from server.parse.kinds import KINDS
from tests.unit.server.parse.syntax.markup import DISTINCT, ENDS, MARKUP, declared, read, rendered, takes
from tests.unit.server.parse.syntax.walks import admits, composed, matcher, refused

_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_LEAF: Final[st.SearchStrategy[Any]] = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(KINDS) | _JSON, "enum": st.lists(_JSON) | _JSON}
)
_SCHEMA: Final[st.SearchStrategy[Any]] = st.recursive(
    _LEAF,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(KINDS) | st.lists(st.sampled_from(KINDS)),
            "anyOf": st.lists(inner, max_size=2) | _JSON,
            "allOf": st.lists(inner, max_size=2) | _JSON,
            "items": inner | _JSON,
            "properties": st.dictionaries(st.text(max_size=5), inner, max_size=2) | _JSON,
            "required": st.lists(st.text(max_size=5), max_size=2) | _JSON,
            "additionalProperties": inner | _JSON,
            "minItems": _JSON,
            "maxItems": st.integers(0, 3) | _JSON,
            "$ref": st.sampled_from(["#", "#/properties/a b", "#/$defs/", "x"]) | _JSON,
            "maximum": _JSON,
        },
    ),
    max_leaves=4,
)
_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_TOOLS: Final = [
    declared("get", {**takes(v=_TEXT, n=_INTEGER), "required": ["v"]}),
    declared("now", {"type": "object"}),
]


def _admitted(name: str, call: ToolCall, *schemas: Any) -> bool:
    tools = [declared("get", takes(v=schema)) for schema in schemas] or _TOOLS
    return admits(composed(MARKUP[name].write(tools, False)), rendered(name, tools, [call]))


@pytest.mark.parametrize("name", DISTINCT)
def test_only_declared_tools_and_parameters_and_all_that_are_required(name: str) -> None:
    assert _admitted(name, ToolCall("get", {"v": "x"}))
    assert _admitted(name, ToolCall("now"))
    assert _admitted(name, ToolCall("now", {"what": "ever"}))
    for call in (
        ToolCall("ge", {"v": "x"}),
        ToolCall("gets", {"v": "x"}),
        ToolCall("get", {}),
        ToolCall("get", {"n": 1}),
        ToolCall("get", {"v": "x", "more": "y"}),
        ToolCall("get", {"v": "x", "nn": 1}),
    ):
        assert not _admitted(name, call), call


@pytest.mark.parametrize("name", DISTINCT)
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_INTEGER, "twelve"),
        (_INTEGER, 1.5),
        ({"type": "integer", "maximum": 5}, 6),
        ({"type": "number"}, "x"),
        ({"type": "boolean"}, 1),
        ({"type": "boolean"}, "yes"),
        ({"type": "array"}, {"a": 1}),
        ({"type": "array", "items": _INTEGER}, [1, "a"]),
        ({"type": "array", "items": _INTEGER, "maxItems": 1}, [1, 2]),
        ({"type": "array", "items": _INTEGER, "minItems": 1}, []),
        ({"type": "object", "required": ["k"], "properties": {"k": _INTEGER}}, {}),
        ({"type": "object", "required": ["k"], "properties": {"k": _INTEGER}}, {"k": "x"}),
        ({"type": "object"}, []),
        ({"enum": ["red", "green"]}, "blue"),
        ({"enum": ["red", "green"]}, "redgreen"),
        ({"const": "red"}, "re"),
        ({"anyOf": [_INTEGER, {"type": "boolean"}]}, "x"),
        ({"$ref": "#/$defs/none", "$defs": {"none": _INTEGER}}, None),
    ],
)
def test_arguments_have_the_type_that_was_declared(name: str, schema: dict[str, Any], value: Any) -> None:
    definitions = {"$defs": {"none": _INTEGER}}
    tools = [declared("get", {**takes(v=schema), **definitions})]
    text = rendered(name, tools, [ToolCall("get", {"v": value})])
    assert refused(composed(MARKUP[name].write(tools, False)), text)


@pytest.mark.parametrize(
    "name", [name for name in DISTINCT if name not in ("lfm2", "olmo3", "gemma4", "functiongemma")]
)
def test_no_text_is_read_as_null_where_it_may_not_be(name: str) -> None:
    for text in ("null", "NULL"):
        call = ToolCall("get", {"v": text})
        assert not _admitted(name, call, _TEXT)
        assert _admitted(name, call, {"type": ["string", "null"]})
        assert _admitted(name, call, {})
    assert _admitted(name, ToolCall("get", {"v": "null."}), _TEXT)


@pytest.mark.parametrize("name", DISTINCT)
def test_no_text_holds_the_end_of_its_call(name: str) -> None:
    end = ENDS[name]
    tools = [declared("get", takes(v=_TEXT))]
    text = rendered(name, tools, [ToolCall("get", {"v": f"a{end}b"})])
    escaped = text.replace(r"\u003c", "<").replace(r"\u003e", ">")
    assert not admits(composed(MARKUP[name].write(tools, False)), escaped)
    assert _admitted(name, ToolCall("get", {"v": f"a{end[:-1]} b"}), _TEXT)


@pytest.mark.parametrize("name", DISTINCT)
def test_a_tool_without_parameters_is_given_none(name: str) -> None:
    tools = [declared("get", {"type": "object", "properties": {}})]
    grammar = composed(MARKUP[name].write(tools, False))
    assert admits(grammar, rendered(name, tools, [ToolCall("get")]))
    assert not admits(grammar, rendered(name, tools, [ToolCall("get", {"v": "x"})]))


def test_glimmer_may_think_in_front_of_its_calls() -> None:
    grammar = composed(MARKUP["glimmer"].write(_TOOLS, True))
    block = '<atem:function_calls>\n<atem:invoke name="now">\n</atem:invoke>\n</atem:function_calls>'
    text = f" to=self<|message|>to be < or not<|eom|><|start|>assistant to=now<|message|>{block}"
    assert admits(grammar, text)
    assert not admits(grammar, text.replace("to=now", "to=get"))
    parsed = read("glimmer", _TOOLS, text)
    assert (parsed.content, parsed.calls) == ("", (ToolCall("now"),))


def test_functiongemma_writes_no_null() -> None:
    grammar = composed(MARKUP["functiongemma"].write([declared("get", takes(v={"type": ["integer", "null"]}))], False))
    assert admits(grammar, "<start_function_call>call:get{v:1}<end_function_call>")
    assert not admits(grammar, "<start_function_call>call:get{v:null}<end_function_call>")


@pytest.mark.parametrize("name", DISTINCT)
@settings(max_examples=6)
@given(_SCHEMA, st.text(max_size=5))
def test_any_schema_makes_a_grammar(name: str, schema: dict[str, Any], key: str) -> None:
    parameters = Parameters(schema={**schema, "properties": {key: schema, "a b": {}, "$ref": schema}, "$defs": {"": 1}})
    rules = MARKUP[name].write([Tool("function", name="get", parameters=parameters)], True)
    rules.schemas[:] = ["{}" for _ in rules.schemas]  # JSON by a schema is not made here
    matcher(composed(rules))


@pytest.mark.parametrize("many", [True, False])
def test_more_parameters_than_a_rule_can_watch(many: bool) -> None:
    properties = {f"p{at}": _TEXT for at in range(80)}
    tools = [declared("get", {"type": "object", "properties": properties, "required": ["p79"]})]
    grammar = composed(MARKUP["qwen3-coder"].write(tools, many))
    for keys, complete in ((["p79"], True), (["p70", "p79", "p1"], True), (["p70", "p1"], False)):
        text = rendered("qwen3-coder", tools, [ToolCall("get", dict.fromkeys(keys, "x"))])
        assert admits(grammar, text) == complete
