"""Messages to a prompt through the chat template of the GGUF itself.

Chat templates are written for Hugging Face's renderer and differ in what they can take. As the reference's engine does,
a template is tried out on small conversations first, and messages are put into the shape it understands: a system turn
goes into the first user turn where none is taken, contents become lists of parts, arguments become text.
"""

import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, Final

from server.messages import Message, Tool, ToolCall
from server.prompt import tooljson
from server.prompt.errors import BrokenTemplate, PrefillConflict, PromptError, UnknownToolType, UnsupportedTool
from server.prompt.sandbox import Program, to_json

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The template of a model without one."""
_NEEDLE: Final = "<needle-7f3a>"
_CACHED: Final = 32


class JinjaPrompt:
    """A GGUF's chat template with the texts of its special tokens; immutable."""

    def __init__(self, template_text: str, bos: str = "", eos: str = "", *, add_bos: bool = True) -> None:
        """An empty text is ChatML. Raises `BrokenTemplate` for one that does not compile.

        `add_bos`: the tokenizer puts the begin token in front, so one in the prompt is too many.
        """
        self._shape = _shape(template_text or CHATML)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._add_bos = add_bos

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        think: bool | str | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt; media marks must already stand in the contents (`images`).

        A last answer without calls is continued: its text stands behind the generation prompt. Raises `PromptError`.
        """
        check_tools(tools)
        prefill = ""
        if add_generation_prompt and messages and _is_open(messages[-1]):
            _check_prefill(messages, think)
            prefill = messages[-1].content
            messages = messages[:-1]
        values = {
            **self._tokens,
            **_thinking(think),
            "tools": tooljson.tools(tools) or None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        prompt = self._shape.render(messages, values)
        bos = self._tokens["bos_token"]
        return (prompt.removeprefix(bos) if self._add_bos else prompt) + prefill


def check_tools(tools: Sequence[Tool]) -> None:
    """Refuses what the reference's engine refuses. Raises `UnsupportedTool`."""
    as_json = tooljson.tools(tools)
    for tool in as_json:
        if tool["type"] != "function":
            shown = json.dumps(tool, ensure_ascii=False, separators=(",", ":"))
            listed = json.dumps(as_json, ensure_ascii=False, indent=2)
            raise UnknownToolType(f"Failed to parse tools: Unsupported tool type: {shown}; tools = {listed}")
        if tool["function"]["parameters"]["properties"] is None:
            raise UnsupportedTool(
                "Unable to generate parser for this template. Automatic parser generation failed: "
                "JSON schema error at #: properties must be an object"
            )


def _is_open(message: Message) -> bool:
    return message.role == "assistant" and not message.tool_calls


def _check_prefill(messages: Sequence[Message], think: bool | str | None) -> None:
    if len(messages) > 1 and messages[-2].role == "assistant":
        raise PrefillConflict("Cannot have 2 or more assistant messages at the end of the list.")
    if think:
        raise PrefillConflict("Assistant response prefill is incompatible with enable_thinking.")


def _thinking(think: bool | str | None) -> dict[str, Any]:
    if think is None:
        return {}
    level = {"reasoning_effort": think} if isinstance(think, str) else {}
    return {"enable_thinking": bool(think), **level}


class _Shape:
    """A compiled template and the shape of messages it takes, found out by trying."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._program = Program(text)

    def render(self, messages: Sequence[Message], values: dict[str, Any]) -> str:
        if "date_string" in self._text:
            today = datetime.date.today().strftime("%d %b %Y")
            values = {**values, "date_string": today, "tools_in_user_message": False}
        shaped = self._roles(messages)
        if any(message.role == "system" for message in shaped) and not self._takes_system:
            shaped = _system_merged(shaped)
        as_text = any(message.tool_calls for message in shaped) and not self._takes_objects
        try:
            return self._program.run(values | {"messages": self._dicts(shaped, as_text)})
        except BrokenTemplate:
            if as_text or not any(message.tool_calls for message in shaped):
                raise
            return self._program.run(values | {"messages": self._dicts(shaped, True)})

    # -- what it takes ------------------------------------------------------------------------------------------------

    def _try(self, *messages: dict[str, Any]) -> str | None:
        """A trial rendering; None if the template does not take the conversation."""
        values = {"bos_token": "", "eos_token": "", "tools": None, "add_generation_prompt": True}
        try:
            return self._program.run(values | {"messages": list(messages)})
        except PromptError:
            return None

    def _shows(self, *messages: dict[str, Any]) -> bool:
        return _NEEDLE in (self._try(*messages) or "")

    @cached_property
    def _takes_parts(self) -> bool:
        """Contents must be lists of parts: a plain text is not shown."""
        parts = [{"type": "text", "text": _NEEDLE}]
        return not self._shows({"role": "user", "content": _NEEDLE}) and self._shows({"role": "user", "content": parts})

    @cached_property
    def _takes_system(self) -> bool:
        user = {"role": "user", "content": self._content("question")}
        return self._try(user) is None or self._shows({"role": "system", "content": self._content(_NEEDLE)}, user)

    @cached_property
    def _takes_objects(self) -> bool:
        """Arguments may be objects: the template writes them as JSON, not as a Python value."""
        call = {"type": "function", "id": "000000000", "function": {"name": "f", "arguments": {_NEEDLE: "x"}}}
        shown = self._try(
            {"role": "user", "content": self._content("question")},
            {"role": "assistant", "content": self._content(""), "tool_calls": [call]},
            {"role": "user", "content": self._content("and")},
        )
        return shown is None or f"'{_NEEDLE}'" not in shown

    @property
    def _calls_it_thinking(self) -> bool:
        """As the template of gpt-oss does; others call past reasoning `reasoning_content`."""
        return ".thinking" in self._text and "reasoning_content" not in self._text

    # -- messages -----------------------------------------------------------------------------------------------------

    def _roles(self, messages: Sequence[Message]) -> list[Message]:
        """Turns that the template has no word for, in words it has."""
        shaped = list(messages)
        if "developer" not in self._text:
            shaped = [_renamed(message, "developer", "system") for message in shaped]
        if "tool" not in self._text:
            shaped = [_in_words(message) for message in shaped]
        return shaped

    def _content(self, text: str) -> str | list[dict[str, str]]:
        # The probe for parts itself comes through here, so it must not ask.
        return [{"type": "text", "text": text}] if self._takes_parts else text

    def _dicts(self, messages: Sequence[Message], arguments_as_text: bool) -> list[dict[str, Any]]:
        return [self._dict(message, arguments_as_text) for message in messages]

    def _dict(self, message: Message, arguments_as_text: bool) -> dict[str, Any]:
        thinks_aloud = message.thinking and self._calls_it_thinking
        content = "" if thinks_aloud and message.tool_calls else message.content  # there, one excludes the other
        shown: dict[str, Any] = {"role": message.role, "content": self._content(content)}
        if message.thinking:
            shown["reasoning_content"] = message.thinking
        if thinks_aloud:
            shown["thinking"] = message.thinking
        if message.tool_name:
            shown["name"] = message.tool_name
        if message.tool_call_id:
            shown["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            shown["tool_calls"] = [_call(call, arguments_as_text) for call in message.tool_calls]
        return shown


@lru_cache(_CACHED)
def _shape(text: str) -> _Shape:
    return _Shape(text)


def _call(call: ToolCall, arguments_as_text: bool) -> dict[str, Any]:
    arguments: Any = tooljson.arguments(call.arguments)
    if arguments_as_text:
        arguments = to_json(arguments)
    shown: dict[str, Any] = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
    return shown | ({"id": call.id} if call.id else {})


def _renamed(message: Message, old: str, new: str) -> Message:
    return replace(message, role=new) if message.role == old else message


def _system_merged(messages: Sequence[Message]) -> list[Message]:
    """System texts in front of the next user turn, or as user turns where none follows."""
    merged: list[Message] = []
    pending: list[str] = []
    for message in messages:
        if message.role == "system":
            pending.append(message.content)
            continue
        if message.role == "user":
            message = replace(message, content="\n".join([*pending, message.content]))
        elif pending:
            merged.append(Message("user", "\n".join(pending)))
        pending = []
        merged.append(message)
    return [*merged, *([Message("user", "\n".join(pending))] if pending else [])]


def _in_words(message: Message) -> Message:
    """Calls and results of tools as JSON in the text, for a template that knows no tools."""
    if message.role == "tool":
        result: dict[str, Any] = {"tool": message.tool_name} if message.tool_name else {}
        result["content"] = message.content
        return Message("user", to_json({"tool_response": result}, indent=2))
    if not message.tool_calls:
        return message
    calls = [{"name": call.name, "arguments": tooljson.arguments(call.arguments)} for call in message.tool_calls]
    said = {"content": message.content} if message.content else {}
    return Message(message.role, to_json({"tool_calls": calls, **said}, indent=2), thinking=message.thinking)
