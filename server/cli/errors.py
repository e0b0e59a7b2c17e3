"""What can go wrong in a command. `str()` of each is the text behind `Error: `.

CliError                    any failure of a command; exit code 1
├── UsageError              the command line itself
├── ServerDown              nobody listens at OLLAMA_HOST
├── TransportFailed         the connection broke, or never came about for another reason
├── ServerError             the daemon answered with an error
│   └── SignInNeeded        … 401, with the address at which to sign in
└── BadInput                a file, a Modelfile or a value that the command cannot use
"""

NO_DETAILS = "something went wrong, please see the ollama server logs for details"


class CliError(Exception):
    """Any failure of a command; exit code 1."""


class UsageError(CliError):
    """The command line itself: an unknown command or flag, a wrong number of arguments."""


class ServerDown(CliError):
    """Nobody listens at OLLAMA_HOST."""

    def __init__(self, program: str) -> None:
        super().__init__(f"could not connect to ollama server, run '{program} serve' to start it")


class TransportFailed(CliError):
    """The connection broke, or never came about for a reason other than a closed port."""


class BadInput(CliError):
    """A file, a Modelfile or a value that the command cannot use."""


class ServerError(CliError):
    """The daemon answered with an error.

    `status` is 0 for an error line inside a stream that began with 200. A streamed call shows the status line in front
    of the message, the others the message alone.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "", *, streamed: bool = False) -> None:
        self.message = message
        self.status = status
        line = f"{status} {reason}".rstrip() if streamed and status else ""
        super().__init__(": ".join(part for part in (line, message) if part) or NO_DETAILS)


class SignInNeeded(ServerError):
    """401: the account is not signed in. `url` is where to do so, empty when the daemon did not say.

    Its text leaves the daemon's message out, as the reference's does.
    """

    def __init__(self, reason: str, url: str = "", *, streamed: bool = False) -> None:
        super().__init__("", 401, reason, streamed=streamed)
        self.url = url
