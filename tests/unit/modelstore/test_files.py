"""Whole files, and nothing but files."""

import os
from pathlib import Path

import pytest

from modelstore import files


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
