"""From a request to the prompt its model reads, within the context."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Protocol

from modelstore.capabilities import CHAT_TEMPLATE_KEY, TemplateMode
from modelstore.model import StoredModel
from modelstore.quoting import quote
from modelstore.template import DEFAULT_TEXT, Template, TemplateError
from scheduler.lease import Lease
from server.errors import ApiError
from server.inference import vocabulary
from server.inference.request import ChatRequest, CompletionRequest, Think
from server.messages import Message, Tool, ToolCall
from server.parse import OutputParser, family_parser, parsers_for
from server.parse.families import FAMILIES, Family
from server.prompt import JinjaPrompt, PromptError, conversation, gotemplate, images
from server.prompt.renderers import RENDERERS, Render, gemma4
from server.prompt.truncate import IMAGE_TOKENS, Room, fit

_FORGETS_THINKING: Final = ("qwen3", "deepseek-r1")
_PARSED: Final = 64
_LARGE: Final = 1 << 14
"""Characters of a conversation from which on rendering is worth a thread."""


@dataclass(slots=True)
class Prompt:
    """What the model will read, and how its answer is to be read."""

    text: str
    parser: OutputParser = field(default_factory=OutputParser)
    images: list[bytes] = field(default_factory=list[bytes])
    image_count: int = 0
    """As the debug answer counts."""
    dropped: int = 0
    """Messages left out to make it fit."""
    last: Message | None = None
    """The end of a chat, which the answer may have to continue."""
    whole: bool = False
    """Too long, it is refused instead of cut: so the reference treats chats in the GGUF's own template."""
    full_header: bool = False
    """A stream that is refused names its charset: so the reference treats single prompts in the GGUF's own template."""


class Renderer(Protocol):
    """One of the ways from messages to a prompt."""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool], think: Think | None) -> str:
        """Raises `ApiError`."""
        ...

    def mark(self, messages: Sequence[Message]) -> list[Message]:
        """Put the marks of images into the contents."""
        ...

    def measured(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as their prompt is counted; the reference puts some marks in only afterwards."""
        ...


class GoRenderer:
    """A Go template."""

    def __init__(self, template: Template) -> None:
        self.template = template

    def render(self, messages: Sequence[Message], tools: Sequence[Tool], think: Think | None) -> str:
        try:
            return gotemplate.render(self.template, messages, tools=tools, think=think)
        except TemplateError as error:
            raise ApiError(500, str(error)) from error

    def fill_in(self, prompt: str, suffix: str, think: Think | None) -> str:
        """The prompt for what belongs between two texts. Raises `ApiError`."""
        try:
            return gotemplate.render(self.template, (), think=think, prompt=prompt, suffix=suffix)
        except TemplateError as error:
            raise ApiError(500, str(error)) from error

    def mark(self, messages: Sequence[Message]) -> list[Message]:
        return images.place(messages)

    def measured(self, messages: Sequence[Message]) -> list[Message]:
        return list(messages)


class JinjaRenderer:
    """The GGUF's own chat template; ChatML without one."""

    def __init__(self, text: str, lease: Lease, *, chat: bool) -> None:
        info = lease.info
        try:
            self._prompt = JinjaPrompt(text, info.bos, info.eos, add_bos=info.add_bos)
        except PromptError as error:
            raise _refused(error) from error
        self._chat = chat

    def render(self, messages: Sequence[Message], tools: Sequence[Tool], think: Think | None) -> str:
        try:
            return self._prompt.render(messages, tools, think)
        except PromptError as error:
            raise _refused(error) from error

    def mark(self, messages: Sequence[Message]) -> list[Message]:
        return images.append(messages) if self._chat else images.place(messages)

    def measured(self, messages: Sequence[Message]) -> list[Message]:
        return self.mark(messages) if self._chat else list(messages)


class BuiltinRenderer:
    """Code that stands for a template."""

    def __init__(self, render: Render) -> None:
        self._render = render

    def render(self, messages: Sequence[Message], tools: Sequence[Tool], think: Think | None) -> str:
        try:
            return self._render(messages, tools, think)
        except PromptError as error:
            raise _refused(error) from error

    def mark(self, messages: Sequence[Message]) -> list[Message]:
        return images.leave(messages)  # a renderer marks media in its own way

    def measured(self, messages: Sequence[Message]) -> list[Message]:
        return self.mark(messages)


def _refused(error: PromptError) -> ApiError:
    return ApiError(error.status, error.message)


async def assemble(model: StoredModel, request: ChatRequest | CompletionRequest, lease: Lease) -> Prompt:
    """The prompt of a request. Raises `ApiError`, `RunnerDied`."""
    if isinstance(request, ChatRequest):
        prompt = await _chat(model, request, lease)
    else:
        prompt = await _completion(model, request, lease)
        if request.context:
            vocabulary.check(request.context, lease)
            before = await lease.detokenize(request.context)
            prompt.text = (images.literal(before) if prompt.images else before) + prompt.text
    prompt.parser = _parser(model, request, prompt)
    return prompt


async def _chat(model: StoredModel, request: ChatRequest, lease: Lease) -> Prompt:
    messages = conversation.for_chat(request.messages, history(model), model.system)
    if model.config.model_family in _FORGETS_THINKING or model.name.model in _FORGETS_THINKING:
        messages = conversation.without_old_thinking(messages)
    tools: Sequence[Tool] = request.tools
    if (family := family_of(model)) is not None and family.adapt is not None:
        messages, tools = family.adapt(messages, tools)
    renderer = await asyncio.to_thread(renderer_of, model, lease, chat=True)
    prompt = await _render(renderer, messages, tools, request, lease, model)
    prompt.last = messages[-1] if messages else None
    prompt.whole = isinstance(renderer, JinjaRenderer)
    return prompt


async def _completion(model: StoredModel, request: CompletionRequest, lease: Lease) -> Prompt:
    if request.raw:
        return Prompt(request.prompt, images=request.images, image_count=len(request.images))
    if request.suffix:
        text = await asyncio.to_thread(_filled_in, model, request, lease)
        return Prompt(text, images=request.images, image_count=len(request.images))
    return await _templated(model, request, lease)


def _filled_in(model: StoredModel, request: CompletionRequest, lease: Lease) -> str:
    """The prompt for what belongs between two texts: by the template if it knows of a suffix, else with the marks of
    the vocabulary. Models of the second kind have `insert` from their config; without it they were refused."""
    template = parsed_template(request.template or model.template or DEFAULT_TEXT)
    marks = lease.info.fill_in
    if marks is None or request.template or "suffix" in template.variables:
        return GoRenderer(template).fill_in(request.prompt, request.suffix, request.think)
    before, between, behind = marks
    return f"{before}{request.prompt}{between}{request.suffix}{behind}"


async def _templated(model: StoredModel, request: CompletionRequest, lease: Lease) -> Prompt:
    past = history(model) if request.context is None else None
    system = request.system or model.system
    messages = conversation.for_generate(request.prompt, request.images, system, past)
    if request.template:
        marked = messages if request.render_only else images.place_missing(messages)  # Ollama places none
        text = await asyncio.to_thread(_by_template, request.template, marked, request.think)
        return Prompt(text, images=images.collect(messages), image_count=images.total(messages))
    renderer = await asyncio.to_thread(renderer_of, model, lease, chat=False)
    prompt = await _render(renderer, messages, (), request, lease, model)
    prompt.full_header = isinstance(renderer, JinjaRenderer)
    return prompt


def _by_template(text: str, messages: Sequence[Message], think: Think | None) -> str:
    return GoRenderer(parsed_template(text)).render(messages, (), think)


async def _render(
    renderer: Renderer,
    messages: list[Message],
    tools: Sequence[Tool],
    request: ChatRequest | CompletionRequest,
    lease: Lease,
    model: StoredModel,
) -> Prompt:
    """Drop what does not fit, place the images, render. Raises `ApiError`, `RunnerDied`, `RunnerFailed`."""
    own = isinstance(renderer, BuiltinRenderer)  # a template may take its time
    quick = own and sum(len(message.content) for message in messages) < _LARGE

    async def render(marked: Sequence[Message]) -> str:
        if not quick:
            return await asyncio.to_thread(renderer.render, marked, tools, request.think)
        return renderer.render(marked, tools, request.think)

    async def measured(kept: Sequence[Message]) -> str:
        return await render(renderer.measured(kept))

    kept, text = messages, None
    if request.truncate:
        media = IMAGE_TOKENS if model.projectors else 0
        room = Room(lease.info.num_ctx, media, isinstance(renderer, JinjaRenderer))
        window = await fit(messages, room, render=measured, count=lease.count, refusal=ApiError)
        kept, text = window.messages, window.prompt
    if text is None or images.total(kept):
        text = await render(renderer.mark(kept))
    return Prompt(
        text,
        images=images.collect(kept),
        image_count=images.total(kept),
        dropped=len(messages) - len(kept),
    )


def _parser(model: StoredModel, request: ChatRequest | CompletionRequest, prompt: Prompt) -> OutputParser:
    """How the answer to the prompt is to be read."""
    mode = model.template_mode
    family = family_of(model)
    chat = isinstance(request, ChatRequest)
    if family is not None and (chat or not request.raw):
        tools = request.tools if chat else ()
        return family_parser(family, tools, prompt.last, request.think, chat=chat)
    if mode is TemplateMode.JINJA:
        if isinstance(request, CompletionRequest):
            return OutputParser()  # the reference leaves the thinking of a completion in its text
        return parsers_for(mode, chat_template(model), request.tools, request.think, prompt.text)
    template = parsed_template(model.template) if model.template else None
    think = request.think if model.config.parser != "passthrough" else None
    return parsers_for(mode, template, request.tools if chat else (), think, prompt.text)


def family_of(model: StoredModel) -> Family | None:
    """The built-in parser that reads the model's answers."""
    return FAMILIES.get(parser_name(model))


def parser_name(model: StoredModel) -> str:
    """What the model calls its built-in parser; empty for none."""
    return model.config.parser or ("harmony" if model.template_mode is TemplateMode.HARMONY else "")


def renderer_of(model: StoredModel, lease: Lease, *, chat: bool) -> Renderer:
    """The way to a prompt that suits the model. Raises `ApiError` for one that this server does not have."""
    mode = model.template_mode
    if mode is TemplateMode.RENDERER and (name := model.config.renderer):
        name = gemma4.resolve(name, model.name.model, model.name.short, model.config.model_type)
        if name not in RENDERERS:
            raise ApiError(500, f"unknown renderer {quote(name)}")
        return BuiltinRenderer(RENDERERS[name])
    if mode is TemplateMode.JINJA or (mode is TemplateMode.NONE and chat):
        return JinjaRenderer(chat_template(model), lease, chat=chat)
    return GoRenderer(parsed_template(model.template or DEFAULT_TEXT))


def chat_template(model: StoredModel) -> str:
    """The Jinja text in the weights; empty when there is none."""
    text: Any = model.header.kv.get(CHAT_TEMPLATE_KEY, "") if model.header else ""
    return text if isinstance(text, str) else ""


@lru_cache(_PARSED)
def parsed_template(text: str) -> Template:
    """A Go template, parsed once. Raises `ApiError` 500 with the parser's words."""
    try:
        return Template.parse(text)
    except TemplateError as error:
        raise ApiError(500, str(error)) from error


def history(model: StoredModel) -> list[Message]:
    """The MESSAGE entries of the model."""
    return [_message(stored) for stored in model.messages]


def _message(stored: dict[str, Any]) -> Message:
    calls = [call.get("function", {}) | {"id": call.get("id", "")} for call in stored.get("tool_calls") or ()]
    return Message(
        role=str(stored.get("role", "")).lower(),
        content=stored.get("content", ""),
        thinking=stored.get("thinking", ""),
        images=[base64.b64decode(image) for image in stored.get("images") or ()],
        tool_calls=[ToolCall(call.get("name", ""), call.get("arguments") or {}, call["id"]) for call in calls],
        tool_name=stored.get("tool_name", ""),
        tool_call_id=stored.get("tool_call_id", ""),
    )
