"""A chat that is too long for the context: what is left of it, and what the client is told."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.integration.daemon import Daemon

TURNS = """\
{{ range .Messages }}<|im_start|>{{ if eq .Role "tool" }}result{{ else }}{{ .Role }}{{ end }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}\
{{ range .ToolCalls }}<tool_call>{{ .Function.Name }}</tool_call>{{ end }}<|im_end|>
{{ end }}{{ if .Tools }}{{ .Tools }}{{ end }}<|im_start|>assistant
"""
"""A Go template that knows as much as the chat template of the weights, which is preferred otherwise."""
WORDS = "the quick brown fox jumps over the lazy dog and runs away from it as fast as it can"
CONTEXT = 512
LARGE = 2048


def spoken(at: int) -> str:
    return f"Turn {at}: " + WORDS[at % 7 : at % 7 + at * 5 % 13 * 6]


SYSTEM = {"role": "system", "content": "Be brief."}
LONG = [SYSTEM, *({"role": ("user", "assistant")[at % 2], "content": spoken(at)} for at in range(301))]
CHAIN = [
    {"role": "user", "content": "What is the weather?"},
    *(
        {"role": "tool", "content": spoken(at), "tool_name": "weather"}
        if at % 2
        else {"role": "assistant", "content": spoken(at)}
        for at in range(60)
    ),
]


@pytest.fixture(scope="module")
def chatty(daemon: Daemon) -> Daemon:
    daemon.add("native", "tinychat-q8_0.gguf")
    daemon.add("go", "tinychat-q8_0.gguf", template=TURNS)
    daemon.add("qwen", "tinychat-q8_0.gguf", renderer="qwen3.8", parser="qwen3.5")
    return daemon


def post(daemon: Daemon, path: str, body: dict[str, Any], **more: Any) -> Any:
    options = {"temperature": 0, "num_predict": 2, "num_ctx": CONTEXT, **more.pop("options", {})}
    answer = daemon.http.post(path, json={"stream": False, "think": False, **body, **more, "options": options})
    return answer.json() | {"status": answer.status_code}


def chat(daemon: Daemon, model: str, messages: Sequence[Any], **more: Any) -> Any:
    return post(daemon, "/api/chat", {"model": model, "messages": list(messages)}, **more)


def rendered(daemon: Daemon, model: str, messages: Sequence[Any], num_ctx: int = CONTEXT, **more: Any) -> str:
    answer = chat(daemon, model, messages, _debug_render_only=True, options={"num_ctx": num_ctx}, **more)
    return answer["_debug_info"]["rendered_template"]


def tokens(daemon: Daemon, prompt: str) -> int:
    """Of the text alone: the engine's count without what it puts in front."""
    options = {"num_ctx": LARGE, "num_predict": 1}
    counts = [
        post(daemon, "/api/generate", {"model": "go", "prompt": text, "raw": True}, options=options)[
            "prompt_eval_count"
        ]
        for text in ("a" + prompt, "a")
    ]
    return counts[0] - counts[1]


@pytest.mark.parametrize("model", ["go", "native"])
def test_the_first_window_that_fits_is_taken(chatty: Daemon, model: str) -> None:
    kept = rendered(chatty, model, LONG)
    count = kept.count("Turn ")
    assert 10 < count < 100
    window = [SYSTEM, *LONG[-count:]]
    assert kept == rendered(chatty, model, window, LARGE)
    assert (
        tokens(chatty, kept) <= CONTEXT < tokens(chatty, rendered(chatty, model, [SYSTEM, *LONG[-count - 1 :]], LARGE))
    )
    assert chat(chatty, model, LONG)["truncated"] == {"messages": len(LONG) - len(window), "tokens": 0}


@pytest.mark.parametrize("stream", [False, True])
def test_the_last_object_says_what_was_left_out(chatty: Daemon, stream: bool) -> None:
    body = {"model": "go", "messages": LONG, "stream": stream, "options": {"num_ctx": CONTEXT, "num_predict": 2}}
    *before, last = chatty.http.post("/api/chat", json=body).text.splitlines()
    assert not any("truncated" in line for line in before)
    assert json.loads(last)["truncated"]["messages"] > 200
    whole = chat(chatty, "go", LONG[:5])
    assert whole["status"] == 200
    assert "truncated" not in whole


def test_a_last_message_that_is_too_long_is_cut_in_the_middle(chatty: Daemon) -> None:
    answer = chat(chatty, "go", [*LONG, {"role": "user", "content": "x y " * 3000}])
    assert answer["truncated"]["messages"] == len(LONG) - 1
    assert answer["truncated"]["tokens"] > 1000
    assert answer["prompt_eval_count"] < CONTEXT


@pytest.mark.parametrize("model", ["go", "native", "qwen"])
def test_what_may_not_be_shortened_is_refused(chatty: Daemon, model: str) -> None:
    answer = chat(chatty, model, LONG, truncate=False)
    assert answer["status"] == 400
    assert f"exceeds the available context size ({CONTEXT} tokens), try increasing it" in answer["error"]


@pytest.mark.parametrize("model", ["go", "native", "qwen"])
def test_a_long_chain_of_calls_goes_on(chatty: Daemon, model: str) -> None:
    """Its only question does not fit. The renderer that insists on one keeps it, and the prompt is cut instead."""
    answer = chat(chatty, model, CHAIN)
    assert answer["status"] == 200, answer
    assert answer["prompt_eval_count"] <= CONTEXT
    lost = answer["truncated"]
    assert (lost["messages"] > 0, lost["tokens"] > 0) == (model != "qwen", model == "qwen")


def test_a_completion_drops_the_turns_of_its_model(chatty: Daemon) -> None:
    base = {"model": "talkative", "from": "go", "messages": LONG[1:], "stream": False}
    assert chatty.http.post("/api/create", json=base).status_code == 200
    answer = post(chatty, "/api/generate", {"model": "talkative", "prompt": "Hello!"})
    assert answer["truncated"]["messages"] > 200
    shown = post(chatty, "/api/generate", {"model": "talkative", "prompt": "Hello!", "_debug_render_only": True})
    assert shown["_debug_info"]["rendered_template"].endswith("\n\nHello!<|im_end|>\n<|im_start|>assistant\n")
