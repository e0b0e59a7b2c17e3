"""`think`, reasoning and calls through HTTP, at a real model whose words a format decides."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from server.parse import Parsed, ThinkingParser
from tests.integration.daemon import Daemon

TURN = "{{ range .Messages }}<|im_start|>{{ .Role }}\n%s{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
PLAIN = TURN % ""
THINKS = TURN % "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}" + (
    "{{ if .IsThinkSet }}({{ .ThinkLevel }}){{ end }}{{ if .Think }}<think>\n{{ end }}"
)
HARMONY = (
    "Reasoning: {{ if .Think }}{{ .ThinkLevel }}{{ else }}none{{ end }}"
    "{{ range .Messages }}<|start|>{{ .Role }}<|message|>{{ .Content }}<|end|>{{ end }}<|start|>assistant"
)
LEVELS = '"high", "medium", "low", "max", true, or false'
ON = [None, True, "low", "medium", "high", "max"]
WRONG: list[tuple[object, str]] = [
    ("huge", f'invalid think value: "huge" (must be {LEVELS})'),
    ("", f'invalid think value: "" (must be {LEVELS})'),
    ("High", f'invalid think value: "High" (must be {LEVELS})'),
    (1, f"think must be a boolean or string ({LEVELS})"),
    ([], f"think must be a boolean or string ({LEVELS})"),
    ({}, f"think must be a boolean or string ({LEVELS})"),
]
OPTIONS = {"temperature": 0, "num_predict": 250, "num_ctx": 512}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Go templates decide: one model `think`s, one is `plain`, `coder` has a built-in parser, `oss` writes channels."""
    daemon = Daemon(tmp_path_factory.mktemp("home"), {"OLLAMA_GO_TEMPLATE": "1"})
    daemon.add("think", "tinychat-f16.gguf", template=THINKS)
    for name, more in (
        ("plain", {"template": PLAIN}),
        ("coder", {"template": PLAIN, "parser": "qwen3-coder"}),
        ("passing", {"template": THINKS, "parser": "passthrough"}),
    ):
        body = {"model": name, "from": "think", "stream": False, **more}
        assert daemon.http.post("/api/create", json=body).status_code == 200
    daemon.add("oss", "families/gpt-oss.gguf", template=HARMONY)
    yield daemon
    assert daemon.stop() == 0


def body_of(path: str, model: str, **members: Any) -> dict[str, Any]:
    """A request that says hello. A `say` that is given is the answer, in quotes."""
    said = {"messages": [{"role": "user", "content": "Hi"}]} if path == "/api/chat" else {"prompt": "Hi"}
    if (say := members.pop("say", None)) is not None:
        members["format"] = {"const": say}
    think = members.pop("think", None)
    return {"model": model, **said, "options": OPTIONS, **({} if think is None else {"think": think}), **members}


def ask(server: Daemon, path: str, model: str, **members: Any) -> dict[str, Any]:
    """The answer: its last object, with all that was said before in it. A stream says it in order."""
    answer = server.http.post(path, json=body_of(path, model, **members))
    assert answer.status_code == 200, answer.text
    events = [json.loads(line) for line in answer.text.splitlines()]
    pieces = [event["message"] if path == "/api/chat" else event for event in events]
    assert [event["done"] for event in events] == [False] * (len(events) - 1) + [True]
    content, thinking = ("response", "thinking") if path == "/api/generate" else ("content", "thinking")
    answering = [bool(piece[content]) for piece in pieces]
    if any(answering) and model == "think":
        assert not any(thinking in piece for piece in pieces[answering.index(True) + 1 :])
    calls = [call for piece in pieces for call in piece.get("tool_calls", [])]
    return {
        "content": "".join(piece[content] for piece in pieces),
        "thinking": "".join(piece.get(thinking, "") for piece in pieces),
        "calls": calls,
        "late": pieces[-1].get("tool_calls", []),
    }


def refused(server: Daemon, path: str, model: str, **members: Any) -> tuple[int, str]:
    answer = server.http.post(path, json=body_of(path, model, **members))
    return answer.status_code, answer.json()["error"]


def rendered(server: Daemon, path: str, model: str, **members: Any) -> str:
    answer = server.http.post(path, json=body_of(path, model, _debug_render_only=True, **members))
    assert answer.status_code == 200, answer.text
    return answer.json()["_debug_info"]["rendered_template"]


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize(("think", "text"), WRONG)
def test_what_think_cannot_be(server: Daemon, path: str, think: object, text: str) -> None:
    """Whatever the model can do."""
    for model in ("think", "plain"):
        for stream in (True, False):
            assert refused(server, path, model, think=think, stream=stream) == (400, text)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_model_that_cannot_think(server: Daemon, path: str) -> None:
    """Is told so when it is told to; not to think is what it does."""
    for think in (True, "low", "medium", "high", "max"):
        for stream in (True, False):
            text = '"plain" does not support thinking'
            assert refused(server, path, "plain", think=think, stream=stream) == (400, text)
    for think in (None, False):
        assert rendered(server, path, "plain", think=think).endswith("<|im_start|>assistant\n")
    wide = {"format": {"const": "a</think>b"}} if path == "/api/generate" else {"say": "a</think>b"}
    for stream in (True, False):
        found = ask(server, path, "plain", stream=stream, think=False, **wide)
        assert (found["thinking"], found["content"]) == ("", '"a</think>b"')


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("think", [*ON, False])
def test_what_the_template_is_told(server: Daemon, path: str, think: bool | str | None) -> None:
    level = think if isinstance(think, str) else "" if think is False else "medium"
    ending = f"assistant\n({level})" + ("<think>\n" if think is not False else "")
    assert rendered(server, path, "think", think=think).endswith(ending)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_gpt_oss_knows_three_levels(server: Daemon, path: str) -> None:
    told = {None: "medium", True: "medium", "low": "low", "high": "high", "max": "high", False: "none"}
    for think, level in told.items():
        assert rendered(server, path, "oss", think=think).startswith(f"Reasoning: {level}<|start|>")


# -- reasoning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("think", ON)
def test_a_completion_comes_with_its_reasoning(server: Daemon, think: bool | str | None, stream: bool) -> None:
    found = ask(server, "/api/generate", "think", say=" why </think>  so", think=think, stream=stream)
    assert (found["thinking"], found["content"]) == ('" why ', 'so"')


@pytest.mark.parametrize("stream", [True, False])
def test_a_completion_without_reasoning_is_left_alone(server: Daemon, stream: bool) -> None:
    found = ask(server, "/api/generate", "think", say="<think>why</think>so", think=False, stream=stream)
    assert (found["thinking"], found["content"]) == ("", '"<think>why</think>so"')


@pytest.mark.parametrize("think", [None, "low", False])
def test_the_model_of_a_chat_says_what_it_says_alone(server: Daemon, think: bool | str | None) -> None:
    """Its text, as a raw completion has it, cut where the reasoning ends; in one piece or many."""
    prompt = rendered(server, "/api/chat", "think", think=think)
    text = ask(server, "/api/generate", "plain", raw=True, prompt=prompt)["content"]
    parser = ThinkingParser("<think>", "</think>", opened=True)
    expected = parser.feed(text) + parser.finish() if think is not False else Parsed(text)
    for stream in (True, False):
        found = ask(server, "/api/chat", "think", think=think, stream=stream)
        assert (found["thinking"], found["content"]) == (expected.thinking, expected.content)


def test_a_format_binds_the_answer_and_not_the_reasoning(server: Daemon) -> None:
    for stream in (True, False):
        found = ask(server, "/api/chat", "think", say="so", think=False, stream=stream)
        assert (found["thinking"], found["content"]) == ("", '"so"')


@pytest.mark.parametrize("stream", [True, False])
def test_a_parser_that_passes_through_leaves_reasoning_in_the_text(server: Daemon, stream: bool) -> None:
    found = ask(server, "/api/generate", "passing", say="why</think>so", stream=stream)
    assert (found["thinking"], found["content"]) == ("", '"why</think>so"')


# -- channels and calls -----------------------------------------------------------------------------------------------

FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"
CHANNELS = f"a<|end|><|start|>assistant<|channel|>analysis<|message|>hm{FINAL}b"
CALL = "<tool_call><function=f><parameter=z>1</parameter><parameter=a>2</parameter></function></tool_call>"


@pytest.mark.parametrize("stream", [True, False])
def test_channels_of_gpt_oss(server: Daemon, stream: bool) -> None:
    """Text that comes without a header is not lost."""
    found = ask(server, "/api/generate", "oss", say=CHANNELS, stream=stream)
    assert (found["thinking"], found["content"]) == ("hm", '"ab"')


@pytest.mark.parametrize("think", [None, False])
def test_a_format_binds_gpt_oss_that_begins_without_a_channel(server: Daemon, think: bool | None) -> None:
    """These weights are random: nothing makes them write a header."""
    found = ask(server, "/api/chat", "oss", say="so", think=think, options={**OPTIONS, "logit_bias": {"<": -100}})
    assert (found["thinking"], found["content"]) == ("", '"so"')


@pytest.mark.parametrize("stream", [True, False])
def test_calls_of_a_chat_come_when_they_are_complete(server: Daemon, stream: bool) -> None:
    """Numbered, with ids of their own, arguments in the order written, and the text around them."""
    found = ask(server, "/api/chat", "coder", say=f"x {CALL} y {CALL} z", stream=stream)
    assert found["content"] == '"xyz"'
    assert [call["function"]["index"] for call in found["calls"]] == [0, 1]
    assert [list(call["function"]["arguments"].items()) for call in found["calls"]] == [[("z", "1"), ("a", "2")]] * 2
    assert len({call["id"] for call in found["calls"]}) == 2
    assert all(len(call["id"]) == 13 for call in found["calls"])
    assert len(found["late"]) == (0 if stream else 2)


@pytest.mark.parametrize("stream", [True, False])
def test_calls_of_a_completion_come_at_its_end(server: Daemon, stream: bool) -> None:
    """Without ids."""
    found = ask(server, "/api/generate", "coder", say=f"x {CALL} y {CALL}", stream=stream)
    assert found["content"] == '"xy"'
    function = {"name": "f", "arguments": {"z": "1", "a": "2"}}
    assert found["calls"] == found["late"] == [{"function": {"index": index, **function}} for index in (0, 1)]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_call_that_cannot_be_read_is_text(server: Daemon, path: str) -> None:
    broken = "<tool_call><function=f><parameter=z>1</function></tool_call>"
    for stream in (True, False):
        found = ask(server, path, "coder", say=f"x{broken}", stream=stream)
        assert (found["content"], found["calls"]) == (f'"x{broken}"', [])
