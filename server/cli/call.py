"""One call of a command: what was asked, and the way to the daemon."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from server.cli.grammar import Parsed
from server.host import Host

if TYPE_CHECKING:
    from server.cli.transport import Client


class Call:
    """What a command's `run` gets. The client comes into being when it is first asked for."""

    def __init__(self, program: str, command: str, parsed: Parsed, host: Host) -> None:
        self.program = program
        self.command = command
        self.args = parsed.args
        self.flags = parsed.flags
        self.host = host
        self._client: Client | None = None

    @property
    def client(self) -> "Client":
        if self._client is None:
            from server.cli.transport import Client

            self._client = Client(self.host, self.program)
        return self._client

    def text(self, flag: str) -> str:
        """Value of a flag that takes text; empty when it was not given."""
        value = self.flags.get(flag, "")
        assert isinstance(value, str)
        return value

    def on(self, flag: str) -> bool:
        """Whether a switch is on."""
        return self.flags.get(flag) is True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
