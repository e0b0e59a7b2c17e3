"""`create`: from a Modelfile to uploads and one request."""

import hashlib
from pathlib import Path

import pytest

from tests.unit.server.cli.conftest import Cli
from tests.unit.server.cli.daemon import Answer, Daemon, Request

GGUF = b"GGUF\x03\x00\x00\x00" + b"\x00" * 100
LORA = b"GGUF\x03\x00\x00\x00" + b"\x01" * 100


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(autouse=True)
def answers(daemon: Daemon) -> None:
    daemon.streams("/api/create", {"status": "writing manifest"}, {"status": "success"})
    for content in (GGUF, LORA):
        daemon.decides(f"/api/blobs/{digest(content)}", lambda _: Answer(201))


def uploads(daemon: Daemon) -> dict[str, bytes]:
    return {r.path.rpartition("/")[2]: r.body for r in daemon.requests if r.path.startswith("/api/blobs/")}


def test_a_name_needs_no_upload(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM base\nSYSTEM Be brief.\nPARAMETER stop a\nPARAMETER stop b\n")
    outcome = cli("create", "m", "-q", "q8_0")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "gathering model components\nwriting manifest\nsuccess\n"
    assert [r.json for r in daemon.requests] == [
        {
            "model": "m",
            "quantize": "q8_0",
            "from": "base",
            "system": "Be brief.",
            "parameters": {"stop": ["a", "b"]},
        }
    ]


def test_files_are_uploaded_under_their_digests(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    (tmp_path / "l.gguf").write_bytes(LORA)
    (tmp_path / "Modelfile").write_text("FROM ./a.gguf\nADAPTER ./l.gguf\n")
    outcome = cli("create", "m")
    assert f"copying file {digest(GGUF)} 100%\n" in outcome.err
    assert uploads(daemon) == {digest(GGUF): GGUF, digest(LORA): LORA}
    assert daemon.sent("/api/create") == [
        {"model": "m", "files": {"a.gguf": digest(GGUF)}, "adapters": {"l.gguf": digest(LORA)}}
    ]


def test_a_file_named_twice_is_sent_once(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    (tmp_path / "b.gguf").write_bytes(GGUF)
    (tmp_path / "Modelfile").write_text("FROM .\n")
    cli("create", "m")
    assert [r.path for r in daemon.requests] == [f"/api/blobs/{digest(GGUF)}", "/api/create"]
    assert daemon.sent("/api/create")[0]["files"] == {"a.gguf": digest(GGUF), "b.gguf": digest(GGUF)}


def test_names_and_files_may_both_be_there(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    (tmp_path / "Modelfile").write_text("FROM one\nFROM two\nFROM ./a.gguf\n")
    cli("create", "m")
    assert daemon.sent("/api/create") == [{"model": "m", "from": "two", "files": {"a.gguf": digest(GGUF)}}]


def test_paths_start_at_the_modelfile(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.gguf").write_bytes(GGUF)
    (tmp_path / "sub" / "Other").write_text("FROM a.gguf\n")
    assert cli("create", "m", "-f", "sub/Other").code == 0
    assert daemon.sent("/api/create") == [{"model": "m", "files": {"a.gguf": digest(GGUF)}}]


def test_without_a_modelfile_the_folder_is_the_model(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    assert cli("create", "m").code == 0
    assert daemon.sent("/api/create") == [{"model": "m", "files": {"a.gguf": digest(GGUF)}}]


def test_a_dash_reads_standard_input(cli: Cli, daemon: Daemon) -> None:
    assert cli("create", "m", "-f", "-", stdin=b"FROM base\n").code == 0
    assert daemon.sent("/api/create") == [{"model": "m", "from": "base"}]


def test_deprecated_parameters_are_told_and_left_out(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM base\nPARAMETER mirostat 1\n")
    assert cli("create", "m").out == "warning: parameter mirostat is deprecated\n"
    assert daemon.sent("/api/create") == [{"model": "m", "from": "base"}]


def test_a_draft_is_a_file_of_its_own(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "d.gguf").write_bytes(LORA)
    (tmp_path / "Modelfile").write_text("FROM base\nDRAFT ./d.gguf\n")
    cli("create", "m", "--draft-quantize", "q8_0")
    assert daemon.sent("/api/create") == [
        {"model": "m", "draft_quantize": "q8_0", "from": "base", "draft_files": {"d.gguf": digest(LORA)}}
    ]


@pytest.mark.parametrize(
    ("modelfile", "words", "error"),
    [
        ("SYSTEM x\n", (), "no FROM line"),
        ("FROM base\nPARAMETER nope 1\n", (), "unknown parameter 'nope'"),
        ("FROM base\nPARAMETER num_ctx x\n", (), "invalid int value [x]"),
        ("FROM base\nADAPTER ./nope.gguf\n", (), "stat {cwd}/nope.gguf: no such file or directory"),
        ("FROM base\nDRAFT ./nope.gguf\n", (), "stat {cwd}/nope.gguf: no such file or directory"),
        (
            "FROM ./a.gguf\nDRAFT a.gguf\n",
            (),
            "DRAFT must not reference the same local path as FROM: {cwd}/a.gguf",
        ),
        ("FROM base\n", ("--draft-quantize", "q8_0"), "--draft-quantize requires a DRAFT model"),
        ("FROM ./empty\n", (), "no Modelfile or safetensors files found"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(
    cli: Cli, daemon: Daemon, tmp_path: Path, modelfile: str, words: tuple[str, ...], error: str
) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    (tmp_path / "empty").mkdir()
    (tmp_path / "Modelfile").write_text(modelfile)
    outcome = cli("create", "m", *words)
    assert (outcome.code, daemon.requests) == (1, [])
    assert outcome.err.splitlines()[-1] == "Error: " + error.format(cwd=tmp_path)


def test_a_bad_name_comes_first(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("NOPE\n")
    assert cli("create", "a b").err == "Error: invalid model name: a b\n"


def test_a_refused_upload_ends_the_command(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    daemon.says(f"/api/blobs/{digest(GGUF)}", {"error": "insufficient disk space"}, status=507)
    outcome = cli("create", "m")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "Error: insufficient disk space"
    assert daemon.sent("/api/create") == []


def test_a_refused_request_has_its_status_line(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM base\n")
    daemon.says("/api/create", {"error": "invalid model name"}, status=400)
    assert cli("create", "m").err.splitlines()[-1] == "Error: 400 Bad Request: invalid model name"


def test_an_unreadable_modelfile_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").mkdir()
    assert cli("create", "m").err == "Error: open Modelfile: is a directory\n"


def test_an_empty_file_is_uploaded(cli: Cli, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").write_bytes(b"")
    (tmp_path / "Modelfile").write_text("FROM ./empty.gguf\n")

    def stored(_: Request) -> Answer:
        return Answer(201)

    daemon.decides(f"/api/blobs/{digest(b'')}", stored)
    assert cli("create", "m").code == 0
    assert uploads(daemon) == {digest(b""): b""}
