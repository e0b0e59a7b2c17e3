"""Prompts that the reference made, made again: Go templates over conversations, and the tiny models' own templates."""

import asyncio
import datetime
from collections.abc import Sequence
from typing import Any

import pytest

from modelstore.template import Template, TemplateError
from server.messages import Message
from server.prompt import JinjaPrompt, PromptError, Room, conversation, fit, gotemplate, images
from tests.vectors import reading

RENDER = reading.load("render.json.gz")["vectors"]
PROMPTS = reading.load("prompts.json.gz")


def _name(vector: dict[str, Any]) -> str:
    return vector["name"]


def _dated(text: str) -> str:
    today = datetime.date.today()
    yesterday = today - datetime.timedelta(days=1)
    return text.replace(today.isoformat(), "<date>").replace(yesterday.isoformat(), "<yesterday>")


def _answer(vector: dict[str, Any]) -> dict[str, Any]:
    """The recorded prompt and count of images, or the error."""
    body = vector["response"]["json"]
    return body.get("_debug_info") or {"error": body.get("error")}


def _created_template(vector: dict[str, Any]) -> str | None:
    steps: list[str | None] = [step["json"].get("template") for step in vector.get("before", ()) if "json" in step]
    return next(filter(None, steps), None)


def _rendered(vector: dict[str, Any]) -> dict[str, Any]:
    """What the native API answers to the recorded request, as far as the prompt is concerned."""
    request = vector["request"]["json"]
    path = vector["request"]["path"]
    try:
        if path == "/api/create":
            Template.parse(request["template"])
            return {"error": None}
        given = request.get("template") if path == "/api/generate" else None
        template = Template.parse(given or _created_template(vector) or "")
        if path == "/api/generate":
            asked = conversation.for_generate(
                request["prompt"],
                reading.messages([{"images": request.get("images")}])[0].images,
                request.get("system", ""),
            )
        else:
            asked = reading.messages(request["messages"])
        think = request.get("think", True if template.thinking_tags() else None)
        count = images.total(asked)
        prompt = gotemplate.render(
            template,
            asked if given else images.place(asked),
            tools=reading.tools(request.get("tools")),
            think=think,
            prompt=request.get("prompt", ""),
            suffix=request.get("suffix", ""),
        )
    except TemplateError as error:
        prefix = "template error: " if path == "/api/create" else ""
        return {"error": prefix + error.message}
    return {"rendered_template": _dated(prompt)} | ({"image_count": count} if count else {})


@pytest.mark.parametrize("vector", RENDER, ids=_name)
def test_go_templates_render_as_recorded(vector: dict[str, Any]) -> None:
    """Output, parse errors and execution errors are the reference's, to the letter."""
    assert _rendered(vector) == _answer(vector)


# -- the tiny models --------------------------------------------------------------------------------------------------

SKIPPED = {
    "generate/debug-raw": "no template is involved",
    "generate/debug-context": "the route puts the context's text in front",
    "generate/debug-empty-prompt": "answers as a load",
}


def _asked(vector: dict[str, Any]) -> list[Message]:
    request = vector["request"]["json"]
    model = PROMPTS["models"].get(request["model"], {})
    history = reading.messages(model.get("messages"))
    system = model.get("system", "")
    if "messages" in request:
        return conversation.for_chat(reading.messages(request["messages"]), history, system)
    media = reading.messages([{"images": request.get("images")}])[0].images
    return conversation.for_generate(request["prompt"], media, request.get("system") or system, history)


def _prompt(vector: dict[str, Any]) -> str:
    request = vector["request"]["json"]
    asked, tools = _asked(vector), reading.tools(request.get("tools"))
    go = PROMPTS["go"].get(request["model"]) or _created_template(vector)
    if go is None:
        text = PROMPTS["jinja"] if request["model"] != "bare" else ""
        think = request.get("think")
        think = True if think is None and text else think
        placed = images.place(asked) if "prompt" in request else images.append(asked)
        return JinjaPrompt(text).render(placed, tools, think)
    template = Template.parse(go)
    think = request.get("think")
    think = True if think is None and template.thinking_tags() else think

    def render(messages: Sequence[Message]) -> str:
        return gotemplate.render(
            template,
            images.place(messages),
            tools=tools,
            think=think,
            prompt=request.get("prompt", ""),
            suffix=request.get("suffix", ""),
        )

    async def render_later(messages: Sequence[Message]) -> str:
        return render(messages)

    async def count(prompts: list[str]) -> list[int]:
        return [len(prompt.encode()) for prompt in prompts]  # a token a byte

    if vector["name"].startswith("chat/truncate") and request.get("truncate", True):
        asked = asyncio.run(fit(asked, Room(64), render=render_later, count=count)).messages
    return render(asked)


@pytest.mark.parametrize("vector", [v for v in PROMPTS["vectors"] if v["name"] not in SKIPPED], ids=_name)
def test_models_prompts_are_as_recorded(vector: dict[str, Any]) -> None:
    """By the GGUF's template (tinychat), a Go template (chatml, legacy), or without either (bare)."""
    answer = vector["response"]["json"]
    if "error" in answer:
        with pytest.raises(PromptError) as caught:
            _prompt(vector)
        assert (caught.value.message, caught.value.status) == (answer["error"], vector["response"]["status"])
    else:
        assert _prompt(vector) == answer["_debug_info"]["rendered_template"].replace("<media marker>", "[img-0]")
