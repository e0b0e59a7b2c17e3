"""The interactive prompt: lines in, questions and slash commands out."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli.conversation import Conversation
from server.cli.errors import CliError
from server.cli.history import History
from server.cli.prompt import CONTINUED, PROMPT, Terminal, interactive, talk
from server.cli.slash import Leave, Slash
from server.cli.transport import Client
from server.host import parse_host
from tests.unit.server.cli.daemon import Daemon


class Script:
    """Lines that were typed; an exception among them is raised in its place."""

    keeps_history = True

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def read(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if isinstance(line, str):
            return line
        raise line


@pytest.fixture
def conversation(daemon: Daemon) -> Iterator[Conversation]:
    daemon.streams("/api/chat", {"message": {"content": "Hel"}}, {"message": {"content": "lo"}}, {"done": True})
    daemon.streams("/api/generate", {"done": True})
    with closing(Client(parse_host(daemon.address))) as client:
        yield Conversation(client, "m", {"capabilities": ["completion"]})


def turns(daemon: Daemon) -> list[list[str]]:
    return [[message["content"] for message in body["messages"]] for body in daemon.sent("/api/chat")]


def test_every_turn_sends_the_whole_conversation(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(conversation, Script("one", "", "  ", "two", "/bye", "never"))
    assert turns(daemon) == [["one"], ["one", "Hello", "two"]]
    assert capsys.readouterr().out == "Hello\n\nHello\n\n"


def test_the_end_of_input_leaves(conversation: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    """The reader has ended its line by then."""
    talk(conversation, Script())
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_at_the_prompt_says_how_to_leave(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was collected until then is dropped, open quotes included."""
    talk(conversation, Script('"""one', KeyboardInterrupt, "two"))
    assert capsys.readouterr().out.startswith("Use Ctrl + d or /bye to exit.\n")
    assert turns(daemon) == [["two"]]


def test_triple_quotes_hold_several_lines(conversation: Conversation, daemon: Daemon) -> None:
    script = Script('"""one', "  two", 'three"""', '"""same line"""', '"""', "", '"""', "/exit")
    talk(conversation, script)
    assert [contents[-1] for contents in turns(daemon)] == ["one\n  two\nthree", "same line"]
    assert script.prompts[:4] == [PROMPT, CONTINUED, CONTINUED, PROMPT]


def test_an_error_of_a_turn_leaves_the_user_in_the_prompt(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.streams("/api/chat", {"error": "out of memory"})
    talk(conversation, Script("one", "/bye"))
    assert capsys.readouterr().err == "error: out of memory\n"
    assert conversation.messages == []


def test_the_model_is_loaded_and_its_messages_are_replayed(
    conversation: Conversation,
    daemon: Daemon,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversation.description["messages"] = [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Ahoy!"},
    ]
    conversation.think = True

    def typed(_: History) -> Script:
        return Script("/bye")

    monkeypatch.setattr("server.cli.prompt.Terminal", typed)
    interactive(conversation)
    assert daemon.sent("/api/generate") == [{"model": "m", "options": {}, "think": True}]
    assert capsys.readouterr().out == ">>> Hello!\nAhoy!\n\n"


def test_thoughts_are_remembered(conversation: Conversation, daemon: Daemon) -> None:
    daemon.streams("/api/chat", {"message": {"thinking": "hm"}}, {"message": {"content": "Yes."}})
    talk(conversation, Script("one"))
    assert conversation.messages[-1] == {"role": "assistant", "content": "Yes.", "thinking": "hm"}


# -- slash commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "out", "state"),
    [
        ("/set verbose", "Set 'verbose' mode.\n", {"verbose": True}),
        ("/set quiet", "Set 'quiet' mode.\n", {"verbose": False}),
        ("/set nowordwrap", "Set 'nowordwrap' mode.\n", {"wordwrap": False}),
        ("/set wordwrap", "Set 'wordwrap' mode.\n", {"wordwrap": True}),
        ("/set format json", "Set format to 'json' mode.\n", {"format": "json"}),
        ("/set format", "Invalid or missing format. For 'json' mode use '/set format json'\n", {"format": None}),
        ("/set noformat", "Disabled format.\n", {"format": None}),
        ("/set think", "Set 'think' mode.\n", {"think": True}),
        ("/set think low", "Set 'think' mode to 'low'.\n", {"think": "low"}),
        ("/set nothink", "Set 'nothink' mode.\n", {"think": False}),
        ("/set parameter seed 7", "Set parameter 'seed' to '7'\n", {"options": {"seed": 7}}),
        ("/set parameter stop a b", "Set parameter 'stop' to 'a, b'\n", {"options": {"stop": ["a", "b"]}}),
        (
            "/set parameter x 1",
            "Couldn't set parameter: \"unknown parameter 'x'\"\n",
            {"options": {}},
        ),
        ("/set x", "Unknown command '/set x'. Type /? for help\n", {}),
        ("/set system Be brief.", "Set system message.\n", {"messages": [{"role": "system", "content": "Be brief."}]}),
        ("/clear", "Cleared session context\n", {"messages": []}),
        ("/load", "Usage:\n  /load <modelname>\n", {}),
        ("/save a b", "Usage:\n  /save <modelname>\n", {}),
        ("/nope now", "Unknown command '/nope'. Type /? for help\n", {}),
        ("/show x", "Unknown command '/show x'. Type /? for help\n", {}),
        ("/show system", "No system message was specified for this model.\n", {}),
        ("/? nonsense", "", {}),
    ],
)
def test_commands_that_ask_nothing(
    conversation: Conversation, capsys: pytest.CaptureFixture[str], line: str, out: str, state: dict[str, Any]
) -> None:
    Slash(conversation, Script()).run(line)
    assert capsys.readouterr().out == out
    assert {name: getattr(conversation, name) for name in state} == state


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        ("/?", "Available Commands:\n  /set            Set session variables\n"),
        ("/help", "Available Commands:\n  /set  "),
        ("/? set", "Available Commands:\n  /set parameter ...     Set a parameter\n"),
        ("/? /show", "Available Commands:\n  /show info "),
        ("/? shortcuts", "Available keyboard shortcuts:\n"),
        ("/set", "Available Commands:\n  /set parameter"),
        ("/set system", "Available Commands:\n  /set parameter"),
        ("/set parameter seed", "Available Parameters:\n"),
        ("/show", "Available Commands:\n  /show info"),
    ],
)
def test_help_goes_to_standard_error(
    conversation: Conversation, capsys: pytest.CaptureFixture[str], line: str, begins: str
) -> None:
    Slash(conversation, Script()).run(line)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(begins)
    assert err.endswith("\n\n")


def test_help_knows_about_pictures(conversation: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    conversation.description["capabilities"] = ["vision"]
    Slash(conversation, Script()).run("/?")
    assert "Use /path/to/file to include .jpg" in capsys.readouterr().err


def test_a_warning_where_the_model_cannot_think(conversation: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    Slash(conversation, Script()).run("/set think")
    assert capsys.readouterr().err == 'warning: model "m" does not support thinking output\n'


def test_a_new_system_text_replaces_the_one_before_it(conversation: Conversation) -> None:
    slash = Slash(conversation, Script())
    slash.run("/set system one")
    slash.run("/set system two")
    assert conversation.messages == [{"role": "system", "content": "two"}]
    conversation.messages.append({"role": "user", "content": "x"})
    slash.run("/set system three")
    assert [m["content"] for m in conversation.messages] == ["two", "x", "three"]
    slash.run("/clear")
    assert [m["content"] for m in conversation.messages] == ["three"]


def test_a_system_text_of_several_lines(conversation: Conversation) -> None:
    talk(conversation, Script('/set system """one', 'two"""', "/bye"))
    assert conversation.system == "one\ntwo"


def test_show_asks_with_what_was_set(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.says("/api/show", {"modelfile": "FROM x", "parameters": "seed    1", "details": {"family": "f"}})
    slash = Slash(conversation, Script())
    slash.run("/set parameter seed 7")
    slash.run("/set system Be brief.")
    capsys.readouterr()
    slash.run("/show modelfile")
    slash.run("/show license")
    slash.run("/show template")
    slash.run("/show system")
    slash.run("/show parameters")
    slash.run("/show info")
    out, err = capsys.readouterr()
    assert out == (
        "FROM x\n"
        "No license was specified for this model.\n"
        "No prompt template was specified for this model.\n"
        "Be brief.\n\n"
        "Model defined parameters:\n  seed    1\n\n"
        "User defined parameters:\n  seed                           7\n\n"
    )
    assert err.startswith("  Model\n    architecture    f")
    assert daemon.sent("/api/show")[0] == {"model": "m", "system": "Be brief.", "options": {"seed": 7}}


def test_a_model_without_parameters_says_so(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.says("/api/show", {})
    Slash(conversation, Script()).run("/show parameters")
    assert capsys.readouterr().out == (
        "Model defined parameters:\n  No additional parameters were specified for this model.\n\n"
    )


def test_another_model_starts_afresh(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.says("/api/show", {"capabilities": ["thinking"]})
    conversation.messages = [{"role": "user", "content": "x"}]
    Slash(conversation, Script()).run("/load other")
    assert (conversation.model, conversation.messages, conversation.think) == ("other", [], True)
    assert capsys.readouterr().out == "Loading model 'other'\n"
    assert daemon.sent("/api/generate") == [{"model": "other", "options": {}, "think": True}]


def test_a_model_that_is_not_there_changes_nothing(
    conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.says("/api/show", {"error": "not found"}, status=404)
    Slash(conversation, Script()).run("/load nope")
    assert conversation.model == "m"
    assert capsys.readouterr().out == "Couldn't find model 'nope'\n"


def test_a_session_can_be_saved(conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.streams("/api/create", {"status": "success"})
    conversation.description = {"details": {"parent_model": "base:latest"}, "messages": [{"role": "user"}]}
    slash = Slash(conversation, Script())
    slash.run("/set parameter seed 7")
    slash.run("/set system Be brief.")
    conversation.messages.append({"role": "user", "content": "x"})
    slash.run("/save mine")
    assert daemon.sent("/api/create") == [
        {
            "model": "mine",
            "from": "base:latest",
            "system": "Be brief.",
            "parameters": {"seed": 7},
            "messages": [{"role": "user"}, {"role": "user", "content": "x"}],
        }
    ]
    assert capsys.readouterr().out.endswith("Created new model 'mine'\n")
    with pytest.raises(CliError, match="The model name '-x' is invalid"):
        slash.run("/save -x")


def test_models_can_be_listed(conversation: Conversation, daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.says("/api/tags", {"models": []}, method="GET")
    Slash(conversation, Script()).run("/list x")
    assert capsys.readouterr().out == "NAME    ID    SIZE    MODIFIED \n"


def test_history_can_be_switched(conversation: Conversation) -> None:
    script = Script()
    slash = Slash(conversation, script)
    slash.run("/set nohistory")
    assert not script.keeps_history
    slash.run("/set history")
    assert script.keeps_history


@given(st.text("/?abcdehlorstvwy ", max_size=12).map("/".__add__))
def test_any_slash_line_is_answered(line: str) -> None:
    """Without a word to the daemon, for what is no command."""
    if line.startswith(("/list", "/load", "/save", "/show")):
        return
    try:
        Slash(Conversation(None, "m", {}), Script()).run(line)  # type: ignore[arg-type]  # must not be used
    except Leave:
        assert line.startswith(("/bye", "/exit"))


def test_history_can_be_off_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_NOHISTORY", "1")
    assert not Terminal(History(tmp_path / "history")).keeps_history
    monkeypatch.setenv("OLLAMA_NOHISTORY", "false")
    assert Terminal(History(tmp_path / "history")).keeps_history
