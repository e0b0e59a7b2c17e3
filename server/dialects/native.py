"""The native API: `/api/generate` and `/api/chat`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scheduler.frames import Constraint, Logprob, TopLogprob
from server import jsonout
from server.dialects.toolchoice import tool_choice
from server.errors import ApiError
from server.inference.answer import Outcome, Piece, demands_nothing
from server.inference.request import ChatRequest, CompletionRequest
from server.messages import ToolCall
from server.schema import native


def chat_request(request: native.ChatRequest) -> ChatRequest:
    """What POST /api/chat asks for. Raises `ApiError`."""
    chat = ChatRequest(
        messages=request.messages,
        tools=request.tools,
        tool_choice=tool_choice(request.tool_choice, request.tools),
        parallel_tool_calls=request.parallel_tool_calls,
        **_shared(request),
    )
    if chat.tools and chat.grammar is not None and chat.grammar.kind == "gbnf":
        raise ApiError(400, "a GBNF grammar cannot be combined with tools")
    return chat


def completion_request(request: native.GenerateRequest) -> CompletionRequest:
    """What POST /api/generate asks for. Raises `ApiError`."""
    return CompletionRequest(
        prompt=request.prompt,
        suffix=request.suffix,
        system=request.system,
        template=request.template,
        context=request.context,
        raw=request.raw,
        images=request.images,
        **_shared(request),
    )


def _shared(request: native.ChatRequest | native.GenerateRequest) -> dict[str, Any]:
    return {
        "model": request.model,
        "format": request.format,
        "grammar": _grammar(request),
        "keep_alive": request.keep_alive,
        "options": request.options,
        "think": request.think,
        "truncate": request.truncate is not False,
        "shift": request.shift,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "render_only": request.debug_render_only,
    }


def _grammar(request: native.ChatRequest | native.GenerateRequest) -> Constraint | None:
    """What binds the text in place of a format. Raises `ApiError` where there is more than one of them."""
    format = "" if demands_nothing(request.format) else request.format
    given = {"format": format, "grammar": request.grammar, "regex": request.regex}
    names = [name for name, source in given.items() if source]
    if len(names) > 1:
        raise ApiError(400, f"{' and '.join(names)} exclude each other")
    if request.grammar:
        return Constraint("gbnf", request.grammar)
    return Constraint("regex", request.regex) if request.regex else None


class GenerateEncoder:
    """Answers of /api/generate, as dicts in the order of their fields."""

    def __init__(self, model: str) -> None:
        self._model = model

    def piece(self, piece: Piece) -> dict[str, Any]:
        """One line of a stream."""
        return self._object(piece.content, piece.thinking, piece.logprobs, done=False)

    def final(self, outcome: Outcome, total: int, said: "Said | None" = None) -> dict[str, Any]:
        """The last line, or the only object when `said` holds everything before it."""
        said = said or Said()
        calls = [*said.calls, *outcome.calls]
        return {
            **self._object(said.content, said.thinking, [], done=True),
            **jsonout.omit_empty(done_reason=outcome.reason, context=outcome.context),
            **metrics(outcome, total),
            **jsonout.omit_empty(tool_calls=tool_calls(calls), logprobs=logprobs(said.logprobs)),
            **truncated(outcome),
        }

    def shortcut(self, reason: str) -> dict[str, Any]:
        """The answer to a request without a prompt: the model was loaded, or is unloaded."""
        return {**self._object("", "", [], done=True), "done_reason": reason}

    def rendered(self, prompt: str, images: int) -> dict[str, Any]:
        """The prompt instead of an answer."""
        return {**self._object("", "", [], done=False), "_debug_info": debug_info(prompt, images)}

    def _object(self, content: str, thinking: str, probabilities: list[Logprob], *, done: bool) -> dict[str, Any]:
        line: dict[str, Any] = {"model": self._model, "created_at": jsonout.utc_now(), "response": content}
        if thinking:
            line["thinking"] = thinking
        line["done"] = done
        if probabilities:
            line["logprobs"] = logprobs(probabilities)
        return line


class ChatEncoder:
    """Answers of /api/chat, as dicts in the order of their fields."""

    def __init__(self, model: str) -> None:
        self._model = model

    def piece(self, piece: Piece) -> dict[str, Any]:
        """One line of a stream."""
        message = self._message(piece.content, piece.thinking, piece.calls)
        line: dict[str, Any] = {
            "model": self._model,
            "created_at": jsonout.utc_now(),
            "message": message,
            "done": False,
        }
        if piece.logprobs:
            line["logprobs"] = logprobs(piece.logprobs)
        return line

    def final(self, outcome: Outcome, total: int, said: "Said | None" = None) -> dict[str, Any]:
        """The last line, or the only object when `said` holds everything before it."""
        said = said or Said()
        message = self._message(said.content, said.thinking, [*said.calls, *outcome.calls])
        return {
            "model": self._model,
            "created_at": jsonout.utc_now(),
            "message": message,
            "done": True,
            "done_reason": outcome.reason,
            **jsonout.omit_empty(logprobs=logprobs(said.logprobs)),
            **metrics(outcome, total),
            **truncated(outcome),
        }

    def shortcut(self, reason: str) -> dict[str, Any]:
        """The answer to a request without messages: the model was loaded, or is unloaded."""
        message = {"role": "assistant", "content": ""}
        now = jsonout.utc_now()
        return {"model": self._model, "created_at": now, "message": message, "done": True, "done_reason": reason}

    def rendered(self, prompt: str, images: int) -> dict[str, Any]:
        """The prompt instead of an answer."""
        return {
            "model": self._model,
            "created_at": jsonout.utc_now(),
            "message": {"role": "", "content": ""},
            "done": False,
            "_debug_info": debug_info(prompt, images),
        }

    def _message(self, content: str, thinking: str, calls: list[ToolCall]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = tool_calls(calls)
        return message


@dataclass(slots=True)
class Said:
    """A whole answer, collected."""

    content: str = ""
    thinking: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    logprobs: list[Logprob] = field(default_factory=list[Logprob])

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> "Said":
        """Everything the pieces say, in order."""
        pieces = list(pieces)
        return cls(
            "".join(piece.content for piece in pieces),
            "".join(piece.thinking for piece in pieces),
            [call for piece in pieces for call in piece.calls],
            [entry for piece in pieces for entry in piece.logprobs],
        )


def truncated(outcome: Outcome) -> dict[str, Any]:
    """What was left out of the prompt to make it fit, if anything was: a member of ours."""
    if not (outcome.dropped_messages or outcome.truncated_tokens):
        return {}
    return {"truncated": {"messages": outcome.dropped_messages, "tokens": outcome.truncated_tokens}}


def metrics(outcome: Outcome, total: int) -> dict[str, Any]:
    """Counts and durations of a final object."""
    return jsonout.omit_empty(
        total_duration=total,
        load_duration=outcome.load_duration,
        prompt_eval_count=outcome.prompt_tokens,
        prompt_eval_duration=outcome.prompt_duration,
        eval_count=outcome.eval_tokens,
        eval_duration=outcome.eval_duration,
    )


def tool_calls(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """Calls with their arguments in the order the model wrote them."""
    return [
        {
            **jsonout.omit_empty(id=call.id),
            "function": {
                "index": call.index,
                "name": call.name,
                "arguments": jsonout.free(call.arguments, keep_order=True),
            },
        }
        for call in calls
    ]


def logprobs(entries: Iterable[Logprob]) -> list[dict[str, Any]]:
    """Entries with the bytes of their tokens, exact also where a token is part of a character."""
    return [
        {**_logprob(entry), **jsonout.omit_empty(top_logprobs=[_logprob(one) for one in entry.top])}
        for entry in entries
    ]


def _logprob(entry: Logprob | TopLogprob) -> dict[str, Any]:
    data = entry.token.encode() if entry.raw is None else entry.raw
    return {"token": entry.token, "logprob": entry.logprob, **jsonout.omit_empty(bytes=list(data))}


def debug_info(prompt: str, images: int) -> dict[str, Any]:
    """The `_debug_info` object."""
    return {"rendered_template": prompt, **jsonout.omit_empty(image_count=images)}
