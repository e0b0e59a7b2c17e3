"""What holds a model's tool calls to what was declared, while it writes them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from modelstore.capabilities import TemplateMode
from modelstore.model import StoredModel
from modelstore.template import Template, TemplateError
from scheduler import frames
from server.inference.assemble import chat_template, parser_name
from server.inference.request import ChatRequest, Named
from server.messages import Message, Parameters, Tool
from server.parse import native_family, native_tool_tag
from server.parse.parsed import Thoughts
from server.parse.syntax import SYNTAXES, CallSyntax, Rules, inferred, plain
from server.prompt import JinjaPrompt, PromptError, gotemplate

_INFERRED: Final = 64
_WRITTEN: Final = 32


@dataclass(frozen=True, slots=True)
class Calling:
    """How the calls of one answer are bound."""

    calls: frames.Calls
    thoughts: Thoughts | None
    """The reasoning in front of them, where it ends otherwise than in front of text."""


def calling(model: StoredModel, request: ChatRequest) -> Calling | None:
    """None where there are no tools, or where nobody knows how the model calls them and it does not have to."""
    if not any(tool.name for tool in request.tools):
        return None
    choice = request.tool_choice
    required = choice != "auto"
    syntax = SYNTAXES.get(parser_name(model)) or _shown(model, required=required)
    if syntax is None:
        return None
    one = isinstance(choice, Named)
    many = request.parallel_tool_calls and not one
    rules = _rules(syntax, _declared(request.tools, choice.tool if one else None), many)
    calls = frames.Calls(
        rules.text,
        list(syntax.openings),
        rules.marks,
        rules.schemas,
        required=required,
        many=many,
        at_start=syntax.at_start,
        anywhere=syntax.anywhere,
        lead=list(syntax.lead),
    )
    return Calling(calls, syntax.thoughts)


def _declared(tools: Sequence[Tool], only: str | None) -> str:
    """JSON of names and schemas, all that a grammar depends on; of tools with one name the last, which a call means."""
    named = {tool.name: tool.parameters.schema for tool in tools if tool.name and only in (None, tool.name)}
    return json.dumps(named)


@lru_cache(_WRITTEN)
def _rules(syntax: CallSyntax, declared: str, many: bool) -> Rules:
    """The grammar. An agent sends the same tools again and again."""
    schemas: dict[str, Any] = json.loads(declared)
    tools = [Tool("function", name=name, parameters=Parameters(schema=schema)) for name, schema in schemas.items()]
    return syntax.write(tools, many)


def _shown(model: StoredModel, *, required: bool) -> CallSyntax | None:
    """The syntax that the model's template shows; if calls are required, some syntax that its parser reads."""
    if model.template_mode is TemplateMode.JINJA:
        text = chat_template(model)
        tag, found = native_tool_tag(text), SYNTAXES.get(native_family(text)) or _of_jinja(text)
    else:
        text = model.template or ""
        tag, found = _of_go(text)
    return found or (plain(tag) if required else None)


@lru_cache(_INFERRED)
def _of_jinja(text: str) -> CallSyntax | None:
    try:
        prompt = JinjaPrompt(text)
        return inferred(lambda messages, tools: prompt.render(messages, tools, None), native_tool_tag(text))
    except PromptError:
        return None


@lru_cache(_INFERRED)
def _of_go(text: str) -> tuple[str, CallSyntax | None]:
    """The tag in front of calls, and the syntax if the template shows one."""
    try:
        template = Template.parse(text)
        return template.tool_tag(), inferred(_renders(template), template.tool_tag())
    except TemplateError:
        return "{", None


def _renders(template: Template) -> Callable[[Sequence[Message], Sequence[Tool]], str]:
    return lambda messages, tools: gotemplate.render(template, messages, tools=tools)
