"""Gemma 4: turns between `<|turn>` and `<turn|>`, thoughts in a channel, results of tools inside the model's turn."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.renderers import media
from server.prompt.renderers.gemmaterms import Terms, braced, kinds, leading, plain_number

TERMS: Final = Terms('<|"|>', "null", plain_number)
_KEYWORDS: Final = frozenset({"description", "type", "properties", "required", "nullable"})
"""Properties of these names are left out: the format cannot tell them from keywords."""
_CHANNEL: Final = re.compile(r"<\|channel>.*?<channel\|>", re.DOTALL)
_SMALL: Final = ("e2b", "e4b")
_LARGE: Final = ("12b", "26b", "31b")
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([BMK])")
_UNITS: Final = {"B": 1e9, "M": 1e6, "K": 1e3}
_LARGE_FROM: Final = 12e9


def resolve(name: str, short_name: str, full_name: str, model_type: str) -> str:
    """The renderer that `gemma4` stands for; any other name is its own. The model's names decide, then its size, the
    config's `model_type` (`25.2B`)."""
    if name != "gemma4":
        return name
    for spoken in (short_name.lower(), full_name.lower()):
        if any(size in spoken for size in _SMALL):
            return "gemma4-small"
        if any(size in spoken for size in _LARGE):
            return "gemma4-large"
    size = _SIZE.fullmatch(model_type)
    large = size is not None and float(size[1]) * _UNITS[size[2]] >= _LARGE_FROM
    return "gemma4-large" if large else "gemma4-small"


def render(messages: Sequence[Message], tools: Sequence[Tool], think: bool | str | None, *, large: bool = False) -> str:
    """The prompt. Large models are shown an empty channel of thoughts where they shall not think."""
    instructions, turns = leading(media.tagged([_trimmed(message) for message in messages]))
    pieces = ["<bos>"]
    if instructions is not None or tools or think:
        declared = "".join(map(_declaration, tooljson.tools(tools)))
        thinking = "<|think|>\n" if think else ""
        pieces.append(f"<|turn>system\n{thinking}{instructions or ''}{declared}<turn|>\n")
    last_user = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    open_turn = ""
    for at, turn in enumerate(turns):
        if turn.role != "tool":
            text, open_turn = _turn(turns, at, thinks=at > last_user)
            pieces.append(text)
    if open_turn == "results" and think:
        pieces.append("<|channel>thought\n")
    if not open_turn:
        pieces.append("<|turn>model\n")
        if large and not think:
            pieces.append("<|channel>thought\n<channel|>")
    return "".join(pieces)


def _trimmed(message: Message) -> Message:
    """Without blanks around the text; results of tools are kept as they are."""
    return message if message.role == "tool" else replace(message, content=message.content.strip())


def _turn(turns: Sequence[Message], at: int, *, thinks: bool) -> tuple[str, str]:
    """A message with the results that belong to it, and what it leaves to be answered: `calls`, `results` or nothing.

    Neighbouring answers share a turn, whatever results stand between them."""
    turn = turns[at]
    before = next((other.role for other in reversed(turns[:at]) if other.role != "tool"), "")
    after = next((other.role for other in turns[at + 1 :] if other.role != "tool"), "")
    if turn.role != "assistant":
        return f"<|turn>{turn.role}\n{turn.content}<turn|>\n", ""
    text = "" if before == "assistant" else "<|turn>model\n"
    if thinks and turn.thinking:
        text += f"<|channel>thought\n{turn.thinking}\n<channel|>"
    text += "".join(map(_call, turn.tool_calls))
    results = _results(turn.tool_calls, turns[at + 1 :])
    content = _CHANNEL.sub("", turn.content).strip()
    text += results + content
    if turn.tool_calls and not results:
        return f"{text}<|tool_response>", "calls"
    stays_open = after == "assistant" or (results and not content and not after)
    return text if stays_open else f"{text}<turn|>\n", "results" if results else ""


def _call(given: ToolCall) -> str:
    return f"<|tool_call>call:{given.name}{TERMS.members(tooljson.arguments(given.arguments) or {})}<tool_call|>"


def _results(calls: Sequence[ToolCall], following: Sequence[Message]) -> str:
    """The results right behind calls."""
    names = {call.id: call.name for call in reversed(calls) if call.id}
    text = ""
    for result in following if calls else ():
        if result.role != "tool":
            break
        name = names.get(result.tool_call_id) or result.tool_name or "unknown"
        text += f"<|tool_response>response:{name}{{value:{TERMS.text(result.content)}}}<tool_response|>"
    return text


# -- tools --------------------------------------------------------------------------------------------------------


def _declaration(tool: Mapping[str, Any]) -> str:
    function = tool["function"]
    parameters = function["parameters"]
    described = f"description:{TERMS.text(function.get('description', ''))}"
    taken = f"parameters:{_parameters(parameters)}" if parameters["properties"] or parameters["type"] else ""
    return f"<|tool>declaration:{function['name']}{braced([described, taken])}<tool|>"


def _parameters(given: Mapping[str, Any]) -> str:
    properties = f"properties:{_properties(given['properties'])}" if given["properties"] else ""
    return braced([properties, _required(given), _type(given)])


def _properties(given: Mapping[str, Any], *, free: bool = False) -> str:
    """`free`: inside the schema of a list's items, where several types stand as a list."""
    named = sorted(name for name in given if name not in _KEYWORDS)
    return braced([f"{name}:{_property(_members(given[name]), free=free)}" for name in named])


def _property(given: Mapping[str, Any], *, free: bool) -> str:
    kind = kinds(given)
    pieces = [f"description:{TERMS.text(given['description'])}" if given.get("description") else ""]
    if kind == ["STRING"] and given.get("enum"):
        pieces.append(f"enum:{TERMS.value(given['enum'])}")
    if kind == ["ARRAY"] and (items := _members(given.get("items"))):
        pieces.append(f"items:{_items(items)}")
    if given.get("nullable") is True:
        pieces.append("nullable:true")
    if kind == ["OBJECT"]:
        pieces += [f"properties:{_properties(_members(given.get('properties')), free=free)}", _required(given)]
    return braced([*pieces, _type(given, free=free)])


def _items(given: Mapping[str, Any]) -> str:
    """What a list consists of: a schema of free shape, in the order of its keys."""
    pieces: list[str] = []
    for key in sorted(given):
        value = given[key]
        if key == "properties":
            pieces.append(f"properties:{_properties(_members(value), free=True)}")
        elif key == "required":
            pieces.append(_required(given))
        elif key == "type":
            pieces.append(_type(given, free=True))
        elif value is not None:
            pieces.append(f"{key}:{TERMS.value(value, quoted_keys=True)}")
    return braced(pieces)


def _required(given: Mapping[str, Any]) -> str:
    names = given.get("required")
    if not isinstance(names, list):
        return ""
    texts = [name for name in cast("list[object]", names) if isinstance(name, str)]
    return f"required:{TERMS.texts(texts)}" if texts else ""


def _type(given: Mapping[str, Any], *, free: bool = False) -> str:
    """One type, or several in one string; `anyOf` of nothing but types means the same."""
    if free and isinstance(given.get("type"), list):
        return f"type:{TERMS.texts(kinds(given))}"
    kind = kinds(given) or _branches(given.get("anyOf"))
    if not kind:
        return ""
    if len(kind) == 1:
        return f"type:{TERMS.text(kind[0])}"
    listed = ", ".join(f"'{name}'" for name in kind)
    return f"type:{TERMS.text(f'[{listed}]')}"


def _branches(given: object) -> list[str]:
    branches = [_members(branch) for branch in cast("list[object]", given)] if isinstance(given, list) else []
    if any(set(branch) != {"type"} for branch in branches):
        return []
    return [kind for branch in branches for kind in kinds(branch)]


def _members(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


RENDERERS: Final[Mapping[str, Callable[[Sequence[Message], Sequence[Tool], bool | str | None], str]]] = {
    "gemma4": render,
    "gemma4-small": render,
    "gemma4-large": partial(render, large=True),
}
"""`gemma4` is `resolve`d where the model is known; else it is the small one."""
