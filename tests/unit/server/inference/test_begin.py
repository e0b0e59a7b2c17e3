"""The way to the first token, check by check, and what is asked of the scheduler and of the runner."""

from pathlib import Path
from typing import Any

import pytest

from modelstore.errors import OptionError
from scheduler.errors import QueueFull
from scheduler.frames import Sampling
from scheduler.requests import FOREVER, LoadOptions
from server.errors import ApiError
from server.inference.answer import Answer
from server.inference.begin import Rendered, Shortcut, begin
from server.inference.request import ChatRequest, CompletionRequest
from server.messages import Message, Tool
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import FakeScheduler, done, install

pytestmark = pytest.mark.anyio

USER = Message("user", "hi")
Wish = ChatRequest | CompletionRequest


def chat(*messages: Message, **changes: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=list(messages), **changes)


def ask(prompt: str = "hi", **changes: Any) -> CompletionRequest:
    return CompletionRequest(model="m", prompt=prompt, **changes)


async def refusal(services: Services, wish: Wish) -> tuple[int, str]:
    with pytest.raises((ApiError, OptionError)) as caught:
        await begin(services, wish, 0)
    return getattr(caught.value, "status", 500), str(caught.value)


@pytest.mark.parametrize("wish", [ask("", keep_alive=0), chat(keep_alive=0)])
async def test_nothing_to_do_and_no_time_to_stay_unloads(
    services: Services, scheduler: FakeScheduler, wish: Wish
) -> None:
    """Whatever else is wrong with the request, and whatever the model can do."""
    install(services.store, "m", tinygguf.model("bert", pooling_type=1))
    wish.options, wish.think = {"num_ctx": "big"}, True
    if isinstance(wish, CompletionRequest):
        wish.raw, wish.system = True, "S"
    assert await begin(services, wish, 0) == Shortcut("unload")
    (key,) = scheduler.expired
    assert Path(key).name.startswith("sha256-")
    assert scheduler.asked == []


@pytest.mark.parametrize("wish", [ask("", keep_alive=FOREVER), chat(), chat(render_only=True)])
async def test_nothing_to_do_loads(services: Services, scheduler: FakeScheduler, wish: Wish) -> None:
    install(services.store, "m")
    assert await begin(services, wish, 0) == Shortcut("load")
    assert scheduler.balanced
    assert scheduler.asked[0].keep_alive == wish.keep_alive


async def test_the_checks_have_an_order(services: Services, scheduler: FakeScheduler) -> None:
    """Each wish has the faults of the checks that follow too."""
    wish = ask(raw=True, system="S", think=True, suffix="x", template="{{", options={"num_ctx": "big"}, format="7")
    assert await refusal(services, wish) == (404, "model 'm' not found")
    install(services.store, "m")
    assert await refusal(services, wish) == (400, "raw mode does not support template, system, or context")
    wish.raw = False
    assert await refusal(services, wish) == (400, '"m" does not support thinking')
    wish.think = None
    assert (await refusal(services, wish))[1].endswith("m:latest does not support insert")
    wish.suffix = ""
    assert await refusal(services, wish) == (500, 'option "num_ctx" must be of type integer')
    wish.options = {}
    assert scheduler.asked == []
    scheduler.refusal = QueueFull(1)
    with pytest.raises(QueueFull):
        await begin(services, wish, 0)
    scheduler.refusal = None
    assert await refusal(services, wish) == (500, "template: :1: unclosed action")
    assert scheduler.released == 1
    wish.template, wish.render_only = "", True
    assert await begin(services, wish, 0) == Rendered("hi", 0)
    wish.render_only = False
    begun = await begin(services, wish, 0)
    assert isinstance(begun, Answer)
    with pytest.raises(ApiError, match="invalid format"):
        await anext(begun)


async def test_the_checks_of_a_chat_have_an_order(services: Services) -> None:
    wish = chat(USER, think=True, tools=[Tool(name="f")], options={"stop": "x"})
    assert await refusal(services, wish) == (404, "model 'm' not found")
    install(services.store, "m")
    assert await refusal(services, wish) == (400, '"m" does not support thinking')
    wish.think = None
    assert (await refusal(services, wish))[1].endswith("m:latest does not support tools")
    wish.tools = []
    assert await refusal(services, wish) == (500, 'option "stop" must be of type array')


@pytest.mark.parametrize(
    ("extra", "conflict"),
    [({"template": "x"}, True), ({"system": "x"}, True), ({"context": [1]}, True), ({"context": []}, False)],
)
async def test_a_raw_prompt_stands_alone(services: Services, extra: dict[str, Any], conflict: bool) -> None:
    install(services.store, "m")
    if conflict:
        assert (await refusal(services, ask(raw=True, **extra)))[0] == 400
    else:
        begun = await begin(services, ask(raw=True, **extra), 0)
        assert isinstance(begun, Answer)
        begun.close()


async def test_the_scheduler_and_the_runner_are_asked_for_what_was_wished(
    services: Services, scheduler: FakeScheduler
) -> None:
    install(services.store, "m", parameters={"temperature": 0.25, "num_ctx": 16, "stop": ["a"]})
    scheduler.runner.script = [[done()]]
    wish = ask(
        options={"num_predict": 3, "num_keep": -1, "num_ctx": 32},
        keep_alive=7.0,
        shift=False,
        truncate=False,
        logprobs=2,
        images=[b"i"],
    )
    begun = await begin(services, wish, 0)
    assert isinstance(begun, Answer)
    async for _ in begun:
        pass
    (asked,) = scheduler.asked
    assert (asked.options, asked.keep_alive, asked.shift) == (LoadOptions(num_ctx=32), 7.0, False)
    assert scheduler.runner.asked == [
        {
            "prompt": "[img-0]hi",
            "sampling": Sampling(temperature=0.25),
            "num_predict": 3,
            "num_keep": -1,
            "stop": ["a"],
            "shift": False,
            "truncate": False,
            "logprobs": 2,
            "constraint": None,
            "images": [b"i"],
            "preserved": [],
            "want_context": True,
        }
    ]


@pytest.mark.parametrize(
    ("wish", "wanted"), [(ask(), True), (ask(raw=True), False), (chat(USER), False)], ids=["prompt", "raw", "chat"]
)
async def test_only_a_templated_prompt_gets_its_context_back(
    services: Services, scheduler: FakeScheduler, wish: Wish, wanted: bool
) -> None:
    install(services.store, "m")
    scheduler.runner.script = [[done()]]
    begun = await begin(services, wish, 0)
    assert isinstance(begun, Answer)
    assert await anext(begun, None) is None
    assert scheduler.runner.asked[0].get("want_context") is wanted


@pytest.mark.parametrize("shift", [None, True, False])
async def test_whether_a_context_slides_is_passed_on_and_else_left_to_the_scheduler(
    services: Services, scheduler: FakeScheduler, shift: bool | None
) -> None:
    """Which families bear it is known there alone: two rules would load a model twice, for chats and for embeddings."""
    install(services.store, "m", tinygguf.model("deepseek2"))
    await begin(services, chat(shift=shift), 0)
    assert scheduler.asked[0].shift is shift


async def test_images_a_model_cannot_see_are_refused_in_the_engines_words(
    services: Services, scheduler: FakeScheduler
) -> None:
    install(
        services.store,
        "m",
        tinygguf.model(tokenizer__chat_template="{% for m in messages %}{{ m.content }}{% endfor %}"),
    )
    wish = chat(Message("user", "hi [img-0]", images=[b"i"]))
    status, text = await refusal(services, wish)
    assert (status, scheduler.released) == (500, 1)
    assert text.startswith('{"error":{"code":500,"message":"image input is not supported')
    wish.render_only = True
    shown = await begin(services, wish, 0)
    assert isinstance(shown, Rendered)
    assert shown.prompt.startswith("hi [img-0]<__ollama_media_")
    assert shown.images == 1
