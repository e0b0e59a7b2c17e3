"""LFM2: ChatML with turns of tools; calls stand in front of the text, written as calls of Python functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers import media
from server.prompt.renderers.notation import plain

_RESULT: Final = "<|tool_response_start|>"
_THOUGHT: Final = "</think>"


def render(
    messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, *, thinks: bool = False
) -> str:
    """The prompt. `thinks`: for models that reason, whose old reasoning stays only if they shall go on with it."""
    turns = media.tagged(messages)
    leading = turns.pop(0).content if turns and turns[0].role == "system" else ""
    pieces = ["<|startoftext|>", _system(leading, tools)]
    last_answer = max((at for at, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    for at, turn in enumerate(turns):
        if turn.role == "assistant" and at != last_answer and not (thinks and think):
            turn = replace(turn, content=_forgotten(turn.content), thinking="")
        text = _text(turn, thinks=thinks)
        open_end = turn.role == "assistant" and at == len(turns) - 1
        closing = "" if open_end else "<|im_end|>\n"
        pieces.append(f"<|im_start|>{turn.role}\n{text}{closing}")
    if not turns or turns[-1].role != "assistant":
        pieces.append("<|im_start|>assistant\n")
    return "".join(pieces)


def _system(text: str, tools: Sequence[Tool]) -> str:
    if tools:
        listed = ", ".join(plain(tool["function"]) for tool in tooljson.tools(tools))
        text = f"{text}\n" if text else ""
        text += f"List of tools: <|tool_list_start|>[{listed}]<|tool_list_end|>"
    return f"<|im_start|>system\n{text}<|im_end|>\n" if text else ""


def _text(turn: Message, *, thinks: bool) -> str:
    if turn.role == "tool" and not turn.content.startswith(_RESULT):
        return f"{_RESULT}{turn.content}<|tool_response_end|>"
    if turn.role != "assistant":
        return turn.content
    thoughts = f"<think>{turn.thinking}{_THOUGHT}" if thinks and turn.thinking else ""
    if not turn.tool_calls:
        return thoughts + turn.content
    calls = f"<|tool_call_start|>[{','.join(map(_call, turn.tool_calls))}]<|tool_call_end|>"
    return f"{thoughts}{calls}" + (f"\n{turn.content}" if turn.content.strip() else "")


def _call(given: ToolCall) -> str:
    arguments = tooljson.arguments(given.arguments) or {}
    return f"{given.name}({','.join(f'{key}={plain(arguments[key])}' for key in sorted(arguments))})"


def _forgotten(text: str) -> str:
    """Without the reasoning in front."""
    return text.rpartition(_THOUGHT)[2].strip() if _THOUGHT in text else text


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "lfm2": render,
    "lfm2-thinking": partial(render, thinks=True),
}
