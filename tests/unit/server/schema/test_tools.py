"""Tools and calls as clients send them: every form of a type, values of the wrong kind, depths that nobody needs."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.gojson.decode import decode
from server.gojson.walk import DecodeError
from server.messages import Property, Tool
from server.schema import native


def tools(*given: Any) -> list[Tool]:
    return decode(orjson.dumps({"tools": list(given)}), native.CHAT).tools


def parameter(given: Any) -> Property:
    """What becomes of a parameter."""
    function = {"name": "f", "parameters": {"type": "object", "properties": {"p": given}}}
    (tool,) = tools({"type": "function", "function": function})
    assert tool.parameters.properties is not None
    return tool.parameters.properties["p"]


def refusal(**members: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(orjson.dumps(members), native.CHAT)
    return str(caught.value)


FORMS: list[tuple[Any, Property]] = [
    ({"type": "string"}, Property(type=["string"])),
    ({"type": ["integer", "null"]}, Property(type=["integer", "null"])),
    ({"type": "integer, string"}, Property(type=["integer, string"])),
    ({"type": []}, Property()),
    ({"type": None}, Property()),
    ({}, Property()),
    (None, Property()),
    ({"anyOf": [{"type": "string"}, None, {"type": ["null"]}]},
     Property(any_of=[Property(type=["string"]), Property(), Property(type=["null"])])),
    ({"anyOf": None, "enum": None, "required": None, "properties": None, "items": None}, Property()),
    ({"type": "object", "properties": {"q": {"type": ["number"], "properties": {}}}, "required": ["q"]},
     Property(type=["object"], properties={"q": Property(type=["number"], properties={})}, required=["q"])),
    ({"type": "array", "items": {"type": ["a", 1]}}, Property(type=["array"], items={"type": ["a", 1]})),
    ({"enum": ["a", 1, None, {"b": []}]}, Property(enum=["a", 1, None, {"b": []}])),
    ({"TYPE": "string", "Description": "d"}, Property(type=["string"], description="d")),
    ({"type": "string", "oneOf": 5, "default": [], "$ref": {}}, Property(type=["string"])),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), FORMS)
def test_every_form_of_a_parameter(given: Any, expected: Property) -> None:
    assert parameter(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Tool()), ({}, Tool()), ({"function": None}, Tool()), ({"type": None, "function": {}}, Tool()),
        ({"function": {"name": "f", "parameters": None}}, Tool(name="f")),
        ({"function": {"name": "f", "parameters": {}}}, Tool(name="f")),
        ({"function": {"name": "f", "strict": True}, "extra": 1}, Tool(name="f")),
    ],
)  # fmt: skip
def test_what_may_be_missing(given: Any, expected: Tool) -> None:
    assert tools(given) == [expected]


@pytest.mark.parametrize("given", [None, []])
def test_no_tools(given: Any) -> None:
    assert decode(orjson.dumps({"tools": given}), native.CHAT).tools == []


@pytest.mark.parametrize(
    "given",
    [
        {"type": 1}, {"type": {"a": 1}}, {"type": [1]}, {"type": [["string"]]}, {"type": True}, {"anyOf": {}},
        {"anyOf": ["string"]}, {"enum": {}}, {"enum": "a"}, {"description": 1}, {"properties": []}, {"properties": "a"},
        {"properties": {"q": "string"}}, {"required": True}, {"required": "q"}, {"required": [1]}, "string", [], 1,
    ],
)  # fmt: skip
def test_wrong_kinds_in_a_parameter_are_named(given: Any) -> None:
    function = {"name": "f", "parameters": {"properties": {"p": given}}}
    text = refusal(tools=[{"function": function}])
    assert (
        text.startswith("json: cannot unmarshal ")
        or text == "Value looks like object, but can't find closing '}' symbol"
    )


@pytest.mark.parametrize(
    ("call", "ending"),
    [
        ({"function": {"arguments": "{}"}}, "Value looks like object, but can't find closing '}' symbol"),
        ({"function": {"arguments": []}}, "Value looks like object, but can't find closing '}' symbol"),
        ({"function": {"index": 1.5}}, "messages.tool_calls.function.index of type int"),
        ({"id": 7}, "messages.tool_calls.id of type string"),
    ],
)
def test_wrong_kinds_in_a_call(call: Any, ending: str) -> None:
    assert refusal(messages=[{"tool_calls": [call]}]).endswith(ending)


@pytest.mark.parametrize("depth", [200, 2_000])
def test_what_is_too_deep_is_refused(depth: int) -> None:
    """Renderers go down into all of it."""
    opening, closing = '{"a":{"properties":' * depth, "}}" * depth
    texts = {
        "tools": f'{{"tools":[{{"function":{{"parameters":{{"properties":{opening}{{}}{closing}}}}}}}]}}',
        "messages": f'{{"messages":[{{"tool_calls":[{{"function":{{"arguments":{opening}1{closing}}}}}]}}]}}',
    }
    for member, text in texts.items():
        with pytest.raises(DecodeError) as caught:
            decode(text.encode(), native.CHAT)
        assert str(caught.value) == f"{member}: more than 160 values within each other"


def test_what_a_model_may_write_may_be_sent_back() -> None:
    arguments = "[" * 127 + "]" * 127
    text = f'{{"messages":[{{"tool_calls":[{{"function":{{"name":"f","arguments":{{"a":{arguments}}}}}}}]}}]}}'
    (message,) = decode(text.encode(), native.CHAT).messages
    assert message.tool_calls[0].name == "f"


_KEYS = (
    "type", "function", "name", "parameters", "properties", "p", "anyOf", "items", "enum", "required", "description",
    "$defs", "tool_calls", "arguments", "index", "id", "role", "content",
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["string", "integer, string", "{}", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(given=_JSON)
def test_anything_else_is_tools_and_messages_or_refused(given: Any) -> None:
    for member in ("tools", "messages"):
        for value in (given, [given], [{"function": given}], [{"function": {"parameters": given}}]):
            with contextlib.suppress(DecodeError):
                decode(orjson.dumps({member: value}), native.CHAT)
