"""Messages to a prompt through a Go template.

A template is run in one of three ways: with prompt and suffix (fill in the middle), over the whole list of messages,
or, if it knows no messages, once for every turn with `.System`, `.Prompt` and `.Response`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelstore.template import Template, TemplateExecutionError
from server.messages import Message, Tool
from server.prompt import govalues


def render(
    template: Template,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] = (),
    think: bool | str | None = None,
    prompt: str = "",
    suffix: str = "",
) -> str:
    """The prompt. `think` None is 'not said'; image marks must already stand in the contents.

    Raises `TemplateExecutionError`.
    """
    root = _thinking(think)
    if prompt and suffix:
        return template.render(root | {"Prompt": prompt, "Suffix": suffix, "Response": ""})
    collated = collate(messages)
    if "messages" in template.variables:
        return template.render(
            root
            | {
                "System": "\n\n".join(message.content for message in messages if message.role == "system"),
                **_listed(collated, tools),
                "Response": "",
            }
        )
    return _turn_by_turn(template, collated, root)


def _listed(messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
    try:
        return {"Messages": govalues.messages(messages), "Tools": govalues.tools(tools)}
    except RecursionError:
        raise TemplateExecutionError("template: : arguments or tools nest too deep") from None


def collate(messages: Sequence[Message]) -> list[Message]:
    """Neighbours of one role become one message, except results of tools."""
    kept: list[Message] = []
    for message in messages:
        if kept and kept[-1].role == message.role != "tool":
            kept[-1] = _merged(kept[-1], message)
        else:
            kept.append(message)
    return kept


def _merged(first: Message, second: Message) -> Message:
    return replace(
        first,
        content=f"{first.content}\n\n{second.content}",
        thinking="\n\n".join(filter(None, (first.thinking, second.thinking))),
        images=[*first.images, *second.images],
        tool_calls=[*first.tool_calls, *second.tool_calls],
    )


def _thinking(think: bool | str | None) -> dict[str, Any]:
    level = think if isinstance(think, str) else "medium" if think else ""
    return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}


# -- turn by turn -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    system: str = ""
    prompt: str = ""
    response: str = ""

    def values(self, root: Mapping[str, Any]) -> dict[str, Any]:
        return {**root, "System": self.system, "Prompt": self.prompt, "Response": self.response}


def _turn_by_turn(template: Template, messages: Sequence[Message], root: Mapping[str, Any]) -> str:
    pieces: list[str] = []
    turn = _Turn()
    for message in messages:
        pending = turn.response or (turn.prompt if message.role == "system" else "")
        if message.role in ("system", "user") and pending:
            pieces.append(template.render(turn.values(root)))
            turn = _Turn()
        match message.role:
            case "system":
                turn.system = message.content
            case "user":
                turn.prompt = message.content
            case "assistant":
                turn.response = message.content
            case _:
                pass
    pieces.append(template.render_open(turn.values(root)))
    return "".join(pieces)
