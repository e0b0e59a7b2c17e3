"""What can go wrong while installing.

InstallError
├── ToolMissing      a compiler or toolkit is not on this machine
├── DownloadFailed   the pinned pip could not be fetched, or is not the file it should be
├── BadLock          requirements.lock lacks what we build from
├── BadChoice        an environment variable has a value that we do not know
└── CommandFailed    pip or the build ended with an error
"""

from pathlib import Path


class InstallError(Exception):
    """Ends the installation; its text is all that the user sees."""


class ToolMissing(InstallError):
    """A program or library of the system is missing. `remedy` is a command or a sentence that gets it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n  {remedy}")
        self.what = what
        self.remedy = remedy


class DownloadFailed(InstallError):
    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"cannot download {url}: {reason}")
        self.url = url
        self.reason = reason


class BadLock(InstallError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class BadChoice(InstallError):
    def __init__(self, variable: str, value: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{variable}={value}: expected one of {', '.join(allowed)}")
        self.variable = variable
        self.value = value
        self.allowed = allowed


class CommandFailed(InstallError):
    """`tail` holds the last lines that the command wrote, `log` all of them."""

    def __init__(self, what: str, status: int, tail: str, log: Path | None = None) -> None:
        where = f"\nAll of its output: {log}" if log else ""
        super().__init__(f"{tail.rstrip()}\n\n{what} ended with status {status}.{where}")
        self.what = what
        self.status = status
        self.tail = tail
        self.log = log
