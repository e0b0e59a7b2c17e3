"""What a template's tree tells without executing it: names it uses, how it shows thinking and tool calls."""

from collections.abc import Iterable, Iterator
from typing import Final

from modelstore.template.errors import TemplateSyntaxError
from modelstore.template.nodes import (
    Action,
    Branch,
    Call,
    Field,
    If,
    Node,
    NodeList,
    Pipe,
    Range,
    Text,
    Variable,
    operands,
)

DEFAULT_TOOL_TAG: Final = "{"


def variables(lists: Iterable[NodeList]) -> frozenset[str]:
    """Components of all fields and variables in lower case; bases of field chains do not count.

    Raises `TemplateSyntaxError` for a template called without a value.
    """
    return frozenset(name.lower() for nodes in lists for name in _names(nodes))


def _names(nodes: NodeList) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Call) and node.pipe is None:
            raise TemplateSyntaxError("undefined template specified")
        if isinstance(node, Action | Branch | Call) and node.pipe is not None:
            for operand in operands(node.pipe):
                if isinstance(operand, Field | Variable):
                    yield from operand.names
        if isinstance(node, Branch):
            yield from _names(node.body)
            yield from _names(node.otherwise)


# -- thinking ---------------------------------------------------------------------------------------------------------


def thinking_tags(root: NodeList) -> tuple[str, str] | None:
    """The texts around `.Thinking` inside a range over `.Messages`; None unless both are there."""
    tags = _Tags()
    tags.search(root, False)
    return (tags.opening, tags.closing) if tags.opening and tags.closing else None


class _Tags:
    """Collects the tags; a later occurrence overwrites an earlier one."""

    def __init__(self) -> None:
        self.opening = ""
        self.closing = ""

    def search(self, nodes: NodeList, in_messages: bool) -> None:
        for node in nodes:
            pipe = node.pipe if isinstance(node, Action | Branch | Call) else None
            if in_messages and pipe is not None and _mentions(pipe, "Thinking"):
                self._take(nodes)
            if isinstance(node, Branch):
                inside = _mentions(node.pipe, "Messages") if isinstance(node, Range) else in_messages
                self.search(node.body, inside)
                self.search(node.otherwise, inside)

    def _take(self, nodes: NodeList) -> None:
        first, last = nodes[0], nodes[-1]
        if isinstance(first, Text):
            self.opening = first.text.strip()
        if isinstance(last, Text):
            self.closing = last.text.strip()


def _mentions(pipe: Pipe, name: str) -> bool:
    return any(isinstance(operand, Field) and operand.names[0] == name for operand in operands(pipe))


# -- tool calls -------------------------------------------------------------------------------------------------------


def tool_tag(root: NodeList) -> str:
    """What the model writes in front of a tool call: the first text under the first `if` on `.ToolCalls`."""
    branch = _calls_branch(root)
    text = _first_text(branch.body) if branch else None
    return (text or "").split("{", 1)[0].strip() or DEFAULT_TOOL_TAG


def _calls_branch(nodes: NodeList) -> If | None:
    for node in nodes:
        if not isinstance(node, Branch):
            continue
        if isinstance(node, If) and _has_calls(node.pipe):
            return node
        found = _calls_branch(node.body) or _calls_branch(node.otherwise)
        if found:
            return found
    return None


def _has_calls(pipe: Pipe) -> bool:
    args = (arg for command in pipe.commands for arg in command.args)
    return any(isinstance(arg, Field) and "ToolCalls" in arg.names for arg in args)


def _first_text(nodes: NodeList) -> str | None:
    """The first text that is not blank; None when something else is printed before it."""
    for node in nodes:
        if isinstance(node, Text):
            if node.text.strip():
                return node.text
        elif isinstance(node, Branch):
            return _first_text(node.body) or _first_text(node.otherwise)
        else:
            return None
    return None


# -- the open turn ----------------------------------------------------------------------------------------------------


def cut_after_response(root: NodeList) -> NodeList:
    """The tree up to and with the first action that prints the response: what asks the model for its answer."""
    return _cut(root)[0]


def _cut(nodes: NodeList) -> tuple[NodeList, bool]:
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Branch):
            body, done = _cut(node.body)
            otherwise, done = ((), True) if done else _cut(node.otherwise)
            kept.append(type(node)(node.pos, node.pipe, body, otherwise))
        else:
            done = isinstance(node, Action) and _prints_response(node.pipe)
            kept.append(node)
        if done:
            return tuple(kept), True
    return tuple(kept), False


def _prints_response(pipe: Pipe) -> bool:
    return any(isinstance(operand, Field | Variable) and "Response" in operand.names for operand in operands(pipe))
