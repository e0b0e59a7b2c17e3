"""What can go wrong while looking at devices. None of it leaves this package: a snapshot is always taken.

DevicesError
├── DriverFailed(library, reason)    a driver that is installed does not answer
└── ProbeFailed(reason)              the engine could not list what it can compute on
"""


class DevicesError(Exception):
    """Base of both; the text is the reason, for the log."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class DriverFailed(DevicesError):
    """The GPUs of one library cannot be read now."""

    def __init__(self, library: str, reason: str) -> None:
        self.library = library
        super().__init__(reason)


class ProbeFailed(DevicesError):
    """The process that asks the engine crashed, hung, or said something that is no list."""
