"""`run` with a file: when a word is one, how its model is called, what is imported."""

import errno
import hashlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.names import Name
from server.cli import files, remembered, weights
from server.cli.errors import BadInput
from server.cli.weights import name_for, shards
from tests.unit.server.cli.conftest import Cli
from tests.unit.server.cli.daemon import Answer, Daemon, Request


def gguf(**texts: str) -> bytes:
    """A header with these texts under `general.…`."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    keys = b"".join(string(f"general.{key}") + struct.pack("<I", 8) + string(value) for key, value in texts.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(texts)) + keys + b"\x00" * 64


WEIGHTS = gguf(architecture="llama")


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Shop:
    """A daemon with models: name → digests of weights."""

    def __init__(self, daemon: Daemon) -> None:
        self.models: dict[str, list[str]] = {}
        self.daemon = daemon
        daemon.decides("/api/show", self._show)
        daemon.decides("/api/create", self._create)
        daemon.streams("/api/generate", {"response": "Hello"}, {"response": "", "done": True})
        daemon.says("/api/pull", {"error": "file does not exist"}, status=500)

    def expects(self, *contents: bytes) -> None:
        for content in contents:
            self.daemon.decides(f"/api/blobs/{digest(content)}", lambda _: Answer(201))

    def _show(self, request: Request) -> Answer:
        name = request.json["model"]
        digests = self.models.get(name if ":" in name else f"{name}:latest")
        if digests is None:
            return Answer(404, b'{"error":"not found"}')
        lines = "".join(f"FROM /models/blobs/{each.replace(':', '-')}\\n" for each in digests)
        return Answer(200, b'{"modelfile":"%s","capabilities":["completion"]}' % lines.encode())

    def _create(self, request: Request) -> Answer:
        self.models[request.json["model"]] = list(request.json["files"].values())
        return Answer(200, b'{"status":"success"}\n')


@pytest.fixture
def shop(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Shop(daemon)


def paths(daemon: Daemon) -> list[str]:
    return [request.path for request in daemon.requests]


@pytest.mark.parametrize("word", ["./Tiny-Q8_0.gguf", "{cwd}/Tiny-Q8_0.gguf", "Tiny-Q8_0.gguf", "~/Tiny-Q8_0.gguf"])
def test_a_file_is_imported_and_asked(
    cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    word = word.format(cwd=tmp_path)
    (tmp_path / "Tiny-Q8_0.gguf").write_bytes(WEIGHTS)
    shop.expects(WEIGHTS)
    outcome = cli("run", word, "hi")
    assert (outcome.code, outcome.out) == (0, "Hello\n\n")
    assert outcome.err.splitlines() == [
        f"using {word} as tiny:q8_0",
        f"copying file {digest(WEIGHTS)} 100%",
        "success",
    ]
    assert daemon.sent("/api/create") == [{"model": "tiny:q8_0", "files": {"Tiny-Q8_0.gguf": digest(WEIGHTS)}}]
    assert daemon.sent("/api/generate")[0]["model"] == "tiny:q8_0"


def test_the_second_time_nothing_is_imported(cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path) -> None:
    """Nor if the model has got more than these weights since."""
    (tmp_path / "x.gguf").write_bytes(WEIGHTS)
    shop.models["x:latest"] = [digest(WEIGHTS), digest(b"projector")]
    outcome = cli("run", "./x.gguf", "hi")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello\n\n", "using ./x.gguf as x:latest\n")
    assert paths(daemon) == ["/api/show", "/api/show", "/api/generate"]


def test_nor_is_the_file_read_again(cli: Cli, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def digests(paths: Iterable[Path]) -> dict[Path, str]:
        wanted = list(paths)
        read.extend(wanted)
        return {path: digest(path.read_bytes()) for path in wanted}

    monkeypatch.setattr(files, "digests", digests)
    monkeypatch.setattr(remembered, "RECENT", -1)
    (tmp_path / "x.gguf").write_bytes(WEIGHTS)
    shop.expects(WEIGHTS)
    for _ in range(3):
        assert cli("run", "./x.gguf", "hi").code == 0
    assert read == [tmp_path / "x.gguf"]


def test_other_weights_of_that_name_stay(cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "my x.gguf").write_bytes(WEIGHTS)
    shop.models["my-x:latest"] = [digest(b"other")]
    outcome = cli("run", "./my x.gguf", "hi")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == (
        "Error: a model my-x:latest with other weights is there; to choose another name: "
        "echo 'FROM ./my x.gguf' | ollama create NAME -f -"
    )
    assert paths(daemon) == ["/api/show"]


def test_a_name_that_a_model_has_is_no_file(cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(WEIGHTS)
    shop.models["x.gguf:latest"] = [digest(b"other")]
    assert cli("run", "x.gguf", "hi").err == ""
    assert daemon.sent("/api/generate")[0]["model"] == "x.gguf"


@pytest.mark.parametrize("word", ["llama", "x.gguf", "text.gguf", "sub/x.gguf"])
def test_anything_else_is_a_name(cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path, word: str) -> None:
    (tmp_path / "llama").write_bytes(WEIGHTS)
    (tmp_path / "text.gguf").write_bytes(b"text")
    assert cli("run", word, "hi").err.splitlines()[-1] == "Error: 500 Internal Server Error: file does not exist"
    assert daemon.sent("/api/pull") == [{"model": word}]


def test_all_shards_are_taken(cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path) -> None:
    contents = {f"big-Q4_K_M-0000{number}-of-00003.gguf": WEIGHTS + bytes([number]) for number in (1, 2, 3)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    shop.expects(*contents.values())
    assert cli("run", "./big-Q4_K_M-00001-of-00003.gguf", "hi").code == 0
    assert daemon.sent("/api/create") == [
        {"model": "big:q4_k_m", "files": {name: digest(content) for name, content in contents.items()}}
    ]


def test_a_missing_shard_is_named(cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "big-00001-of-00002.gguf").write_bytes(WEIGHTS)
    error = cli("run", "./big-00001-of-00002.gguf", "hi").err.splitlines()[-1]
    assert error == "Error: big-00002-of-00002.gguf is missing: the model has 2 files"
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("./none.gguf", "open {cwd}/none.gguf: no such file or directory"),
        ("./folder", "./folder is a directory: name a .gguf file in it, or use a Modelfile"),
        (".", ". is a directory: name a .gguf file in it, or use a Modelfile"),
        ("./empty.gguf", "./empty.gguf is empty"),
        ("./text.gguf", "./text.gguf is not a GGUF file"),
        ("./cut.gguf", "./cut.gguf cannot be used: "),
        ("./lora.gguf", "./lora.gguf is an adapter: use a Modelfile with FROM and ADAPTER"),
        (
            "./mmproj.gguf",
            "./mmproj.gguf is a projector: use a Modelfile with a FROM line for the model and one for it",
        ),
        ("/dev/null", "/dev/null is not a regular file"),
        ("~no-such-user/x.gguf", "failed to find user 'no-such-user': "),
    ],
)
def test_what_cannot_be_run_is_named_and_sends_nothing(
    cli: Cli, shop: Shop, daemon: Daemon, tmp_path: Path, word: str, error: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "text.gguf").write_bytes(b"text")
    (tmp_path / "cut.gguf").write_bytes(WEIGHTS[:30])
    (tmp_path / "lora.gguf").write_bytes(gguf(architecture="llama", type="adapter"))
    (tmp_path / "mmproj.gguf").write_bytes(gguf(architecture="clip"))
    outcome = cli("run", word, "hi")
    assert outcome.code == 1
    assert outcome.err.startswith("Error: " + error.format(cwd=tmp_path))
    assert daemon.requests == []


def test_an_unreadable_file_is_named(cli: Cli, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(weights, "has_magic", refused)
    (tmp_path / "x.gguf").write_bytes(WEIGHTS)
    assert cli("run", "./x.gguf", "hi").err == f"Error: open {tmp_path}/x.gguf: permission denied\n"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "qwen2.5-0.5b-instruct:q4_k_m"),
        ("llama-3.2-1b-instruct.Q8_0.gguf", "llama-3.2-1b-instruct:q8_0"),
        ("gemma-3-4b-it-UD-Q4_K_XL.gguf", "gemma-3-4b-it:ud-q4_k_xl"),
        ("Model.i1-IQ3_XXS.gguf", "model:i1-iq3_xxs"),
        ("gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b:mxfp4"),
        ("tinychat-f16.gguf", "tinychat:f16"),
        ("x-BF16-00002-of-00004.gguf", "x:bf16"),
        ("Q8_0.gguf", "q8_0:latest"),
        ("-Q8_0.gguf", "q8_0:latest"),
        ("Mein Modell (neu).GGUF", "mein-modell-neu:latest"),
        ("модель.gguf", "model:latest"),
        (".gguf", "model:latest"),
        ("a" * 100 + ".gguf", "a" * 80 + ":latest"),
        ("weights", "weights:latest"),
    ],
)
def test_names_come_from_the_file(file: str, name: str) -> None:
    assert name_for(Path(file)).short == name


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120))
def test_every_file_has_a_name(stem: str) -> None:
    assert isinstance(name_for(Path(f"{stem}.gguf")), Name)


def test_any_shard_stands_for_all(tmp_path: Path) -> None:
    files = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    for file in files:
        file.touch()
    assert shards(files[1]) == files
    assert shards(tmp_path / "m.gguf") == [tmp_path / "m.gguf"]
    with pytest.raises(BadInput):
        shards(tmp_path / "n-00001-of-00001.gguf")
