"""Requests of the native API to the internal one, and answers back, member by member in their order."""

import json
from typing import Any

import pytest

from scheduler.frames import Logprob, TopLogprob
from server import jsonout
from server.dialects.native import ChatEncoder, GenerateEncoder, Said, chat_request, completion_request
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
