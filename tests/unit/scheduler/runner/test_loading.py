"""Signs of life while a model loads, and what is said when it does not."""

from collections.abc import Callable

import pytest

from scheduler import frames
from scheduler.runner import loading
from scheduler.runner.engine import IncompatibleBinding, ModelLoadError

FRAME = frames.Load(
    ["/store/blobs/sha256-a"],
    num_ctx=8,
    parallel=1,
    num_batch=8,
    adapters=[("/store/blobs/sha256-b", 1.0)],
    projectors=["/store/blobs/sha256-c"],
    draft=["/store/blobs/sha256-d"],
)


def test_progress_is_told_by_hundredths() -> None:
    sent: list[frames.Frame] = []
    progress = loading.Progress(sent.append)
    for n in range(1025):
        progress(n / 1024)
    told = [frame.fraction for frame in sent if isinstance(frame, frames.Progress)]
    assert [int(fraction * 100) for fraction in told] == list(range(101))


def test_progress_can_be_told_again() -> None:
    sent: list[frames.Frame] = []
    progress = loading.Progress(sent.append)
    progress.repeat()
    progress(0.25)
    progress.repeat()
    assert sent == [frames.Progress(0.0), frames.Progress(0.25), frames.Progress(0.25)]


def test_a_pulse_beats_only_while_pages_come_in() -> None:
    """One that is stuck must be found out, however well its process is."""
    counts = iter([5, 5, 9, 9, 10])
    ends = iter([False, False, False, False, True])
    beats: list[None] = []
    loading.watch(lambda: beats.append(None), lambda _: next(ends), lambda: next(counts))
    assert len(beats) == 2


def test_pages_read_are_counted() -> None:
    pytest.importorskip("resource")
    assert loading.pages_read() >= 0


def refuse(error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[frames.Frame]:
    def fail(frame: frames.Load, progress: Callable[[float], None]) -> None:
        raise error

    monkeypatch.setattr(loading, "LoadedModel", fail)
    sent: list[frames.Frame] = []
    assert loading.load(FRAME, sent.append) is None
    assert sent.pop(0) == frames.Progress(0.0), "that it takes the load is said first of all"
    return sent


def test_a_model_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = refuse(ModelLoadError("bad /store/blobs/sha256-a", unsupported=True), monkeypatch)
    assert sent == [frames.LoadFailed("bad sha256-a", unsupported=True)]


def test_a_library_that_cannot_be_used_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refuse(IncompatibleBinding("1 is needed, 2 is installed"), monkeypatch) == [
        frames.LoadFailed("1 is needed, 2 is installed")
    ]


def test_no_file_is_named_with_its_folder() -> None:
    text = "a: /store/blobs/sha256-a, b: /store/blobs/sha256-b, c: /store/blobs/sha256-c, d: /store/blobs/sha256-d"
    assert loading.without_folders(text, FRAME) == "a: sha256-a, b: sha256-b, c: sha256-c, d: sha256-d"
