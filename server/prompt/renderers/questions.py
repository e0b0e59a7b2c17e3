"""Which question a turn belongs to, and results of tools: what the Qwen families have in common."""

from collections.abc import Sequence

from server.messages import Message
from server.prompt.renderers.qwen3coder import tool_result


def is_question(message: Message) -> bool:
    """A user's turn that is not a tool's result in disguise."""
    content = message.content
    wrapped = content.startswith("<tool_response>") and content.endswith("</tool_response>")
    return message.role == "user" and not wrapped


def last_question(messages: Sequence[Message]) -> int:
    """The index of the last question; of the last message where nothing is asked."""
    asked = (index for index in reversed(range(len(messages))) if is_question(messages[index]))
    return next(asked, len(messages) - 1)


def result_at(messages: Sequence[Message], index: int) -> str:
    """The tool's result there, which shares a turn with its neighbours."""
    first = index == 0 or messages[index - 1].role != "tool"
    last = index == len(messages) - 1 or messages[index + 1].role != "tool"
    return tool_result(messages[index].content, first=first, last=last)
