"""What can go wrong while measuring.

BenchmarkError
├── SourceMissing    llama.cpp's source is neither given nor could be downloaded
├── ProgramMissing   the program of a peer is not where it was said to be
├── BuildFailed      the peers could not be compiled
├── ServerFailed     a server did not start, or ended
├── BadAnswer        a server answered something else than the benchmark asked for
│   └── HungUp       it closed the connection before the answer was whole
└── ModelMismatch    a model does not tokenize or generate as the measurements need it
"""

from pathlib import Path


class BenchmarkError(Exception):
    """Ends the benchmark; its text is all that the user sees."""


class SourceMissing(BenchmarkError):
    """`where` is what was looked at."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"no source of llama.cpp at {where}: {reason}")
        self.where = where
        self.reason = reason


class ProgramMissing(BenchmarkError):
    """`path` was given for it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is no program at {path}")
        self.path = path


class BuildFailed(BenchmarkError):
    """`log` holds the build's output."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"the peers could not be built: {reason}\nAll output: {log}")
        self.reason = reason
        self.log = log


class ServerFailed(BenchmarkError):
    """`log` holds what the server wrote."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name}: {reason}\nIts output: {log}")
        self.name = name
        self.reason = reason
        self.log = log


class BadAnswer(BenchmarkError):
    """`what` names the request."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class HungUp(BadAnswer):
    """`received` bytes of the answer had come; none means that the connection was closed already."""

    def __init__(self, what: str, received: int) -> None:
        super().__init__(what, f"the connection was closed after {received} bytes of the answer")
        self.received = received


class ModelMismatch(BenchmarkError):
    """Figures of such a run would compare unlike things."""
