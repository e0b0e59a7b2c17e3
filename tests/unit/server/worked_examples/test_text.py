"""Examples of generating: the engine's text is given, the answer is compared to the byte.

The engine of these tests evaluates 5 tokens of prompt in 30 ns and 7 tokens of text in 40 ns, unless it says otherwise.
"""

import re
from typing import Any

import httpx
import msgspec
import pytest

from scheduler import frames
from scheduler.frames import Logprob, TopLogprob
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import LOADED, FakeScheduler, ScriptedRunner, done, install, say, say_probably
from tests.unit.server.worked_examples.shop import JSON, NDJSON, PLAIN, told

pytestmark = pytest.mark.anyio

GENERATE, CHAT = "/api/generate", "/api/chat"
METRICS = (
    '"total_duration":D,"load_duration":D,"prompt_eval_count":5,"prompt_eval_duration":30,"eval_count":7,'
    '"eval_duration":40'
)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
ASKED = {"role": "user", "content": "weather in Paris?"}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def test_e9_load(http: httpx.AsyncClient, shop: Services) -> None:
    """The name is found in any case, and repeated as it was sent."""
    body = '{"model":"Demo","created_at":T,"response":"","done":true,"done_reason":"load"}'
    assert told(await http.post(GENERATE, json={"model": "Demo"})) == (200, JSON, body)


async def test_e10_unload(http: httpx.AsyncClient, shop: Services) -> None:
    answer = await http.post(CHAT, json={"model": "demo", "messages": [], "keep_alive": 0})
    message = '"message":{"role":"assistant","content":""}'
    body = f'{{"model":"demo","created_at":T,{message},"done":true,"done_reason":"unload"}}'
    assert told(answer) == (200, JSON, body)


async def test_e11_streaming(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("Hi"), say("!"), done(context=[128006, 13347, 0])]]
    assert told(await http.post(GENERATE, json={"model": "demo", "prompt": "Say hi"})) == (
        200,
        NDJSON,
        '{"model":"demo","created_at":T,"response":"Hi","done":false}\n'
        '{"model":"demo","created_at":T,"response":"!","done":false}\n'
        '{"model":"demo","created_at":T,"response":"","done":true,"done_reason":"stop","context":[128006,13347,0],'
        + METRICS
        + "}\n",
    )


async def test_e12_cut_by_num_predict(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("1,"), done(" ", reason="length", context=[16, 11])]]
    body = {"model": "demo", "prompt": "Count", "stream": False, "options": {"num_predict": 2}}
    assert told(await http.post(GENERATE, json=body)) == (
        200,
        JSON,
        '{"model":"demo","created_at":T,"response":"1, ","done":true,"done_reason":"length","context":[16,11],'
        + METRICS
        + "}",
    )
    assert scheduler.runner.asked[0].get("num_predict") == 2


async def test_e13_raw(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    """The prompt is what was sent, and the answer has no context."""
    scheduler.runner.script = [[done(" C", reason="length")]]
    body = {"model": "demo", "prompt": "A B", "raw": True, "stream": False, "options": {"num_predict": 1}}
    assert told(await http.post(GENERATE, json=body)) == (
        200,
        JSON,
        '{"model":"demo","created_at":T,"response":" C","done":true,"done_reason":"length",' + METRICS + "}",
    )
    asked = scheduler.runner.asked[0]
    assert (asked.get("prompt"), asked.get("want_context")) == ("A B", False)


async def test_e22_logprobs(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    entry = Logprob("Hi", -0.02, [TopLogprob("Hi", -0.02), TopLogprob("Hello", -4.1)])
    scheduler.runner.script = [[say_probably("Hi", entry), done(reason="length", context=[1, 2, 3])]]
    body = {"model": "demo", "prompt": "Hi", "stream": False, "logprobs": True, "top_logprobs": 2}
    assert told(await http.post(GENERATE, json=body)) == (
        200,
        JSON,
        '{"model":"demo","created_at":T,"response":"Hi","done":true,"done_reason":"length","context":[1,2,3],'
        + METRICS
        + ',"logprobs":[{"token":"Hi","logprob":-0.02,"bytes":[72,105],"top_logprobs":['
        '{"token":"Hi","logprob":-0.02,"bytes":[72,105]},'
        '{"token":"Hello","logprob":-4.1,"bytes":[72,101,108,108,111]}]}]}',
    )
    assert scheduler.runner.asked[0].get("logprobs") == 2


async def test_e23_a_picture_in_the_rendered_prompt(http: httpx.AsyncClient, shop: Services) -> None:
    message = user("What is [img]?") | {"images": ["AAAA"]}
    body = {"model": "turns", "messages": [message], "_debug_render_only": True}
    assert told(await http.post(CHAT, json=body)) == (
        200,
        JSON,
        (
            '{"model":"turns","created_at":T,"message":{"role":"","content":""},"done":false,'
            r'"_debug_info":{"rendered_template":"user: What is [img-0]?\n","image_count":1}}'
        ),
    )


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([user("Hi")], "system: Be brief.\nuser: Hi\n"),
        ([{"role": "system", "content": "Sing."}, user("Hi")], "system: Sing.\nuser: Hi\n"),
        (
            [user("Hi"), {"role": "system", "content": "Sing."}, user("Go")],
            "system: Be brief.\nuser: Hi\nsystem: Sing.\nuser: Go\n",
        ),
    ],
)
async def test_e24_the_models_own_system_text(
    http: httpx.AsyncClient, services: Services, messages: list[dict[str, str]], prompt: str
) -> None:
    install(services.store, "brief", template=PLAIN, system="Be brief.")
    body = {"model": "brief", "messages": messages, "_debug_render_only": True}
    assert (await http.post(CHAT, json=body)).json()["_debug_info"] == {"rendered_template": prompt}


class WordRunner(ScriptedRunner):
    """A token is a word."""

    async def tokenize(self, texts: list[str], *, add_special: bool, count_only: bool) -> frames.Tokens:
        return frames.Tokens(1, [len(text.split()) for text in texts], [])


async def test_e25_messages_are_dropped(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    """The system message and the last one survive."""
    scheduler.runner, scheduler.info = WordRunner(), msgspec.structs.replace(LOADED, num_ctx=6)
    messages = [
        {"role": "system", "content": "sys"},
        user("old one two three four"),
        {"role": "assistant", "content": "old answer one two"},
        user("new ask"),
    ]
    body = {"model": "turns", "messages": messages, "options": {"num_ctx": 6}, "_debug_render_only": True}
    rendered = (await http.post(CHAT, json=body)).json()["_debug_info"]["rendered_template"]
    assert rendered == "system: sys\nuser: new ask\n"


async def test_e26_a_call(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    """In a line of its own, as soon as it is complete."""
    scheduler.runner.script = [[say("<tool_call>", CALL, "</tool_call>"), done()]]
    body = {"model": "demo", "messages": [ASKED], "tools": [WEATHER]}
    assert told(await http.post(CHAT, json=body)) == (
        200,
        NDJSON,
        '{"model":"demo","created_at":T,"message":{"role":"assistant","content":"","tool_calls":[{"id":I,"function":'
        '{"index":0,"name":"get_weather","arguments":{"city":"Paris"}}}]},"done":false}\n'
        '{"model":"demo","created_at":T,"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
        + METRICS
        + "}\n",
    )


async def test_e26_a_call_in_a_template_of_the_weights(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler
) -> None:
    """In the last object."""
    template = "{{ tools }}{% for m in messages %}{{ m.content }}{% endfor %}<tool_call></tool_call>"
    install(services.store, "own", tinygguf.model(tokenizer__chat_template=template))
    scheduler.runner.script = [[say(f"<tool_call>{CALL}</tool_call>"), done()]]
    body = {"model": "own", "messages": [ASKED], "tools": [WEATHER]}
    status, media_type, text = told(await http.post(CHAT, json=body))
    assert (status, media_type) == (200, NDJSON)
    assert re.sub(r'"id":"[A-Za-z0-9]{32}"', '"id":I', text) == (
        '{"model":"own","created_at":T,"message":{"role":"assistant","content":"","tool_calls":[{"id":I,"function":'
        '{"index":0,"name":"get_weather","arguments":{"city":"Paris"}}}]},"done":true,"done_reason":"stop",'
        + METRICS
        + "}\n"
    )


async def test_e27_the_result_of_a_call(http: httpx.AsyncClient, shop: Services) -> None:
    call = {"id": "call_k3v9x0ab", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    messages = [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "get_weather", "tool_call_id": "call_k3v9x0ab", "content": "11 C"},
    ]
    body = {"model": "demo", "messages": messages, "truncate": False, "_debug_render_only": True}
    rendered = (await http.post(CHAT, json=body)).json()["_debug_info"]["rendered_template"]
    assert rendered == (
        "user: weather in Paris?\n"
        'assistant: <tool_call>{"name": "get_weather", "arguments": {"city":"Paris"}}</tool_call>\n'
        "tool: 11 C\n"
    )


@pytest.mark.parametrize("cuts", [[21], [3, 9, 16, 20], list(range(1, 30))])
async def test_e28_thinking(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler, cuts: list[int]) -> None:
    """Wherever the engine cuts its text."""
    text = "<think>\nEasy.\n</think>\n\n4"
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    scheduler.runner.script = [[say(*pieces), done()]]
    body = {"model": "ponder", "messages": [user("2+2?")], "stream": False}
    assert told(await http.post(CHAT, json=body)) == (
        200,
        JSON,
        r'{"model":"ponder","created_at":T,"message":{"role":"assistant","content":"4","thinking":"Easy.\n"},'
        '"done":true,"done_reason":"stop",' + METRICS + "}",
    )


async def test_e29_filling_in(http: httpx.AsyncClient, shop: Services) -> None:
    body = {"model": "fim", "prompt": "def add(", "suffix": "    return c", "_debug_render_only": True}
    assert told(await http.post(GENERATE, json=body)) == (
        200,
        JSON,
        (
            '{"model":"fim","created_at":T,"response":"","done":false,"_debug_info":'
            r'{"rendered_template":"\u003cPRE\u003e def add( \u003cSUF\u003e    return c \u003cMID\u003e"}}'
        ),
    )
