"""What the server refuses, and the one place where the errors of the lower layers become answers.

    ServerError
    ├── ApiError(status, message)     an answer of the native API
    │   └── CloudDisabled(what)       403
    ├── CannotListen(address, …)      the daemon cannot have the address that it is to serve
    └── InvalidOrigin(origin, why)    an entry of OLLAMA_ORIGINS that stops the daemon

A request body that cannot be decoded is a `server.gojson.walk.DecodeError`, of the model store a
`modelstore.errors.StoreError`, of the scheduler a `scheduler.errors.SchedulerError`; `describe` knows them all.
"""

import os

from modelstore.errors import (
    BlobNotFound,
    CreateError,
    DamagedManifests,
    DigestMismatch,
    InvalidDigest,
    InvalidName,
    ModelfileError,
    ModelNotFound,
    NotAFile,
    ReadOnlyModel,
    SourceConflict,
    StoreError,
)
from scheduler.errors import QueueFull, RunnerFailed, SchedulerError, ShuttingDown, WeightsMissing
from server.gojson.walk import DecodeError

_AT_FAULT = (InvalidName, SourceConflict, InvalidDigest, DigestMismatch, NotAFile, ModelfileError, DecodeError)
"""Errors that are the client's own doing."""


class ServerError(Exception):
    """Base of what this package raises on purpose."""


class ApiError(ServerError):
    """The request is answered with `status` and an object whose `error` is `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class CloudDisabled(ApiError):
    """Something of the hosted service was asked for; `what` completes the sentence."""

    def __init__(self, what: str) -> None:
        super().__init__(403, f"ollama cloud is disabled: {what}")


class CannotListen(ServerError):
    """`reason` is why; `advice` is a line for the operator, or empty."""

    def __init__(self, address: str, reason: str, advice: str = "") -> None:
        super().__init__(f"listen tcp {address}: {reason}")
        self.address = address
        self.reason = reason
        self.advice = advice


class InvalidOrigin(ServerError):
    """`origin` is no pattern that an Origin header could match."""

    def __init__(self, origin: str, why: str) -> None:
        super().__init__(f"bad origin {origin!r} in OLLAMA_ORIGINS: {why}")
        self.origin = origin


def describe(error: Exception) -> ApiError | None:
    """The answer of the native API to an error; None for one that nobody foresaw."""
    match error:
        case ApiError():
            return error
        case CreateError() | RunnerFailed():
            return ApiError(error.status, error.message)
        case ModelNotFound() | BlobNotFound():
            return ApiError(404, str(error))
        case ReadOnlyModel():
            return ApiError(403, str(error))
        case DamagedManifests():
            return ApiError(409, str(error))
        case QueueFull() | ShuttingDown():
            return ApiError(503, str(error))
        case WeightsMissing():
            return ApiError(404, str(error))
        case OSError():
            return ApiError(500, os.strerror(error.errno).lower() if error.errno else type(error).__name__)
        case _ if isinstance(error, _AT_FAULT):
            return ApiError(400, str(error))
        case StoreError() | SchedulerError():
            return ApiError(500, str(error))
        case _:
            return None
