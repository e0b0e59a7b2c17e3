"""Tags that share weights, each with its own way to a prompt, on one runner.

The runner is loaded by whichever tag is asked first and serves them all; what a tag says about template, renderer,
parser or system text holds for that tag alone, in whatever order and at whatever moment it is asked.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from server.settings import Settings
from tests.integration.daemon import Daemon

ABLE = (
    "{{ if .Suffix }}<{{ .Prompt }}|{{ .Suffix }}>{{ else }}{{ if .Tools }}{{ .Tools }}{{ end }}"
    "{{ range .Messages }}({{ .Role }}) "
    "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ range .ToolCalls }}{{ . }}{{ end }}\n"
    '{{ if eq .Role "tool" }}{{ end }}{{ end }}go:{{ end }}'
)
"""Can all that the chat template in the weights can, and more."""
SIMPLE = "{{ if .System }}{{ .System }} {{ end }}Q: {{ .Prompt }} A: {{ .Response }}"
"""Can less, so that the weights' own wins where nobody says otherwise."""

TAGS: dict[str, dict[str, Any]] = {
    "native": {},
    "spoken": {"system": "Be S."},
    "able": {"template": ABLE},
    "simple": {"template": SIMPLE},
    "coded": {"renderer": "qwen3-coder", "parser": "qwen3-coder"},
    "parsed": {"template": SIMPLE, "parser": "passthrough"},
    "unknown": {"renderer": "nonsense"},
}
CHATML = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = {
    "native": CHATML + "<think>\n",
    "spoken": "<|im_start|>system\nBe S.<|im_end|>\n" + CHATML + "<think>\n",
    "able": "(user) Hi\ngo:",
    "simple": CHATML + "<think>\n",
    "coded": CHATML,
    "parsed": "Q: Hi A: ",
}
"""What each makes of the question "Hi"."""
ORDERS = [("native", "able"), ("able", "native"), ("coded", "parsed"), ("parsed", "spoken"), ("simple", "coded")]


def create(daemon: Daemon) -> Daemon:
    daemon.add("native", "tinychat-q8_0.gguf")
    for name, members in TAGS.items():
        if members:
            answer = daemon.http.post("/api/create", json={"model": name, "from": "native", "stream": False, **members})
            assert answer.status_code == 200, answer.text
    return daemon


@pytest.fixture(scope="module")
def tags(daemon: Daemon) -> Daemon:
    return create(daemon)


@pytest.fixture(scope="module")
def forced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Go templates always, said in a word that is no boolean."""
    running = Daemon(tmp_path_factory.mktemp("home"), {"OLLAMA_GO_TEMPLATE": "certainly"})
    yield create(running)
    assert running.stop() == 0


def question(name: str, **more: Any) -> dict[str, Any]:
    return {"model": name, "messages": [{"role": "user", "content": "Hi"}], "stream": False, **more}


def of_chat(daemon: Daemon, name: str, **more: Any) -> str:
    answer = daemon.http.post("/api/chat", json=question(name, _debug_render_only=True, **more)).json()
    return answer["_debug_info"]["rendered_template"]


def of_generate(daemon: Daemon, name: str, **more: Any) -> str:
    body = {"model": name, "prompt": "Hi", "stream": False, "_debug_render_only": True, **more}
    return daemon.http.post("/api/generate", json=body).json()["_debug_info"]["rendered_template"]


def load(daemon: Daemon, name: str) -> None:
    """Through this tag, after whatever was loaded has gone."""
    for other in TAGS:
        daemon.http.post("/api/generate", json={"model": other, "keep_alive": 0})
    assert daemon.http.get("/api/ps").json()["models"] == []
    assert daemon.http.post("/api/chat", json=question(name, options={"num_predict": 1})).status_code == 200


@pytest.mark.parametrize("name", PROMPTS)
def test_each_tag_has_its_path(tags: Daemon, name: str) -> None:
    assert of_chat(tags, name) == of_generate(tags, name) == PROMPTS[name]


@pytest.mark.parametrize(("first", "second"), ORDERS)
def test_the_tag_that_loads_the_runner_decides_for_nobody_else(tags: Daemon, first: str, second: str) -> None:
    load(tags, first)
    runners = {model["name"] for model in tags.http.get("/api/ps").json()["models"]}
    assert runners == {f"{first}:latest"}
    for name in (second, first, second, *PROMPTS, first):
        assert of_chat(tags, name) == of_generate(tags, name) == PROMPTS[name]
        assert tags.http.post("/api/chat", json=question(name, options={"num_predict": 1})).status_code == 200
    assert {model["name"] for model in tags.http.get("/api/ps").json()["models"]} == runners, "one runner for all"


def test_the_prompt_that_is_shown_is_the_prompt_that_is_read(tags: Daemon) -> None:
    """The number of its tokens says so; the weights' tokenizer adds none."""
    load(tags, "able")
    for name, prompt in PROMPTS.items():
        shown = {"model": "native", "prompt": prompt, "raw": True, "stream": False, "options": {"num_predict": 1}}
        alone = tags.http.post("/api/generate", json=shown).json()["prompt_eval_count"]
        asked = tags.http.post("/api/chat", json=question(name, options={"num_predict": 1})).json()
        assert asked["prompt_eval_count"] == alone, name


def test_at_the_same_time_too(tags: Daemon) -> None:
    names = [name for pair in permutations(PROMPTS, 2) for name in pair]
    with ThreadPoolExecutor(8) as pool:
        chats = pool.map(partial(of_chat, tags), names)
        completions = pool.map(partial(of_generate, tags), names)
        wanted = [PROMPTS[name] for name in names]
        assert list(chats) == wanted
        assert list(completions) == wanted


def test_answers_are_read_by_the_tags_own_parser(tags: Daemon) -> None:
    """The same weights reason for all of them; who splits it off differs."""
    load(tags, "parsed")
    options = {"temperature": 0, "num_predict": 60}
    messages = [{"role": "user", "content": "What is 27 + 45?"}]
    for name in ("native", "able", "native"):
        body = question(name, options=options, think=True) | {"messages": messages}
        message = tags.http.post("/api/chat", json=body).json()["message"]
        assert "</think>" not in message["content"]
        assert bool(message.get("thinking")) is (name == "native")
    refused = tags.http.post("/api/chat", json=question("coded", think=True))
    assert refused.status_code == 400
    assert refused.json() == {"error": '"coded" does not support thinking'}


def test_past_thinking_reaches_the_template_of_the_weights(tags: Daemon) -> None:
    calls: list[dict[str, Any]] = [{"function": {"name": "f", "arguments": {}}}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "", "thinking": "because", "tool_calls": calls},
        {"role": "tool", "tool_name": "f", "content": "1"},
    ]
    body: dict[str, Any] = {
        "model": "native",
        "messages": messages,
        "think": False,
        "_debug_render_only": True,
        "stream": False,
    }
    prompt = tags.http.post("/api/chat", json=body).json()["_debug_info"]["rendered_template"]
    assert "<|im_start|>assistant\n<think>\nbecause\n</think>\n\n<tool_call>" in prompt


@pytest.mark.parametrize(
    ("name", "shown"),
    [("native", "{%- if tools %}"), ("spoken", "{%- if tools %}"), ("simple", "{%- if tools %}")],
)
def test_show_has_the_template_of_the_weights_where_it_is_used(tags: Daemon, name: str, shown: str) -> None:
    answer = tags.http.post("/api/show", json={"model": name}).json()
    assert answer["template"].startswith(shown)
    assert answer["capabilities"] == ["tools", "thinking", "completion"]


@pytest.mark.parametrize(("name", "shown"), [("able", ABLE), ("parsed", SIMPLE)])
def test_show_has_the_go_template_where_that_is_used(tags: Daemon, name: str, shown: str) -> None:
    assert tags.http.post("/api/show", json={"model": name}).json()["template"] == shown


def test_a_renderer_that_nobody_knows_is_an_error_of_its_tag_alone(tags: Daemon) -> None:
    for path, more in (("/api/chat", {}), ("/api/generate", {"prompt": "Hi"})):
        answer = tags.http.post(path, json=question("unknown") | more)
        assert answer.status_code == 500
        assert answer.json() == {"error": 'unknown renderer "nonsense"'}
        assert of_chat(tags, "native") == PROMPTS["native"]


def test_a_template_that_refuses_is_a_bad_request(tags: Daemon) -> None:
    """The engine's own chat template wants a question it can continue."""
    messages = [{"role": "user", "content": "Q"}, *({"role": "assistant", "content": text} for text in "ab")]
    answer = tags.http.post("/api/chat", json=question("native", think=False) | {"messages": messages})
    assert answer.status_code == 400
    assert "Cannot have 2 or more assistant messages" in answer.json()["error"]


def test_go_templates_can_be_forced(forced: Daemon) -> None:
    """By any word that is not false; tags without one keep the template of the weights."""
    expected = PROMPTS | {"simple": "Q: Hi A: "}
    for name in (*PROMPTS, *reversed(PROMPTS)):
        assert of_chat(forced, name) == of_generate(forced, name) == expected[name]
    assert forced.http.post("/api/show", json={"model": "simple"}).json()["template"] == SIMPLE


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        *((text, None) for text in ("", " ", '""')),
        *((text, False) for text in ("0", "f", "F", "false", "False", "FALSE", " 0 ", "'0'")),
        *((text, True) for text in ("1", "t", "T", "true", "TRUE", "yes", "no", "off", "2", "fAlse", "certainly")),
    ],
)
def test_the_variable_is_false_true_or_not_set(text: str, setting: bool | None) -> None:
    assert Settings.from_env({"OLLAMA_GO_TEMPLATE": text}).go_template is setting
