"""Digests that need not be computed again, and when they must be."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli.remembered import LARGEST, RECENT, Remembered, file_of


class Hasher:
    """Gives out a new digest each time, and notes for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, paths: Sequence[Path]) -> dict[Path, str]:
        self.asked += [path.name for path in paths]
        return {path: f"digest {len(self.asked)} of {path.name}" for path in paths}


def later() -> int:
    return 1 << 62


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    return path


def test_an_unchanged_file_is_known(cache: Path, model: Path, tmp_path: Path) -> None:
    """Others are asked for by themselves; the order is that of the paths."""
    hasher, other = Hasher(), tmp_path / "other.gguf"
    other.write_bytes(b"other")
    first = Remembered(cache, later).digests([model], hasher)
    both = Remembered(cache, later).digests([other, model], hasher)
    assert list(both) == [other, model]
    assert both[model] == first[model]
    assert hasher.asked == ["model.gguf", "other.gguf"]


def test_a_changed_file_is_not(cache: Path, model: Path) -> None:
    hasher = Hasher()
    Remembered(cache, later).digests([model], hasher)
    status = model.stat()
    model.write_bytes(b"WEIGHTS")
    os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    Remembered(cache, later).digests([model], hasher)
    assert hasher.asked == ["model.gguf"] * 2


def test_a_file_that_replaces_another_is_not(cache: Path, model: Path, tmp_path: Path) -> None:
    hasher = Hasher()
    Remembered(cache, later).digests([model], hasher)
    status = model.stat()
    new = tmp_path / "new"
    new.write_bytes(b"WEIGHTS")
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(model)
    Remembered(cache, later).digests([model], hasher)
    assert len(hasher.asked) == 2


def test_a_file_that_has_just_changed_is_not_remembered(cache: Path, model: Path) -> None:
    """It could change again without a sign of it."""
    hasher = Hasher()
    changed = max(model.stat().st_mtime_ns, model.stat().st_ctime_ns)
    for _ in range(2):
        Remembered(cache, lambda: changed + RECENT).digests([model], hasher)
    assert len(hasher.asked) == 2


def test_a_file_that_changes_while_it_is_read_is_not_remembered(cache: Path, model: Path) -> None:
    hasher = Hasher()

    def growing(paths: Sequence[Path]) -> dict[Path, str]:
        with model.open("ab") as file:
            file.write(b"more")
        return hasher(paths)

    for _ in range(2):
        Remembered(cache, later).digests([model], growing)
    assert len(hasher.asked) == 2


def test_the_oldest_are_forgotten(cache: Path, tmp_path: Path) -> None:
    hasher = Hasher()
    paths = [tmp_path / f"{number}.gguf" for number in range(LARGEST + 1)]
    for path in paths:
        path.touch()
    Remembered(cache, later).digests(paths, hasher)
    Remembered(cache, later).digests([paths[0], paths[-1]], hasher)
    assert hasher.asked == [path.name for path in [*paths, paths[0]]]


@given(content=st.binary() | st.sampled_from([b"{}", b"[]", b'{"%b": 1}', b'{"%b": []}', b'{"%b": [1, 2]}', b"{"]))
def test_no_cache_is_too_odd(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "model.gguf").touch()
    (folder / "digests.json").write_bytes(content.replace(b"%b", bytes(folder / "model.gguf")))
    assert len(Remembered(folder / "digests.json").digests([folder / "model.gguf"], Hasher())) == 1


def test_a_place_that_cannot_be_written_costs_nothing(model: Path) -> None:
    hasher = Hasher()
    assert Remembered(model / "digests.json", later).digests([model], hasher)[model]


def test_where_they_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert file_of({"XDG_CACHE_HOME": "/c"}) == Path("/c/llamad/digests.json")
    assert file_of({"XDG_CACHE_HOME": "c"}) == file_of({}) == tmp_path / ".cache/llamad/digests.json"
