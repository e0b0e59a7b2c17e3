"""Paths of pictures and sounds inside a prompt."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli import media
from server.cli.errors import BadInput

PNG = b"\x89PNG\r\n\x1a\n"
WAVE = b"RIFF\x00\x00\x00\x00WAVEfmt "


def test_existing_files_are_taken_out_of_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a b.png").write_bytes(PNG)
    (tmp_path / "s.WAV").write_bytes(WAVE)
    text, found = media.extract(f"see {tmp_path}/a\\ b.png and '{tmp_path}/s.WAV' now")
    assert text == "see  and  now"
    assert [base64.b64decode(item) for item in found] == [PNG, WAVE]
    assert capsys.readouterr().err == f"Added image '{tmp_path}/a b.png'\nAdded audio '{tmp_path}/s.WAV'\n"


def test_relative_and_home_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("../a.png", "~/a.png", "./../a.png"):
        assert media.extract(f"{path} what?") == ("what?", [base64.b64encode(PNG).decode()])
    assert capsys.readouterr().err.count("Added image") == 3


def test_a_missing_file_is_text() -> None:
    assert media.extract(" see /no/such.png ") == (" see /no/such.png ", [])


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(BadInput, match=r"^invalid file type: text/plain; charset=utf-8$"):
        media.extract(f"{tmp_path}/a.png")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.setattr(media, "LARGEST", 3)
    with pytest.raises(BadInput, match=r"^file size exceeds maximum limit \(100MB\)$"):
        media.extract(f"{tmp_path}/a.png")


def test_a_line_may_begin_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert media.begins_with_file(f"{tmp_path}/a.png what?")
    assert not media.begins_with_file("/set verbose")
    assert not media.begins_with_file("/no/such.png")


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_text_without_files_comes_back_unchanged(text: str) -> None:
    assert media.extract(text) == (text, [])
