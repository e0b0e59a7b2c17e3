"""Requests of the native API to the internal one, and answers back, member by member in their order."""

import json
import re
from dataclasses import asdict, fields
from typing import Any

import pytest

from scheduler.frames import Constraint, Logprob, TopLogprob
from server import jsonout
from server.dialects.native import ChatEncoder, GenerateEncoder, Said, chat_request, completion_request
from server.errors import ApiError
from server.inference.answer import Outcome, Piece
from server.messages import Message, Tool, ToolCall
from server.schema import native

METRICS = {
    "total_duration": 9,
    "load_duration": 1,
    "prompt_eval_count": 2,
    "prompt_eval_duration": 4,
    "eval_count": 5,
    "eval_duration": 6,
}
NOTHING = Outcome("stop", 0, 0, 0, 0, 0, 0)
LOGPROB = Logprob("é", -0.5, [TopLogprob("", -1.5)])
SHOWN_LOGPROB = {
    "token": "é",
    "logprob": -0.5,
    "bytes": [195, 169],
    "top_logprobs": [{"token": "", "logprob": -1.5}],
}
PART = Logprob("\ufffd", -0.5, [TopLogprob("\ufffd", -1.5, b"\xa9")], b"\xc3")
"""Two tokens that are half a character each."""
SHOWN_PART = {
    "token": "\ufffd",
    "logprob": -0.5,
    "bytes": [195],
    "top_logprobs": [{"token": "\ufffd", "logprob": -1.5, "bytes": [169]}],
}
CALL = ToolCall("f", {"b": 1.0, "a": {"z": 1, "y": 2}}, "id1", 3)
SHOWN_CALL = {"id": "id1", "function": {"index": 3, "name": "f", "arguments": {"b": 1, "a": {"y": 2, "z": 1}}}}


def outcome(**changes: Any) -> Outcome:
    return Outcome("length", 1, 2, 3, 4, 5, 6, **changes)


def shown(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """The members as they are sent, in order; the time is checked and left out."""
    members = json.loads(jsonout.dumps(value), object_pairs_hook=list)
    assert members[:2] == [("model", "M"), ("created_at", value["created_at"])]
    assert value["created_at"].endswith("Z")
    return members[2:]


def pairs(**members: Any) -> list[tuple[str, Any]]:
    return json.loads(json.dumps(members), object_pairs_hook=list)


class TestGenerate:
    encoder = GenerateEncoder("M")

    def test_a_piece(self) -> None:
        assert shown(self.encoder.piece(Piece())) == pairs(response="", done=False)
        piece = Piece("a", "t", [CALL], [LOGPROB, PART])
        assert shown(self.encoder.piece(piece)) == pairs(
            response="a", thinking="t", done=False, logprobs=[SHOWN_LOGPROB, SHOWN_PART]
        )

    def test_the_end_of_a_stream(self) -> None:
        assert shown(self.encoder.final(NOTHING, 0)) == pairs(response="", done=True, done_reason="stop")
        assert shown(self.encoder.final(outcome(context=[1]), 9)) == pairs(
            response="", done=True, done_reason="length", context=[1], **METRICS
        )

    def test_a_whole_answer(self) -> None:
        said = Said.of([Piece("a", "t", logprobs=[LOGPROB]), Piece("b", calls=[CALL])])
        assert shown(self.encoder.final(outcome(context=[1]), 9, said)) == pairs(
            response="ab",
            thinking="t",
            done=True,
            done_reason="length",
            context=[1],
            **METRICS,
            tool_calls=[SHOWN_CALL],
            logprobs=[SHOWN_LOGPROB],
        )

    def test_a_shortcut(self) -> None:
        assert shown(self.encoder.shortcut("load")) == pairs(response="", done=True, done_reason="load")

    @pytest.mark.parametrize(("images", "count"), [(0, {}), (2, {"image_count": 2})])
    def test_a_rendered_prompt(self, images: int, count: dict[str, int]) -> None:
        info = {"rendered_template": "P", **count}
        assert shown(self.encoder.rendered("P", images)) == pairs(response="", done=False, _debug_info=info)


class TestChat:
    encoder = ChatEncoder("M")

    def test_a_piece(self) -> None:
        assert shown(self.encoder.piece(Piece())) == pairs(message={"role": "assistant", "content": ""}, done=False)
        message = {"role": "assistant", "content": "a", "thinking": "t", "tool_calls": [SHOWN_CALL]}
        assert shown(self.encoder.piece(Piece("a", "t", [CALL], [LOGPROB]))) == pairs(
            message=message, done=False, logprobs=[SHOWN_LOGPROB]
        )

    def test_the_end_of_a_stream(self) -> None:
        empty = {"role": "assistant", "content": ""}
        assert shown(self.encoder.final(NOTHING, 0)) == pairs(message=empty, done=True, done_reason="stop")
        message = {**empty, "tool_calls": [SHOWN_CALL]}
        assert shown(self.encoder.final(outcome(calls=[CALL], context=[1]), 9)) == pairs(
            message=message, done=True, done_reason="length", **METRICS
        )

    def test_a_whole_answer(self) -> None:
        said = Said.of([Piece("a", "t", logprobs=[LOGPROB]), Piece("b", calls=[CALL])])
        message = {"role": "assistant", "content": "ab", "thinking": "t", "tool_calls": [SHOWN_CALL]}
        assert shown(self.encoder.final(outcome(), 9, said)) == pairs(
            message=message, done=True, done_reason="length", logprobs=[SHOWN_LOGPROB], **METRICS
        )

    def test_a_shortcut(self) -> None:
        empty = {"role": "assistant", "content": ""}
        assert shown(self.encoder.shortcut("unload")) == pairs(message=empty, done=True, done_reason="unload")

    def test_a_rendered_prompt(self) -> None:
        assert shown(self.encoder.rendered("P", 1)) == pairs(
            message={"role": "", "content": ""},
            done=False,
            _debug_info={"rendered_template": "P", "image_count": 1},
        )


def test_an_id_is_left_out_where_a_call_has_none() -> None:
    message = dict(shown(ChatEncoder("M").piece(Piece(calls=[ToolCall("f")]))))["message"]
    assert dict(message)["tool_calls"] == [pairs(function={"index": 0, "name": "f", "arguments": {}})]


def test_a_request_for_a_chat() -> None:
    message, tool = Message("user", "hi"), Tool(name="f")
    request = chat_request(native.ChatRequest(model="M", messages=[message], tools=[tool], keep_alive=5.0, think="low"))
    assert (request.model, request.messages, request.tools) == ("M", [message], [tool])
    assert (request.keep_alive, request.think, request.truncate, request.shift) == (5.0, "low", True, None)


def test_a_request_for_a_completion() -> None:
    body = native.GenerateRequest(
        model="M", prompt="p", suffix="s", system="S", template="t", context=[], raw=True, images=[b"i"], format="{}"
    )
    request = completion_request(body)
    assert (request.prompt, request.suffix, request.system, request.template) == ("p", "s", "S", "t")
    assert (request.context, request.raw, request.images, request.format) == ([], True, [b"i"], "{}")


@pytest.mark.parametrize(("truncate", "cut"), [(None, True), (True, True), (False, False)])
def test_prompts_are_cut_unless_that_is_ruled_out(truncate: bool | None, cut: bool) -> None:
    assert chat_request(native.ChatRequest(truncate=truncate)).truncate is cut


@pytest.mark.parametrize(("logprobs", "top", "asked"), [(False, 5, None), (True, 0, 0), (True, 5, 5)])
def test_alternatives_are_only_given_with_logprobs(logprobs: bool, top: int, asked: int | None) -> None:
    assert completion_request(native.GenerateRequest(logprobs=logprobs, top_logprobs=top)).logprobs == asked


def bound(**members: Any) -> Constraint | None:
    """What both endpoints make of the members."""
    chat = chat_request(native.ChatRequest(**members)).grammar
    assert completion_request(native.GenerateRequest(**members)).grammar == chat
    return chat


class TestGrammars:
    def test_a_grammar_or_a_regular_expression(self) -> None:
        assert bound(grammar='root ::= "a"') == Constraint("gbnf", 'root ::= "a"')
        assert bound(regex="[0-9]+") == Constraint("regex", "[0-9]+")

    @pytest.mark.parametrize("format", ["", "null", '""', "{}", "17"])
    def test_a_format_is_none(self, format: str) -> None:
        assert bound(format=format) is None

    @pytest.mark.parametrize("format", ["", " null ", '""'])
    def test_no_format_leaves_room_for_them(self, format: str) -> None:
        assert bound(format=format, regex="a") == Constraint("regex", "a")

    @pytest.mark.parametrize(
        ("members", "text"),
        [
            ({"format": '"json"', "grammar": "g"}, "format and grammar exclude each other"),
            ({"format": "17", "regex": "r"}, "format and regex exclude each other"),
            ({"grammar": "g", "regex": "r"}, "grammar and regex exclude each other"),
            ({"format": "{}", "grammar": "g", "regex": "r"}, "format and grammar and regex exclude each other"),
        ],
    )
    def test_one_of_them_at_a_time(self, members: dict[str, Any], text: str) -> None:
        for ask in (
            lambda: chat_request(native.ChatRequest(**members)),
            lambda: completion_request(native.GenerateRequest(**members)),
        ):
            with pytest.raises(ApiError) as caught:
                ask()
            assert (caught.value.status, caught.value.message) == (400, text)

    def test_tools_go_with_a_regular_expression_only(self) -> None:
        tools = [Tool(name="f")]
        assert chat_request(native.ChatRequest(tools=tools, regex="a")).grammar == Constraint("regex", "a")
        with pytest.raises(ApiError) as caught:
            chat_request(native.ChatRequest(tools=tools, grammar="g"))
        assert (caught.value.status, caught.value.message) == (400, "a GBNF grammar cannot be combined with tools")
        assert chat_request(native.ChatRequest(tools=tools, grammar="g", tool_choice="none")).grammar is not None


SHARED: dict[str, tuple[Any, str, Any]] = {
    "model": ("M", "model", "M"),
    "format": ("{}", "format", "{}"),
    "grammar": ("g", "grammar", Constraint("gbnf", "g")),
    "regex": ("r", "grammar", Constraint("regex", "r")),
    "keep_alive": (5.0, "keep_alive", 5.0),
    "options": ({"seed": 1}, "options", {"seed": 1}),
    "think": ("low", "think", "low"),
    "truncate": (False, "truncate", False),
    "shift": (False, "shift", False),
    "logprobs": (True, "logprobs", 0),
    "top_logprobs": (5, "logprobs", None),
    "debug_render_only": (True, "render_only", True),
}
"""Of each member a value, the field of the internal request that it belongs in, and what stands there."""
GENERATES: dict[str, tuple[Any, str, Any]] = {
    "prompt": ("p", "prompt", "p"),
    "suffix": ("s", "suffix", "s"),
    "system": ("S", "system", "S"),
    "template": ("t", "template", "t"),
    "context": ([], "context", []),
    "raw": (True, "raw", True),
    "images": ([b"i"], "images", [b"i"]),
}
CHATS: dict[str, tuple[Any, str, Any]] = {
    "messages": ([Message("user", "hi")], "messages", [Message("user", "hi")]),
    "tools": ([Tool(name="f")], "tools", [Tool(name="f")]),
    "tool_choice": ("auto", "tool_choice", "auto"),
    "parallel_tool_calls": (False, "parallel_tool_calls", False),
}
BOTH = [
    (native.GenerateRequest, completion_request, SHARED | GENERATES),
    (native.ChatRequest, chat_request, SHARED | CHATS),
]


@pytest.mark.parametrize(("request_", "convert", "table"), BOTH)
def test_each_member_has_its_place(request_: Any, convert: Any, table: dict[str, tuple[Any, str, Any]]) -> None:
    """And no other field changes with it; only `stream` is about the way of answering, not about the answer."""
    assert set(table) | {"stream"} == {member.name for member in fields(request_)}
    nothing = asdict(convert(request_()))
    for member, (value, field, expected) in table.items():
        converted = convert(request_(**{member: value}))
        assert getattr(converted, field) == expected, member
        others = asdict(converted) | {field: nothing[field]}
        assert others == nothing, member


def test_objects_of_a_stream_to_the_byte() -> None:
    """Compact, in order, with the characters escaped that Go escapes."""
    message = Piece("<a & b>\u2028é", "t")
    assert re.sub(rb'"created_at":"[^"]*"', b'"created_at":T', jsonout.dumps(ChatEncoder("M").piece(message))) == (
        b'{"model":"M","created_at":T,"message":{"role":"assistant",'
        b'"content":"\\u003ca \\u0026 b\\u003e\\u2028\xc3\xa9","thinking":"t"},"done":false}'
    )
    final = jsonout.dumps(GenerateEncoder("M").final(outcome(context=[1]), 9))
    assert re.sub(rb'"created_at":"[^"]*"', b'"created_at":T', final) == (
        b'{"model":"M","created_at":T,"response":"","done":true,"done_reason":"length","context":[1],'
        b'"total_duration":9,"load_duration":1,"prompt_eval_count":2,"prompt_eval_duration":4,"eval_count":5,'
        b'"eval_duration":6}'
    )


@pytest.mark.parametrize(
    ("dropped", "cut", "shown_"),
    [(0, 0, None), (2, 0, {"messages": 2, "tokens": 0}), (0, 7, {"messages": 0, "tokens": 7})],
)
@pytest.mark.parametrize("encoder", [GenerateEncoder("M"), ChatEncoder("M")])
def test_what_was_left_out_of_the_prompt_comes_last(
    encoder: GenerateEncoder | ChatEncoder, dropped: int, cut: int, shown_: dict[str, int] | None
) -> None:
    last = encoder.final(outcome(dropped_messages=dropped, truncated_tokens=cut), 9)
    assert last.get("truncated") == shown_
    assert shown_ is None or list(last)[-1] == "truncated"
