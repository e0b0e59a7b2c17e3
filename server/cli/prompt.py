"""The interactive prompt: lines in, slash commands or questions out."""

import sys
from pathlib import Path
from typing import Final, Protocol

from server.cli import environment, media
from server.cli.answer import objects, text
from server.cli.conversation import Conversation
from server.cli.errors import CliError, SignInNeeded
from server.cli.history import History
from server.cli.slash import Leave, Slash

PROMPT: Final = ">>> "
CONTINUED: Final = "... "
QUOTE: Final = '"""'


class Reader(Protocol):
    """Where lines come from."""

    keeps_history: bool

    def read(self, prompt: str) -> str:
        """One line without its end. Raises EOFError at the end of input, KeyboardInterrupt on Ctrl-C."""
        ...


def interactive(conversation: Conversation) -> None:
    """Load the model, show what it has been told to have said, and talk until the user leaves."""
    conversation.load()
    _replay(conversation)
    talk(conversation, Terminal(History(Path.home() / ".ollama" / "history")))


def talk(conversation: Conversation, reader: Reader) -> None:
    """Lines until the end of input or `/bye`."""
    slash = Slash(conversation, reader)
    while True:
        try:
            line = _entry(reader)
        except EOFError:
            return
        except KeyboardInterrupt:
            print("Use Ctrl + d or /bye to exit.")
            continue
        try:
            _answer(conversation, slash, line)
        except Leave:
            return
        except SignInNeeded:
            raise
        except CliError as error:
            print(f"error: {error}", file=sys.stderr)


def _entry(reader: Reader) -> str:
    """One line, or all lines between triple quotes; the quotes may stand behind `/set system` too."""
    line = reader.read(PROMPT)
    head, part = _quoted_part(line)
    if part is None:
        return line
    parts: list[str] = []
    while not part.endswith(QUOTE):
        parts.append(part)
        part = reader.read(CONTINUED)
    return head + "\n".join([*parts, part.removesuffix(QUOTE)])


def _quoted_part(line: str) -> tuple[str, str | None]:
    """What stands before an opening triple quote and what behind it; None where there is no such quote."""
    words = line.split(maxsplit=2)
    if line.startswith(QUOTE):
        return "", line.removeprefix(QUOTE)
    if words[:2] == ["/set", "system"] and len(words) == 3 and words[2].startswith(QUOTE):
        return "/set system ", words[2].removeprefix(QUOTE)
    return "", None


def _answer(conversation: Conversation, slash: Slash, line: str) -> None:
    if not line.strip():
        return
    if line.startswith("/") and not _is_media(conversation, line):
        slash.run(line)
        return
    question, images = media.extract(line) if conversation.takes_media else (line, [])
    conversation.turn(question, images)


def _is_media(conversation: Conversation, line: str) -> bool:
    """Whether a line that begins with a slash begins with the path of a file to look at."""
    return conversation.takes_media and media.begins_with_file(line)


def _replay(conversation: Conversation) -> None:
    for message in objects(conversation.description, "messages"):
        if text(message, "role") == "user":
            print(f"{PROMPT}{text(message, 'content')}")
        elif text(message, "role") == "assistant":
            print(f"{text(message, 'content')}\n\n", end="")


class Terminal:
    """Reads with line editing, and remembers."""

    def __init__(self, history: History) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.key_binding.key_processor import KeyPressEvent

        self._history = history
        self.keeps_history = not environment.enabled(environment.NO_HISTORY)
        keys = KeyBindings()

        def newline(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        def tab(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text(" " * 8)

        keys.add("c-j")(newline)
        keys.add("tab")(tab)
        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(history.lines()), key_bindings=keys, enable_suspend=True
        )

    def read(self, prompt: str) -> str:
        placeholder = "Send a message (/? for help)" if prompt == PROMPT else ""
        line = self._session.prompt(prompt, placeholder=[("ansibrightblack", placeholder)])
        if self.keeps_history and line.strip():
            self._history.add(line)
        return line
