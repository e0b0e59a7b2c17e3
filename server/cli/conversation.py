"""One conversation with a model: what has been said, how to ask, and one turn of it."""

import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from server.cli import progress
from server.cli.answer import Json, items, text
from server.cli.errors import CliError
from server.cli.reply import Printer, statistics
from server.cli.transport import Client


@dataclass(slots=True)
class Conversation:
    """Settings are what the flags of `run` and the commands of the prompt set."""

    client: Client
    model: str
    description: Json
    """The answer of `/api/show`."""
    messages: list[Json] = field(default_factory=list[Json])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    format: Any = None
    think: bool | str | None = None
    keep_alive: str | int | None = None
    wordwrap: bool = True
    verbose: bool = False
    hide_thinking: bool = False

    @property
    def capabilities(self) -> list[str]:
        return [str(name) for name in items(self.description, "capabilities")]

    @property
    def takes_media(self) -> bool:
        return bool({"vision", "audio"}.intersection(self.capabilities))

    @property
    def system(self) -> str:
        """The system text that was set here, else the model's."""
        mine = next((m["content"] for m in reversed(self.messages) if m["role"] == "system"), "")
        return str(mine) or text(self.description, "system")

    def settings(self) -> Json:
        """The fields that every request about this conversation carries."""
        fields = {"format": self.format, "keep_alive": self.keep_alive, "think": self.think}
        return {
            "model": self.model,
            "options": self.options,
            **{name: value for name, value in fields.items() if value is not None},
        }

    def set_system(self, text: str) -> None:
        if self.messages and self.messages[-1]["role"] == "system":
            self.messages.pop()
        self.messages.append({"role": "system", "content": text})

    def clear(self) -> None:
        """Forget what was said, not what was set."""
        systems = [m for m in self.messages if m["role"] == "system"]
        self.messages = systems[-1:]

    def load(self) -> None:
        """Have the model in memory before the first question."""
        body = self.settings()
        body.pop("format", None)
        with progress.wheel() as shown, closing(self.client.stream("/api/generate", body)) as events:
            shown.status("")
            for _ in events:
                pass

    def generate(self, prompt: str, images: list[str]) -> None:
        """Answer one prompt outside of any conversation."""
        body: Json = {**self.settings(), "prompt": prompt}
        if images:
            body["images"] = images
        final, _ = self._reply("/api/generate", body)
        if prompt:
            print("\n", flush=True)
        self._report(final)

    def turn(self, question: str, images: list[str]) -> None:
        """Ask, print the answer, and remember both; of an answer that was cut off, only the question.

        Raises CliError, after which the question is forgotten.
        """
        asked: Json = {"role": "user", "content": question, **({"images": images} if images else {})}
        self.messages.append(asked)
        try:
            final, reply = self._reply("/api/chat", {**self.settings(), "messages": self.messages})
        except KeyboardInterrupt:
            print("\n", flush=True)
            return
        except CliError:
            self.messages.pop()
            raise
        print("\n", flush=True)
        self._report(final)
        answer: Json = {"role": "assistant", "content": reply.answer}
        self.messages.append({**answer, "thinking": reply.thought} if reply.thought else answer)

    def _reply(self, path: str, body: Json) -> tuple[Json, Printer]:
        """Print an answer as it comes; its last event and what was printed."""
        event: Json = {}
        with progress.wheel() as shown, closing(self.client.stream(path, body)) as events:
            shown.status("")
            printer = Printer(sys.stdout, wrap=self.wordwrap, thinking=not self.hide_thinking, begin=shown.clear)
            try:
                for event in events:
                    printer.event(event)
                printer.close_thinking()
            finally:
                printer.stop()
        return event, printer

    def _report(self, final: Json) -> None:
        if self.verbose:
            print(statistics(final), end="", file=sys.stderr)
