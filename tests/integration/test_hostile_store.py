"""Names, digests, links and bodies made to reach beyond the store or to fill it: the daemon refuses and goes on.

What lies about itself inside of a file is in test_hostile.py.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.integration.daemon import MODELS, Daemon
from tests.unit.modelstore import ggufbytes
from tests.unit.modelstore.ggufbytes import ARRAY, STRING, U32, key, string, tensor

PRECIOUS = b"precious"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    running = Daemon(tmp_path_factory.mktemp("home"), {"LLAMAD_SPARE_RUNNER": "0", "OLLAMA_CONTEXT_LENGTH": "512"})
    running.add("bare", "bare.gguf")
    yield running
    assert running.stop() == 0


@pytest.fixture
def outside(daemon: Daemon) -> Iterator[Path]:
    """A file beside the models directory; it is the same after the test."""
    path = daemon.home / ".ollama" / "precious"
    path.write_bytes(PRECIOUS)
    yield path
    assert path.read_bytes() == PRECIOUS
    assert path.stat().st_mode & 0o777 == 0o644


def models(daemon: Daemon) -> Path:
    return daemon.home / ".ollama" / "models"


def contents(daemon: Daemon) -> dict[str, bytes]:
    root = daemon.home / ".ollama"
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    return {name: path.read_bytes() for name, path in files.items() if "/.llamad/" not in f"/{name}"}


def post(daemon: Daemon, path: str, body: Any, method: str = "POST") -> httpx.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return daemon.http.request(method, path, content=data)


def refusal(daemon: Daemon, answer: httpx.Response, *statuses: int) -> str:
    assert answer.status_code in (statuses or (400,)), (answer.status_code, answer.text[:300])
    assert str(daemon.home) not in answer.text, "no path of the server"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    return lines[-1]["error"]


def create(daemon: Daemon, **body: Any) -> httpx.Response:
    return post(daemon, "/api/create", {"model": "m", "stream": False, **body})


def upload(daemon: Daemon, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert daemon.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    return digest


# -- names ------------------------------------------------------------------------------------------------------------

NAMES = (
    "../../../../etc/passwd", "..", ".", "../bare", "a/../../b", "/etc/passwd", "//bare", "bare:../x", "bare:..",
    "..\\..\\x", "C:\\x", "a\0b", ".hidden", "-x", "~/x", "a b", "%2e%2e/x", "bare@sha256:00",
    "h/n/m/x:t", "x" * 81, "ｂａｒｅ", "bare٠:١²", "ba\u200bre", "http://127.0.0.1/../x",
    "x" * 1_000_000,
)  # fmt: skip
BROKEN = (b'"\xff\xfe"', rb'"\ud800"', rb'"a\udfff"', b'"\xed\xa0\x80"', rb'"\u0000"')
"""Texts in JSON that are none: bytes that are no UTF-8, halves of characters."""
PLACES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("POST", "/api/show", "model", {}),
    ("POST", "/api/copy", "source", {"destination": "copy"}),
    ("POST", "/api/copy", "destination", {"source": "bare"}),
    ("DELETE", "/api/delete", "model", {}),
    ("POST", "/api/create", "model", {"from": "bare", "stream": False}),
    ("POST", "/api/create", "from", {"model": "made", "stream": False}),
    ("POST", "/api/pull", "model", {"stream": False}),
    ("POST", "/api/push", "model", {"stream": False}),
    ("POST", "/api/generate", "model", {"prompt": "x"}),
    ("POST", "/api/chat", "model", {"messages": []}),
    ("POST", "/api/embed", "model", {"input": "x"}),
    ("POST", "/api/embeddings", "model", {"prompt": "x"}),
)


@pytest.mark.parametrize(("method", "path", "field", "rest"), PLACES, ids=[f"{p[1]}:{p[2]}" for p in PLACES])
def test_a_name_never_leads_out_of_the_store(
    daemon: Daemon, outside: Path, method: str, path: str, field: str, rest: dict[str, Any]
) -> None:
    before = contents(daemon)
    for name in NAMES:
        answer = post(daemon, path, {**rest, field: name}, method)
        assert refusal(daemon, answer, 400, 404, 500), name[:80]
    front = json.dumps(rest)[:-1].encode() + (b"," if rest else b"") + json.dumps(field).encode() + b":"
    for name in BROKEN:
        answer = post(daemon, path, front + name + b"}", method)
        assert refusal(daemon, answer, 400, 404, 500), name
    assert contents(daemon) == before
    assert not any((daemon.home / made).exists() for made in ("b", "x", "bare"))


# -- digests ----------------------------------------------------------------------------------------------------------

HEX = hashlib.sha256(PRECIOUS).hexdigest()
DIGESTS = (
    "..", "../precious", "..%2f..%2fprecious", "..%2F..%2F..%2Fetc%2Fpasswd", "sha256:..%2f..%2fprecious",
    f"sha256:{HEX[:63]}", f"sha256:{HEX}0", f"sha256:{HEX}%0a", f"sha256:{HEX}%00", f"SHA256:{HEX}", f"md5:{HEX}",
    HEX, f"sha256_{HEX}", f"sha256:{quote('٠' * 64)}", f"sha256:{quote('ａ' * 64)}", f"sha256:{'g' * 64}", "sha256:",
    f"sha256:{HEX}%2f..", f"%2e%2e%2fsha256:{HEX}",
)  # fmt: skip


@pytest.mark.parametrize("digest", DIGESTS)
def test_a_digest_in_a_path_is_one_or_nothing(daemon: Daemon, outside: Path, digest: str) -> None:
    before = contents(daemon)
    for method in ("HEAD", "POST"):
        answer = daemon.http.request(method, f"/api/blobs/{digest}", content=PRECIOUS, follow_redirects=False)
        assert answer.status_code in (301, 307, 400, 404, 405)
    assert contents(daemon) == before


def test_another_spelling_of_a_digest_stores_nothing(daemon: Daemon) -> None:
    before = contents(daemon)
    for digest in (f"sha256:{HEX.upper()}", f"sha256-{HEX}"):
        answer = daemon.http.post(f"/api/blobs/{digest}", content=PRECIOUS)
        assert refusal(daemon, answer) == f'digest mismatch, expected "{digest}", got "sha256:{HEX}"'
    assert contents(daemon) == before


# -- files in a request -----------------------------------------------------------------------------------------------

KEYS = (
    "../x.gguf", "a/../../x.gguf", "/x.gguf", "..", ".", "", "a//b.gguf", "./x.gguf", "x.gguf/", "C:\\x.gguf",
    "c:x.gguf", "..\\x.gguf", "x\0.gguf",
)  # fmt: skip


@pytest.mark.parametrize("field", ["files", "draft_files", "adapters"])
def test_the_name_of_a_file_stays_a_name(daemon: Daemon, outside: Path, field: str) -> None:
    digest = upload(daemon, (MODELS / "tinylora-f16.gguf").read_bytes())
    base = {} if field == "files" else {"from": "bare"}
    before = contents(daemon)
    for name in KEYS:
        words = refusal(daemon, create(daemon, **base, **{field: {name: digest}}))
        assert words.startswith("file path must be relative"), name
    for wrong in ("sha256:../../precious", "../../precious", f"sha256:{HEX[:63]}", f"sha256:{'٠' * 64}", "/etc/passwd"):
        assert refusal(daemon, create(daemon, **base, **{field: {"x.gguf": wrong}})) == "invalid digest format"
    assert contents(daemon) == before


# -- links and other things in the place of files ---------------------------------------------------------------------


def blob(daemon: Daemon, digest: str) -> Path:
    return models(daemon) / "blobs" / digest.replace(":", "-")


@pytest.mark.parametrize("kind", ["link", "link to a device", "pipe", "directory"])
def test_what_is_no_file_is_no_blob(daemon: Daemon, outside: Path, kind: str) -> None:
    content = f"instead of a {kind}".encode()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    path = blob(daemon, digest)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(outside if kind == "link" else "/dev/zero")
    assert daemon.http.head(f"/api/blobs/{digest}").status_code == 404
    assert refusal(daemon, create(daemon, files={"x.gguf": digest})) == f'blob "{digest}" not found'
    assert refusal(daemon, create(daemon, files={"x": digest})) == "unknown type"
    if kind != "directory":
        assert upload(daemon, content) == digest
        assert path.read_bytes() == content
        assert not path.is_symlink()
        path.unlink()
    else:
        path.rmdir()


def test_a_layer_that_became_a_link_is_neither_read_nor_deleted_through(daemon: Daemon, outside: Path) -> None:
    assert create(daemon, **{"from": "bare", "system": PRECIOUS.decode()}).status_code == 200
    path = blob(daemon, f"sha256:{HEX}")
    path.unlink()
    path.symlink_to(outside)
    os.utime(models(daemon) / "manifests/registry.ollama.ai/library/m/latest")
    assert PRECIOUS.decode() not in refusal(daemon, post(daemon, "/api/show", {"model": "m"}), 404, 500)
    assert "m:latest" not in daemon.http.get("/api/tags").text
    assert create(daemon, **{"from": "bare", "system": "another"}).status_code == 200
    assert not os.path.lexists(path) or path.is_symlink()
    assert post(daemon, "/api/delete", {"model": "m"}, "DELETE").status_code == 200


def test_weights_that_became_a_link_are_not_used(daemon: Daemon, tmp_path: Path) -> None:
    data = ggufbytes.llama(("general.name", STRING, "linked"))
    assert create(daemon, files={"w.gguf": upload(daemon, data)}).status_code == 200
    target = tmp_path / "weights.gguf"
    target.write_bytes(data)
    path = blob(daemon, f"sha256:{hashlib.sha256(data).hexdigest()}")
    path.unlink()
    path.symlink_to(target)
    assert refusal(daemon, post(daemon, "/api/create", {"model": "n", "from": "m", "stream": False}), 400, 404, 500)
    assert post(daemon, "/api/delete", {"model": "m"}, "DELETE").status_code == 200
    assert target.read_bytes() == data


def test_a_manifest_that_is_a_link_is_no_model(daemon: Daemon, outside: Path) -> None:
    path = models(daemon) / "manifests/registry.ollama.ai/library/linked/latest"
    path.parent.mkdir(parents=True)
    path.symlink_to(outside)
    assert "linked" not in daemon.http.get("/api/tags").text
    assert refusal(daemon, post(daemon, "/api/show", {"model": "linked"}), 404) == "model 'linked:latest' not found"
    assert refusal(daemon, post(daemon, "/api/copy", {"source": "linked", "destination": "m"}), 404)
    assert post(daemon, "/api/create", {"model": "linked", "from": "bare", "stream": False}).status_code == 200
    assert not path.is_symlink()
    assert post(daemon, "/api/delete", {"model": "linked"}, "DELETE").status_code == 200


# -- files that lie ---------------------------------------------------------------------------------------------------


def head(keys: bytes, count: int, tensors: bytes = b"", tensor_count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensor_count, count) + keys + tensors


LYING: dict[str, tuple[bytes, str]] = {
    "an array of 2^40": (
        head(string("k") + struct.pack("<IIQ", ARRAY, U32, 1 << 40), 1),
        "GGUF array size 1099511627776 exceeds maximum 67108864",
    ),
    "arrays in arrays": (head(string("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1), 1), "invalid array type: 9"),
    "a text of 2^63": (
        head(string("k") + struct.pack("<IQ", STRING, 1 << 63), 1),
        "GGUF string length 9223372036854775808 exceeds maximum 16777216",
    ),
    "a key twice": (head(key("k", U32, 1) * 2, 2), 'GGUF key "k" is there twice'),
    "tensors over each other": (
        ggufbytes.gguf([], [tensor("a", [64]), tensor("b", [64], offset=32)], 512),
        'tensors "a" and "b" overlap',
    ),
    "data beyond the file": (
        ggufbytes.gguf([], [tensor("a", [1 << 40])], 64),
        'tensor "a" offset+size (4398046511168) exceeds file size (128)',
    ),
    "an offset of 2^63": (
        ggufbytes.gguf([], [tensor("a", [8], offset=(1 << 63) - 32)], 64),
        'tensor "a" offset+size overflows',
    ),
    "an odd alignment": (ggufbytes.gguf([("general.alignment", U32, 3)]), "invalid GGUF alignment: 3"),
    "a split of four billion": (
        ggufbytes.gguf([("split.count", U32, (1 << 32) - 1), ("split.no", U32, 0)]),
        "",
    ),
}


@pytest.mark.parametrize("field", ["files", "draft_files", "adapters"])
@pytest.mark.parametrize("kind", LYING)
def test_a_file_that_lies_becomes_no_model(daemon: Daemon, kind: str, field: str) -> None:
    data, reason = LYING[kind]
    digest = upload(daemon, data)
    base = {} if field == "files" else {"from": "bare"}
    before = contents(daemon)
    words = refusal(daemon, create(daemon, **base, **{field: {"x.gguf": digest}}))
    expected = f'"x.gguf" cannot be used: {reason}'
    assert words == (expected if reason else 'split GGUF "x.gguf" must use llama.cpp split filename pattern')
    assert contents(daemon) == before


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"system": "x" * (64 << 20)}, "system of 67108864 bytes exceeds maximum 16777216"),
        ({"license": ["x"] * 10_000}, "the model would have 10001 layers, more than 10000"),
    ],
    ids=["64 MB of system text", "ten thousand licences"],
)
def test_a_model_that_could_not_be_read_again_is_not_made(daemon: Daemon, body: dict[str, Any], words: str) -> None:
    before = contents(daemon)
    assert refusal(daemon, create(daemon, **{"from": "bare"}, **body)) == words
    assert contents(daemon) == before


def test_ten_thousand_messages_and_parameters_are_taken_and_shown(daemon: Daemon) -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(10_000)]
    parameters = {f"unknown{number}": number for number in range(10_000)}
    answer = create(daemon, **{"from": "bare", "messages": messages, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    model = post(daemon, "/api/show", {"model": "m"}).json()
    assert len(model["messages"]) == 10_000
    assert len(model["parameters"].splitlines()) == 10_000


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (b'{"temperature":NaN}', "invalid character 'N' looking for beginning of value"),
        (b'{"temperature":-Infinity}', "invalid character 'I' in numeric literal"),
        (
            b'{"temperature":1e999}',
            "json: cannot unmarshal number 1e999 into Go struct field CreateRequest.parameters of type float64",
        ),
        (b'{"x":' + nested(9_000) + b"}", "parameters are nested too deeply"),
        (b'{"x":' + nested(200_000) + b"}", "invalid character '[' exceeded max depth"),
    ],
    ids=["NaN", "Infinity", "1e999", "nested", "nested too deeply for JSON"],
)
def test_parameters_that_json_cannot_hold(daemon: Daemon, parameters: bytes, words: str) -> None:
    answer = post(daemon, "/api/create", b'{"model":"m","from":"bare","stream":false,"parameters":' + parameters + b"}")
    assert refusal(daemon, answer) == words


def test_a_number_of_any_size_is_kept_as_json_has_it(daemon: Daemon) -> None:
    body = b'{"model":"m","from":"bare","stream":false,"parameters":{"top_k":1' + b"0" * 300 + b',"min_p":1e-400}}'
    assert post(daemon, "/api/create", body).status_code == 200
    shown = post(daemon, "/api/show", {"model": "m"}).json()["parameters"]
    assert shown.split() == ["min_p", "0", "top_k", "1e+300"]


# -- templates --------------------------------------------------------------------------------------------------------

EXPLODING = {
    "loops in loops": "{{range .Messages}}" + "{{range $.Messages}}" * 7 + "x" + "{{end}}" * 8,
    "wide numbers": "{{range .Messages}}" + '{{printf "%1000000d" 1}}' * 3 + "{{end}}",
    "calls without end": '{{define "a"}}{{template "a" .}}{{template "a" .}}{{end}}{{template "a" .}}{{.Messages}}',
    "doubled texts": "{{$x := printf `%s` .Messages}}"
    + "".join('{{$x = printf "%s%s%s%s" $x $x $x $x}}' for _ in range(40))
    + "{{$x}}",
}


@pytest.mark.parametrize("kind", EXPLODING)
def test_a_template_that_explodes_is_stopped(daemon: Daemon, kind: str) -> None:
    made = create(daemon, **{"from": "bare", "template": EXPLODING[kind]})
    if made.status_code != 200:
        assert refusal(daemon, made).startswith("template error: ")
        return
    messages = [{"role": ("user", "assistant")[number % 2], "content": "x"} for number in range(40)]
    answer = post(daemon, "/api/chat", {"model": "m", "messages": messages, "stream": False})
    assert "template" in refusal(daemon, answer, 400, 500)
    assert daemon.http.get("/api/version").status_code == 200
