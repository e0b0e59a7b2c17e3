"""The requests of the native API: what they accept, and the texts with which they refuse."""

import math
from typing import Any

import orjson
import pytest

from server.gojson.decode import decode
from server.gojson.walk import DecodeError
from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.schema import native

BAD_CHATS: list[tuple[dict[str, Any], str]] = [
    ({"keep_alive": True}, "Unsupported type: 'bool'"),
    ({"keep_alive": []}, "Unsupported type: '[]interface {}'"),
    ({"keep_alive": {}}, "Unsupported type: 'map[string]interface {}'"),
    ({"keep_alive": "1d"}, 'time: unknown unit "d" in duration "1d"'),
    ({"think": "huge"}, 'invalid think value: "huge" (must be "high", "medium", "low", "max", true, or false)'),
    ({"think": 0}, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'),
    ({"messages": ["hi"]},
     "json: cannot unmarshal string into Go struct field ChatRequest.messages of type api.Alias"),
    ({"messages": [{"content": []}]},
     "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"),
    ({"messages": [{"images": "AAAA"}]},
     "json: cannot unmarshal string into Go struct field ChatRequest.messages.images of type []api.ImageData"),
    ({"messages": [{"images": ["data:image/png;base64,AAAA"]}]}, "illegal base64 data at input byte 4"),
    ({"messages": [{"tool_calls": ["x"]}]},
     "json: cannot unmarshal string into Go struct field ChatRequest.messages.tool_calls of type api.ToolCall"),
    ({"messages": [{"tool_calls": [{"function": {"arguments": "{}"}}]}]},
     "Value looks like object, but can't find closing '}' symbol"),
    ({"tools": {}}, "json: cannot unmarshal object into Go struct field ChatRequest.tools of type api.Tools"),
    ({"tools": ["x"]}, "json: cannot unmarshal string into Go struct field ChatRequest.tools of type api.Tool"),
    ({"tools": [{"function": "f"}]},
     "json: cannot unmarshal string into Go struct field Tool.tools.function of type api.ToolFunction"),
    ({"tools": [{"function": {"name": 1}}]},
     "json: cannot unmarshal number into Go struct field ToolFunction.tools.function.name of type string"),
    ({"tools": [{"function": {"parameters": {"properties": []}}}]},
     "Value looks like object, but can't find closing '}' symbol"),
    ({"tools": [{"function": {"parameters": {"properties": {"a": {"type": 1}}}}}]},
     ("json: cannot unmarshal number into Go struct field "
      "ToolFunctionParameters.tools.function.parameters.properties.type of type []string")),
    ({"options": []},
     "json: cannot unmarshal array into Go struct field ChatRequest.options of type map[string]interface {}"),
    ({"top_logprobs": 1.5},
     "json: cannot unmarshal number 1.5 into Go struct field ChatRequest.top_logprobs of type int"),
]  # fmt: skip


def refusal(schema: Any, **members: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(orjson.dumps(members), schema)
    return str(caught.value)


def chat(**members: Any) -> native.ChatRequest:
    return decode(orjson.dumps(members), native.CHAT)


def test_an_empty_request_has_the_defaults() -> None:
    request = decode(b"{}", native.GENERATE)
    assert request == native.GenerateRequest()
    assert request.stream
    assert request.keep_alive is request.think is request.context is request.truncate is request.shift is None


def test_messages_become_those_of_the_server() -> None:
    request = chat(
        messages=[
            {"role": "USER", "content": "hi", "images": ["AAEC"]},
            None,
            {
                "role": "assistant",
                "thinking": "t",
                "tool_calls": [
                    {"id": "c", "function": {"index": 1, "name": "f", "arguments": {"b": 1, "a": [2.5]}}},
                    {"function": {"name": "g", "arguments": None}},
                ],
            },
            {"role": "tool", "tool_name": "f", "tool_call_id": "c", "content": "r"},
        ]
    )
    assert request.messages == [
        Message("user", "hi", images=[b"\0\1\2"]),
        Message(),
        Message(
            "assistant",
            thinking="t",
            tool_calls=[ToolCall("f", {"b": 1, "a": [2.5]}, "c", 1), ToolCall("g")],
        ),
        Message("tool", "r", tool_name="f", tool_call_id="c"),
    ]
    assert list(request.messages[2].tool_calls[0].arguments) == ["b", "a"]


def test_tools_keep_what_templates_may_use() -> None:
    properties: dict[str, Any] = {
        "b": {"type": ["string", "null"], "description": "d", "enum": ["x", 1], "default": 3},
        "a": {"anyOf": [{"type": "integer"}], "items": {"type": "string"}, "properties": {"c": {}}, "required": ["c"]},
    }
    parameters: dict[str, Any] = {"type": "object", "$defs": {"D": 1}, "required": ["b"], "properties": properties}
    function = {"name": "f", "description": "e", "parameters": parameters}
    request = chat(tools=[{"type": "function", "function": function}])
    assert request.tools == [
        Tool(
            type="function",
            name="f",
            description="e",
            parameters=Parameters(
                type="object",
                defs={"D": 1},
                required=["b"],
                properties={
                    "b": Property(type=["string", "null"], description="d", enum=["x", 1]),
                    "a": Property(
                        any_of=[Property(type=["integer"])],
                        items={"type": "string"},
                        properties={"c": Property()},
                        required=["c"],
                    ),
                },
            ),
        )
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0), (42.5, 42.5), (-1, math.inf), ("5m", 300), ("-1m", math.inf), ("0", 0), (1e30, math.inf), (None, None)],
)
def test_keep_alive(value: Any, seconds: float | None) -> None:
    assert chat(keep_alive=value).keep_alive == seconds


@pytest.mark.parametrize("value", [True, False, "low", "max", None])
def test_think(value: Any) -> None:
    assert chat(think=value).think == value


@pytest.mark.parametrize(("members", "message"), BAD_CHATS)
def test_refuses_a_chat_in_gos_words(members: dict[str, Any], message: str) -> None:
    assert refusal(native.CHAT, **members) == message


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (native.GENERATE, "GenerateRequest"),
        (native.CHAT, "ChatRequest"),
        (native.EMBED, "EmbedRequest"),
        (native.EMBEDDINGS, "EmbeddingRequest"),
        (native.SHOW, "ShowRequest"),
        (native.CREATE, "CreateRequest"),
        (native.DELETE, "DeleteRequest"),
        (native.PULL, "PullRequest"),
        (native.PUSH, "PushRequest"),
    ],
)
def test_every_request_has_its_go_name(schema: Any, name: str) -> None:
    field = f"Go struct field {name}.model of type string"
    assert refusal(schema, model=5) == f"json: cannot unmarshal number into {field}"


def test_format_is_kept_as_text() -> None:
    assert decode(b'{"format": {"b":1, "a":2.0}}', native.CHAT).format == '{"b":1, "a":2.0}'
    assert decode(b'{"format": null}', native.CHAT).format == ""


def test_create_reads_from_and_tells_absent_files_from_none() -> None:
    request = decode(b'{"from":"a","files":{}}', native.CREATE)
    assert (request.source, request.files, request.adapters) == ("a", {}, None)
