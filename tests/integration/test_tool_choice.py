"""Which tools are called, and with what: as the request says, whichever way the prompt is made."""

import json
from itertools import product
from typing import Any

import httpx
import jsonschema
import pytest

from server.parse.syntax import SYNTAXES
from server.prompt.renderers import RENDERERS
from tests.integration.daemon import MODELS, Daemon
from tests.integration.test_images import RED, TINY

CITY = {
    "type": "object",
    "required": ["city"],
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 3}},
}
NOW: dict[str, Any] = {"type": "object", "properties": {}}
SCHEMAS = {"get_weather": CITY, "now": NOW}
FORMAT = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
WEATHER = "What is the weather in Toronto?"
GO = """{{- if or .System .Tools }}<|im_start|>system
{{ .System }}
{{- if .Tools }}

# Tools

You may call one or more functions. They are given as JSON in <tools></tools>:
<tools>
{{- range .Tools }}
{{ . }}
{{- end }}
</tools>

For each call write
<tool_call>
{"name": NAME, "arguments": {...}}
</tool_call>
{{- end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}
{{- if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>{{ end }}<|im_end|>
{{ else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- if and $last (ne .Role "assistant") }}<|im_start|>assistant
{{ if not $.Think }}<think>

</think>

{{ end }}{{ end }}
{{- end }}"""
OTHER_RENDERERS = {"deepseek3": "deepseek3.1", "gemma4-no-thinking": "gemma4", "harmony": "glimmer"}
EACH_FORM = ("deepseek3", "gemma4", "glm-4.7", "glimmer", "harmony", "lfm2", "ministral", "qwen3.5")
PATHS = ("chat template", "Go template", "renderer")


def tools(*names: str) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {"name": name, "description": name, "parameters": SCHEMAS[name]}}
        for name in names or SCHEMAS
    ]


@pytest.fixture(scope="module")
def server(daemon: Daemon) -> Daemon:
    """Three models of the same weights: each sees pictures, thinks, and calls tools."""
    data = (MODELS / TINY[1]).read_bytes()
    daemon.add("eye", "tinychat-f16.gguf")
    projector = daemon.blob(data)
    weights = daemon.blob((MODELS / "tinychat-f16.gguf").read_bytes())
    files = {"model.gguf": weights, "mmproj.gguf": projector}
    made: dict[str, dict[str, Any]] = {
        "chat template": {},
        "Go template": {"template": GO},
        "renderer": {"renderer": "qwen3-vl-thinking", "parser": "qwen3-vl-thinking"},
    }
    for name, more in made.items():
        body = {"model": name.replace(" ", "-"), "files": files, "stream": False, **more}
        answer = daemon.http.post("/api/create", json=body)
        assert answer.status_code == 200, answer.text
    return daemon


def post(server: Daemon, path: str = "chat template", text: str = WEATHER, **fields: Any) -> httpx.Response:
    images = fields.pop("images", [])
    body = {
        "model": path.replace(" ", "-"),
        "messages": [{"role": "user", "content": text, **({"images": images} if images else {})}],
        "options": {"temperature": 0, "num_predict": 160},
        "stream": False,
        "think": False,
        **fields,
    }
    return server.http.post("/api/chat", json=body)


def ask(server: Daemon, path: str = "chat template", text: str = WEATHER, **fields: Any) -> dict[str, Any]:
    """The message of the answer, whole."""
    answer = post(server, path, text, **fields)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    whole: dict[str, Any] = {"content": "", "thinking": "", "tool_calls": [], "reason": lines[-1]["done_reason"]}
    for message in (line["message"] for line in lines):
        for key in ("content", "thinking", "tool_calls"):
            whole[key] += message.get(key, whole[key][:0])
    whole["prompt"] = lines[-1]["prompt_eval_count"]
    ids = {call.pop("id") for call in whole["tool_calls"]}
    assert len(ids) == len(whole["tool_calls"])
    return whole


def called(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of the calls, which conform to what was declared."""
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]]
    for name, arguments in calls:
        jsonschema.validate(arguments, SCHEMAS[name])
    assert [call["function"]["index"] for call in message["tool_calls"]] == list(range(len(calls)))
    return calls


@pytest.mark.parametrize("path", PATHS)
def test_arguments_are_held_to_their_schema_while_they_are_written(server: Daemon, path: str) -> None:
    """The model would say Toronto, which is no choice."""
    message = ask(server, path, tools=tools("get_weather"))
    assert [name for name, _ in called(message)] == ["get_weather"]
    assert message["content"] == ""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_can_be_demanded(server: Daemon, path: str, stream: bool) -> None:
    assert called(ask(server, path, "Hello!", tools=tools())) == [], "nothing to call for"
    message = ask(server, path, "Hello!", tools=tools(), tool_choice="required", stream=stream)
    assert called(message)
    assert message["content"] == "" or message["reason"] == "length"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["get_weather", "now"])
def test_the_tool_to_call_can_be_named(server: Daemon, path: str, name: str) -> None:
    choice = {"type": "function", "function": {"name": name}}
    message = ask(server, path, "Hello!", tools=tools(), tool_choice=choice)
    assert [found for found, _ in called(message)] == [name]


@pytest.mark.parametrize("path", PATHS)
def test_with_none_the_request_is_one_without_tools(server: Daemon, path: str) -> None:
    message = ask(server, path, tools=tools(), tool_choice="none")
    assert message == ask(server, path)
    assert message["tool_calls"] == []


@pytest.mark.parametrize("path", PATHS)
def test_one_call_where_there_may_not_be_several(server: Daemon, path: str) -> None:
    question = "What is the weather in Paris and in Rome?"
    for choice in ("auto", "required"):
        message = ask(server, path, question, tools=tools(), tool_choice=choice, parallel_tool_calls=False)
        assert len(called(message)) == 1
        assert message["reason"] == "stop"


@pytest.mark.parametrize(
    ("path", "think"),
    [
        ("chat template", False),
        ("Go template", True),
        ("renderer", False),
        pytest.param("chat template", True, marks=pytest.mark.long),
        pytest.param("Go template", False, marks=pytest.mark.long),
        pytest.param("renderer", True, marks=pytest.mark.long),
    ],
)
def test_formats_thoughts_tools_and_pictures_in_every_combination(server: Daemon, path: str, think: bool) -> None:
    combinations = product((None, "auto", "required"), (None, FORMAT), ([], [RED]), (False, True))
    for number, (choice, format, images, stream) in enumerate(combinations):
        fields: dict[str, Any] = {"think": think, "images": images, "stream": stream}
        if choice:
            fields |= {"tools": tools(), "tool_choice": choice}
        if format:
            fields["format"] = format
        message = ask(server, path, (WEATHER, "Hello!")[number // 2 % 2], **fields)
        assert think or not message["thinking"]
        if message["reason"] == "length":
            continue  # still thinking
        calls = called(message)
        assert calls or choice != "required"
        assert choice or not calls
        if calls:
            assert message["content"].strip() == "" or not format
        elif format:
            jsonschema.validate(json.loads(message["content"]), format)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"tools": tools(), "tool_choice": "sometimes"}, "invalid tool_choice"),
        ({"tools": tools(), "tool_choice": 5}, "invalid tool_choice"),
        ({"tools": tools(), "tool_choice": {"type": "function"}}, "invalid tool_choice"),
        ({"tool_choice": "required"}, "needs tools"),
        (
            {"tools": tools(), "tool_choice": {"type": "function", "function": {"name": "nope"}}},
            'names "nope", which is not among the tools',
        ),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(server: Daemon, fields: dict[str, Any], error: str) -> None:
    answer = post(server, **fields)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


def test_a_schema_that_means_nothing_does_not_stand_in_the_way(server: Daemon) -> None:
    """Clients send odd ones and were never refused for it."""
    parameters = {"type": "object", "properties": {"city": {"type": "strange"}}}
    declared = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    assert ask(server, tools=declared)["reason"] in ("stop", "length")


@pytest.mark.parametrize(
    "parser",
    [name if name in EACH_FORM else pytest.param(name, marks=pytest.mark.long) for name in sorted(SYNTAXES)],
)
def test_every_family_can_be_made_to_call_in_its_own_form(server: Daemon, parser: str) -> None:
    """The model knows none of these forms: all that is right about its calls comes from the grammar."""
    renderer = parser if parser in RENDERERS else OTHER_RENDERERS.get(parser, "qwen3-coder")
    name = f"family-{parser.replace('.', '-')}"
    body = {"model": name, "from": "chat-template", "renderer": renderer, "parser": parser, "stream": False}
    assert server.http.post("/api/create", json=body).status_code == 200
    for choice in ("required", {"type": "function", "function": {"name": "now"}}):
        message = ask(server, name, tools=tools(), tool_choice=choice, parallel_tool_calls=False)
        calls = called(message)
        assert len(calls) == 1
        assert message["content"].strip() == ""
        assert choice == "required" or calls[0][0] == "now"
