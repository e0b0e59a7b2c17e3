"""`run`, once: what is asked of the daemon, and what is printed where."""

import io
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import server.cli.prompt
from server.cli.commands.run import format_value, keep_alive_value, think_value
from server.cli.conversation import Conversation
from server.cli.errors import BadInput, ServerError
from server.cli.transport import Client, Json
from tests.unit.server.cli.conftest import Cli
from tests.unit.server.cli.daemon import Answer, Daemon, Request

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


def model(daemon: Daemon, *capabilities: str) -> None:
    daemon.says("/api/show", {"capabilities": list(capabilities)})


def reply(daemon: Daemon, *texts: str, **final: Any) -> None:
    daemon.streams("/api/generate", *({"response": text} for text in texts), {"response": "", "done": True, **final})


def test_the_answer_and_two_line_ends(cli: Cli, daemon: Daemon) -> None:
    model(daemon, "completion")
    reply(daemon, "Hel", "lo")
    outcome = cli("run", "m", "a", "b", "c")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello\n\n", "")
    assert daemon.sent("/api/generate") == [{"model": "m", "options": {}, "prompt": "a b c"}]


@pytest.mark.parametrize(
    ("words", "stdin", "prompt", "out"),
    [
        (["hi"], b"", "hi", "Hello\n\n"),
        ([], b"piped\n", "piped\n", "Hello\n\n"),
        (["sum up:"], b"text\n", "text\n sum up:", "Hello\n\n"),
        ([], b"", "", "Hello"),
        ([""], b"", "", "Hello"),
        (["--", "-x"], b"", "-x", "Hello\n\n"),
    ],
)
def test_the_prompt_is_what_was_piped_and_typed(
    cli: Cli, daemon: Daemon, words: list[str], stdin: bytes, prompt: str, out: str
) -> None:
    model(daemon)
    reply(daemon, "Hello")
    assert cli("run", "m", *words, stdin=stdin).out == out
    assert daemon.sent("/api/generate")[0]["prompt"] == prompt


@pytest.mark.parametrize(
    ("words", "capabilities", "think"),
    [
        ([], ["completion"], None),
        ([], ["thinking"], True),
        (["--think"], ["completion"], True),
        (["--think=false"], ["thinking"], False),
        (["--think=low"], ["thinking"], "low"),
        (["--think", "low"], ["completion"], True),
    ],
)
def test_thinking_is_as_asked_else_as_the_model_can(
    cli: Cli, daemon: Daemon, words: list[str], capabilities: list[str], think: object
) -> None:
    model(daemon, *capabilities)
    reply(daemon)
    cli("run", "m", *words, "hi")
    assert daemon.sent("/api/generate")[0].get("think") == think


def test_a_bad_level_of_thinking_asks_nothing(cli: Cli, daemon: Daemon) -> None:
    outcome = cli("run", "m", "--think=bogus", "x")
    assert (outcome.code, daemon.requests) == (1, [])
    assert outcome.err == (
        'Error: invalid value for --think: "bogus" (must be true, false, high, medium, low, or max)\n'
    )


def test_think_values() -> None:
    assert [think_value(text) for text in ("true", "false", "max")] == [True, False, "max"]


def test_thinking_may_be_hidden(cli: Cli, daemon: Daemon) -> None:
    model(daemon, "thinking")
    daemon.streams("/api/generate", {"thinking": "hm"}, {"response": "Yes."})
    assert cli("run", "m", "x").out == "Thinking...\nhm\n...done thinking.\n\nYes.\n\n"
    assert cli("run", "m", "--hidethinking", "x").out == "Yes.\n\n"


def test_statistics_go_to_standard_error(cli: Cli, daemon: Daemon) -> None:
    model(daemon)
    reply(daemon, "Hello", total_duration=1_500_000_000, eval_count=2)
    outcome = cli("run", "m", "--verbose", "x")
    assert (outcome.out, outcome.err) == ("Hello\n\n", "total duration:       1.5s\neval count:           2 token(s)\n")


@pytest.mark.parametrize(
    ("text", "value"), [("10m", "10m0s"), ("0", "0s"), ("-1s", -1), ("1h30m", "1h30m0s"), ("250ms", "250ms")]
)
def test_how_long_to_keep(cli: Cli, daemon: Daemon, text: str, value: object) -> None:
    assert keep_alive_value(text) == value
    model(daemon)
    reply(daemon)
    cli("run", "m", "--keepalive", text, "x")
    assert daemon.sent("/api/generate")[0]["keep_alive"] == value


def test_a_bare_number_is_no_duration(cli: Cli, daemon: Daemon) -> None:
    assert cli("run", "m", "--keepalive", "300", "x").err == 'Error: time: missing unit in duration "300"\n'
    assert daemon.requests == []


def test_format_is_json_a_schema_or_a_file(tmp_path: Path) -> None:
    schema = {"type": "object"}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    assert format_value("") is None
    assert format_value("json") == "json"
    assert format_value('{"type": "object"}') == schema
    assert format_value(f"@{tmp_path}/s.json") == schema
    with pytest.raises(BadInput, match="No such file"):
        format_value("@nope")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("xml", "invalid character 'x' looking for beginning of value"),
        ('{"a"', "unexpected end of JSON input"),
        ("{} x", "invalid character after top-level value"),
    ],
)
def test_a_format_that_is_no_json(text: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        format_value(text)
    assert str(caught.value) == f"json: error calling MarshalJSON for type json.RawMessage: {reason}"


def test_a_missing_model_is_fetched(cli: Cli, daemon: Daemon) -> None:
    known: list[str] = []

    def show(_: Request) -> Answer:
        return Answer(200, b'{"capabilities":["completion"]}') if known else Answer(404, b'{"error":"not found"}')

    def pull(_: Request) -> Answer:
        known.append("m")
        return Answer(200, b'{"status":"success"}\n')

    daemon.decides("/api/show", show)
    daemon.decides("/api/pull", pull)
    reply(daemon, "Hello")
    outcome = cli("run", "m", "--insecure", "hi")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello\n\n", "success\n")
    assert daemon.sent("/api/pull") == [{"model": "m", "insecure": True}]


def test_other_errors_of_show_fetch_nothing(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/show", {"error": "invalid model name"}, status=400)
    assert cli("run", "a b", "hi").err == "Error: invalid model name\n"
    assert len(daemon.requests) == 1


def test_an_error_after_some_text_leaves_the_text(cli: Cli, daemon: Daemon) -> None:
    model(daemon)
    daemon.streams("/api/generate", {"response": "Hel"}, {"error": "the runner died"})
    outcome = cli("run", "m", "hi")
    assert (outcome.code, outcome.out, outcome.err) == (1, "Hel", "Error: the runner died\n")


def test_an_error_of_the_request_has_its_status_line(cli: Cli, daemon: Daemon) -> None:
    model(daemon)
    daemon.says("/api/generate", {"error": '"m" does not support thinking'}, status=400)
    assert cli("run", "m", "--think", "hi").err == 'Error: 400 Bad Request: "m" does not support thinking\n'


def test_a_vector_keeps_its_digits(cli: Cli, daemon: Daemon) -> None:
    model(daemon, "embedding")
    daemon.says("/api/embed", b'{"embeddings":[[-0.48268053,1e-7,0,0.10]]}')
    outcome = cli("run", "e", "--dimensions", "4", "--truncate=false", "--keepalive", "1m", "--verbose", "hi", "you")
    assert outcome.out == "[-0.48268053,1e-7,0,0.10]\n"
    assert daemon.sent("/api/embed") == [
        {"model": "e", "input": "hi you", "keep_alive": "1m0s", "truncate": False, "dimensions": 4}
    ]


def test_an_embedding_needs_text(cli: Cli, daemon: Daemon) -> None:
    model(daemon, "embedding")
    assert cli("run", "e").err == ('Error: embedding models require input text. Usage: ollama run e "your text here"\n')
    daemon.says("/api/embed", {"embeddings": []})
    assert cli("run", "e", "x").err == "Error: no embeddings returned\n"


def test_pictures_in_the_prompt_are_sent(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    model(daemon, "completion", "vision")
    reply(daemon, "A cat.")
    outcome = cli("run", "m", f"What is '{tmp_path}/a.png' about?")
    assert outcome.err == f"Added image '{tmp_path}/a.png'\n"
    body = daemon.sent("/api/generate")[0]
    assert body["prompt"] == "What is  about?"
    assert len(body["images"]) == 1


def test_without_eyes_a_path_is_text(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    model(daemon, "completion")
    reply(daemon)
    cli("run", "m", f"{tmp_path}/a.png")
    assert daemon.sent("/api/generate")[0]["prompt"] == f"{tmp_path}/a.png"


def test_making_pictures_is_not_offered(cli: Cli, daemon: Daemon) -> None:
    model(daemon, "image")
    assert cli("run", "m", "x").err == "Error: image generation models are not currently supported\n"


def test_who_is_not_signed_in_is_told_and_that_is_no_failure(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/show", {"error": "unauthorized", "signin_url": "https://x/y"}, status=401)
    outcome = cli("run", "m:cloud", "x")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (
        "You need to be signed in to Ollama to run Cloud models.\n\n"
        "If your browser did not open, navigate to:\n    https://x/y\n\n"
    )


class Interrupted(Client):
    """A daemon whose answer is interrupted after its first piece."""

    def __init__(self) -> None:
        self.closed = False

    def stream(self, path: str, body: Json | None = None, *, method: str = "POST") -> Generator[Json]:
        try:
            yield {"response": "Hel", "message": {"content": "Hel"}}
            raise KeyboardInterrupt
        finally:
            self.closed = True


class Failing(Client):
    """A daemon that refuses."""

    def __init__(self) -> None:
        pass

    def stream(self, path: str, body: Json | None = None, *, method: str = "POST") -> Generator[Json]:
        raise ServerError("no")
        yield {}


def test_an_interrupt_cancels_and_prints_nothing_more(
    daemon: Daemon, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(daemon)
    interrupted = Interrupted()

    def stream(_: Client, path: str, body: Json) -> Generator[Json]:
        return interrupted.stream(path, body)

    monkeypatch.setattr(Client, "stream", stream)
    outcome = cli("run", "m", "--verbose", "hi")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hel", "")
    assert interrupted.closed


def test_an_interrupted_turn_keeps_the_question_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = Conversation(Interrupted(), "m", {})
    conversation.turn("hi", [])
    assert conversation.messages == [{"role": "user", "content": "hi"}]
    assert capsys.readouterr().out == "Hel\n\n"


def test_a_failed_turn_is_forgotten() -> None:
    conversation = Conversation(Failing(), "m", {})
    with pytest.raises(ServerError):
        conversation.turn("hi", [])
    assert conversation.messages == []


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_without_a_prompt_is_a_conversation(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def interactive(conversation: Conversation) -> None:
        started.append(conversation.model)

    model(daemon)
    monkeypatch.setenv("OLLAMA_HOST", daemon.address)
    monkeypatch.setattr(server.cli.prompt, "interactive", interactive)
    monkeypatch.setattr(sys, "stdin", Screen())
    monkeypatch.setattr(sys, "stdout", Screen())
    assert server.cli.main(["run", "m"]) == 0
    assert started == ["m"]
