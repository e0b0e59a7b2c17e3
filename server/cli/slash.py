"""Commands of the interactive prompt. A command is known by how its line begins (`/setx` is `/set`)."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from modelstore.errors import InvalidName, OptionError
from modelstore.names import Name
from modelstore.options import parse_modelfile_value
from modelstore.quoting import quote
from server.cli import help_texts, report
from server.cli.answer import Json, inner, objects, text
from server.cli.commands.list import listing
from server.cli.conversation import Conversation
from server.cli.errors import CliError, ServerError
from server.cli.transport import last

_TEXTS: Final = {
    "license": ("license", "No license was specified for this model."),
    "modelfile": ("modelfile", "No Modelfile was specified for this model."),
    "template": ("template", "No prompt template was specified for this model."),
}


class Leave(Exception):
    """The user wants to go."""


class History(Protocol):
    """What `/set history` switches."""

    keeps_history: bool


class Slash:
    """Runs the commands on one conversation."""

    def __init__(self, conversation: Conversation, history: History) -> None:
        self._talk = conversation
        self._history = history
        self._commands: tuple[tuple[str, Callable[[str], None]], ...] = (
            ("/list", self._list),
            ("/load", self._load),
            ("/save", self._save),
            ("/clear", self._clear),
            ("/set", self._set),
            ("/show", self._show),
            ("/help", self._help),
            ("/?", self._help),
            ("/exit", self._leave),
            ("/bye", self._leave),
        )

    def run(self, line: str) -> None:
        """Raises Leave, and CliError for what the daemon refuses."""
        for name, command in self._commands:
            if line.startswith(name):
                command(line)
                return
        print(f"Unknown command '{line.split()[0]}'. Type /? for help")

    def _leave(self, _line: str) -> None:
        raise Leave

    def _help(self, line: str) -> None:
        _, *topic = line.split()
        help_text = help_texts.GENERAL.format(media=help_texts.MEDIA if self._talk.takes_media else "")
        if topic:
            help_text = help_texts.TOPICS.get(topic[0].removeprefix("/"), "")
        print(help_text, end="", file=sys.stderr)

    def _list(self, line: str) -> None:
        _, *prefix = line.split()
        print(listing(self._talk.client, prefix[0] if prefix else "", datetime.now(UTC)), end="")

    def _clear(self, _line: str) -> None:
        self._talk.clear()
        print("Cleared session context")

    # -- /set ---------------------------------------------------------------------------------------------------------

    def _set(self, line: str) -> None:
        _, *words = line.split()
        if not words:
            print(help_texts.SET, end="", file=sys.stderr)
            return
        setters = {
            "parameter": self._set_parameter, "system": self._set_system, "format": self._set_format,
            "think": self._set_think, "nothink": self._set_think, "noformat": self._set_format,
            "history": self._set_history, "nohistory": self._set_history,
        }  # fmt: skip
        if words[0] in setters:
            setters[words[0]](line, words)
        elif words[0] in ("wordwrap", "nowordwrap", "verbose", "quiet"):
            self._set_switch(words[0])
        else:
            print(f"Unknown command '/set {words[0]}'. Type /? for help")

    def _set_switch(self, word: str) -> None:
        if word.endswith("wordwrap"):
            self._talk.wordwrap = word == "wordwrap"
        else:
            self._talk.verbose = word == "verbose"
        print(f"Set '{word}' mode.")

    def _set_history(self, _line: str, words: list[str]) -> None:
        self._history.keeps_history = words[0] == "history"

    def _set_parameter(self, _line: str, words: list[str]) -> None:
        _, *given = words
        if len(given) < 2:
            print(help_texts.PARAMETERS, end="", file=sys.stderr)
            return
        name, *values = given
        try:
            parsed = [parse_modelfile_value(name, value) for value in values]
        except OptionError as error:
            print(f"Couldn't set parameter: {quote(str(error))}")
            return
        lists = [item for value in parsed if isinstance(value, list) for item in value]
        self._talk.options[name] = lists or parsed[0]
        print(f"Set parameter '{name}' to '{', '.join(values)}'")

    def _set_system(self, line: str, _words: list[str]) -> None:
        system = line.partition("system")[2]
        if not system.strip():
            print(help_texts.SET, end="", file=sys.stderr)
            return
        self._talk.set_system(system.removeprefix(" "))
        print("Set system message.")

    def _set_format(self, _line: str, words: list[str]) -> None:
        if words[0] == "noformat":
            self._talk.format = None
            print("Disabled format.")
        elif words[1:] == ["json"]:
            self._talk.format = "json"
            print("Set format to 'json' mode.")
        else:
            print("Invalid or missing format. For 'json' mode use '/set format json'")

    def _set_think(self, _line: str, words: list[str]) -> None:
        level = words[1] if words[0] == "think" and len(words) > 1 else ""
        self._talk.think = level or words[0] == "think"
        if words[0] == "think" and "thinking" not in self._talk.capabilities:
            print(f'warning: model "{self._talk.model}" does not support thinking output', file=sys.stderr)
        target = f" to '{level}'" if level else ""
        print(f"Set '{words[0]}' mode{target}.")

    # -- /show --------------------------------------------------------------------------------------------------------

    def _show(self, line: str) -> None:
        _, *words = line.split()
        if not words:
            print(help_texts.SHOW, end="", file=sys.stderr)
            return
        body: Json = {"model": self._talk.model, "system": self._talk.system, "options": self._talk.options}
        match words[0]:
            case "info":
                model = self._talk.client.call("POST", "/api/show", body)
                print(report.describe(model, verbose=False), end="", file=sys.stderr)
            case "parameters":
                self._show_parameters(self._talk.client.call("POST", "/api/show", body))
            case "system":
                system = self._talk.system
                print(f"{system}\n" if system else "No system message was specified for this model.")
            case field if field in _TEXTS:
                key, missing = _TEXTS[field]
                print(text(self._talk.client.call("POST", "/api/show", body), key) or missing)
            case other:
                print(f"Unknown command '/show {other}'. Type /? for help")

    def _show_parameters(self, model: Json) -> None:
        defined = text(model, "parameters")
        lines = defined.split("\n") if defined else ["No additional parameters were specified for this model."]
        print("Model defined parameters:", *(f"  {line}" for line in lines), "", sep="\n")
        if self._talk.options:
            print("User defined parameters:")
            for name, value in self._talk.options.items():
                print(f"  {name:<30} {_listed(value)}")
            print()

    # -- other models -------------------------------------------------------------------------------------------------

    def _load(self, line: str) -> None:
        words = line.split()
        if len(words) != 2:
            print("Usage:\n  /load <modelname>")
            return
        name = words[1]
        try:
            description = self._talk.client.call("POST", "/api/show", {"model": name})
        except ServerError as error:
            if error.status != 404:
                raise
            print(f"Couldn't find model '{name}'")
            return
        print(f"Loading model '{name}'")
        self._talk.model, self._talk.description, self._talk.messages = name, description, []
        self._talk.think = True if "thinking" in self._talk.capabilities else None
        self._talk.load()

    def _save(self, line: str) -> None:
        words = line.split()
        if len(words) != 2:
            print("Usage:\n  /save <modelname>")
            return
        name = words[1]
        if not _is_name(name):
            raise CliError(f"The model name '{name}' is invalid")
        last(self._talk.client.stream("/api/create", self._recipe(name)))
        print(f"Created new model '{name}'")

    def _recipe(self, name: str) -> Json:
        """The create request for the model as it is now: its settings, and what was said."""
        parent = text(inner(self._talk.description, "details"), "parent_model")
        body: Json = {"model": name, "from": parent if _is_name(parent) else self._talk.model}
        if self._talk.system:
            body["system"] = self._talk.system
        if self._talk.options:
            body["parameters"] = self._talk.options
        said = [m for m in self._talk.messages if m["role"] != "system"]
        if messages := [*objects(self._talk.description, "messages"), *said]:
            body["messages"] = messages
        return body


def _is_name(name: str) -> bool:
    try:
        Name.parse(name)
    except InvalidName:
        return False
    return True


def _listed(value: object) -> str:
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"  # pyright: ignore[reportUnknownArgumentType]
    return str(value).lower() if isinstance(value, bool) else str(value)
