"""What was typed, kept between sessions."""

import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from server.cli.history import LINES, History


def test_the_last_lines_are_kept_in_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / ".ollama" / "history"
    history = History(file)
    for at in range(110):
        history.add(f"line {at}")
    history.add("a\nb")
    assert history.lines() == [f"line {at}" for at in range(12, 110)] + ["a", "b"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["history"]


def test_a_history_that_cannot_be_read_or_written_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file" / "history")
    history.add("x")
    assert history.lines() == []


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    History(tmp_path / "history").add("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["history"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n")), max_size=5))
def test_lines_read_back_whatever_they_hold(tmp_path: Path, lines: list[str]) -> None:
    history = History(tmp_path / "history")
    (tmp_path / "history").unlink(missing_ok=True)
    for line in lines:
        history.add(line)
    assert history.lines() == lines[-LINES:]
