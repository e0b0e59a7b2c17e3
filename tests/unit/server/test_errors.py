"""Every foreseen error has its status; the texts are those of the errors."""

import errno
from pathlib import Path

import pytest

from modelstore.errors import (
    BlobNotFound,
    CreateError,
    DigestMismatch,
    DiskFull,
    InvalidDigest,
    InvalidGGUF,
    InvalidName,
    ModelNotFound,
    OptionError,
    SourceConflict,
)
from scheduler.errors import LoadFailed, QueueFull, RunnerDied, RunnerFailed, ShuttingDown, WeightsMissing
from server.errors import ApiError, CloudDisabled, describe
from server.gojson.walk import DecodeError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ApiError(418, "x"), 418),
        (CloudDisabled("x"), 403),
        (DecodeError("x"), 400),
        (InvalidName("x"), 400),
        (SourceConflict("x"), 400),
        (InvalidDigest("x"), 400),
        (DigestMismatch("x", "y"), 400),
        (ModelNotFound("x"), 404),
        (BlobNotFound("x"), 404),
        (CreateError("x", 500), 500),
        (OptionError("x", "y"), 500),
        (InvalidGGUF("x"), 500),
        (DiskFull(), 500),
        (QueueFull(1), 503),
        (ShuttingDown(), 503),
        (WeightsMissing("x"), 404),
        (LoadFailed("x"), 500),
        (RunnerDied("x"), 500),
        (RunnerFailed("x", 400), 400),
    ],
)
def test_status_and_text(error: Exception, status: int) -> None:
    answer = describe(error)
    assert answer is not None
    assert (answer.status, answer.message) == (status, str(error))


def test_what_the_system_refuses_is_told_without_paths(tmp_path: Path) -> None:
    missing = tmp_path / "x"
    with pytest.raises(OSError) as caught:
        missing.open()
    answer = describe(caught.value)
    assert answer is not None
    assert (answer.status, answer.message) == (500, "no such file or directory")
    bare = describe(OSError(errno.EIO, "whatever"))
    assert bare is not None
    assert bare.message == "input/output error"


def test_what_nobody_foresaw_has_no_answer() -> None:
    assert describe(ZeroDivisionError()) is None
