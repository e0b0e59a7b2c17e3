"""Whole files, and nothing but files."""

import errno
import os
import stat
from pathlib import Path

import pytest

from modelstore import files
from modelstore.errors import DiskFull


def test_written_at_one_moment(tmp_path: Path) -> None:
    """The content is replaced, directories are made, nothing else stays."""
    path = tmp_path / "a" / "b"
    for data in (b"one", b"two"):
        files.write_atomically(path, data, path.with_name("temporary"))
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_former_content(tmp_path: Path) -> None:
    """A target that cannot be replaced stays, and the temporary file goes."""
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError):
        files.write_atomically(tmp_path / "target", b"x", tmp_path / "temporary")
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, OSError)])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_fails_leaves_the_former_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, kind: type[Exception]
) -> None:
    """And a full one is told from a broken one."""
    path = tmp_path / "target"
    path.write_bytes(b"old")

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(kind):
        files.write_atomically(path, b"new", tmp_path / "temporary")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_directories_that_were_made_for_nothing_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that were missing before."""
    (tmp_path / "there").mkdir()
    path = tmp_path / "there" / "a" / "b" / "file"

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(DiskFull):
        files.write_atomically(path, b"x", path.with_name("temporary"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_no_room_for_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those above that could be made go again."""
    mkdir = Path.mkdir

    def fail(path: Path, mode: int = 0o777) -> None:
        if path.name == "c":
            raise OSError(errno.ENOSPC, "No space left on device")
        mkdir(path, mode)

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(DiskFull):
        files.make_directory(tmp_path / "a" / "b" / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_another_process_tidies_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is empty until the file is in it."""
    path = tmp_path / "a" / "b" / "file"
    opened, removals = os.open, 2

    def tidy_first(name: Path, flags: int, mode: int = 0o777) -> int:
        nonlocal removals
        if flags & os.O_CREAT and removals:
            removals -= 1
            files.remove_empty_directories(tmp_path / "a")
        return opened(name, flags, mode)

    monkeypatch.setattr(os, "open", tidy_first)
    files.write_atomically(path, b"x", path.with_name("temporary"))
    assert path.read_bytes() == b"x"


def test_a_file_where_a_directory_has_to_be(tmp_path: Path) -> None:
    """That is not mistaken for one that is there already."""
    (tmp_path / "file").write_bytes(b"")
    for below in ("file", "file/a", "file/a/b"):
        with pytest.raises(NotADirectoryError):
            files.make_directory(tmp_path / below)


def test_content_then_name_then_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order in which things reach the disk; a removal does before anything that relies on it."""
    steps: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        steps.append("named" if (tmp_path / "target").exists() else "nameless")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    files.write_atomically(tmp_path / "target", b"x", tmp_path / "temporary")
    assert steps == ["file", "nameless", "directory", "named"]
    files.remove(tmp_path / "target")
    assert steps[4:] == ["directory", "nameless"]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """Links, pipes and directories count as absent, and none of them makes us wait."""
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "absent", "."):
        assert not files.is_regular(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            files.read_regular(tmp_path / name, 10)
    assert files.read_regular(tmp_path / "file", 10) == b"abc"
    assert files.read_regular(tmp_path / "file", 1) == b"ab"


def test_empty_directories_go(tmp_path: Path) -> None:
    """Up to the root itself; a linked directory is not entered."""
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    files.remove_empty_directories(tmp_path / "root")
    assert not (tmp_path / "root").exists()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    files.remove_empty_directories(tmp_path / "root")
    assert (tmp_path / "elsewhere").exists()
