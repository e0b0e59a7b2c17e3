"""Real weights, quantised by the engine in a process of its own: every type, odd files, the daemon, and hanging up."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from modelstore.digest import Digest
from modelstore.gguf import Header, read_header
from modelstore.quantize import quantized
from modelstore.quantize.errors import QuantizeFailed
from modelstore.quantize.types import SUPPORTED, file_type
from tests.integration.daemon import MODELS, ROOT, Daemon
from tests.integration.gguffile import File, Tensor
from tests.unit.modelstore.ggufbytes import STRING, U32

SOURCE = MODELS / "tinychat-f16.gguf"
F32, F16 = 0, 1
EXPECTED: dict[str, tuple[str, str, str]] = {
    **{name: (name, name, name) for name in ("F32", "BF16", "Q8_0", "Q6_K")},
    **{name: (name, "Q6_K", name) for name in ("Q5_0", "Q5_1", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS", "IQ3_S")},
    "F16": ("F16", "F16", "F16"),
    "Q5_K_S": ("Q5_K", "Q6_K", "Q5_K"),
    "Q5_K_M": ("Q5_K", "Q6_K", "Q6_K"),
    "Q4_K_S": ("Q4_K", "Q6_K", "Q5_K"),
    "Q4_K_M": ("Q4_K", "Q6_K", "Q6_K"),
    "Q3_K_S": ("Q3_K", "Q6_K", "Q3_K"),
    "Q3_K_M": ("Q3_K", "Q6_K", "Q5_K"),
    "Q3_K_L": ("Q3_K", "Q6_K", "Q5_K"),
    "Q2_K": ("Q2_K", "Q6_K", "Q3_K"),
    "IQ3_M": ("IQ3_S", "Q6_K", "Q4_K"),
}
"""Of most matrices, of the embedding (which is the output too), and of the first block's `attn_v`."""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with its first block only."""
    file = File.read(SOURCE).set("llama.block_count", U32, 1)
    file.tensors = [one for one in file.tensors if not one.name.startswith("blk.") or one.name.startswith("blk.0.")]
    path = tmp_path_factory.mktemp("short") / "m.gguf"
    path.write_bytes(file.build())
    return path


@contextmanager
def made(work: Path, target: str, *sources: Path) -> Generator[Header]:
    """The header of the result; afterwards nothing is left."""
    told: list[float] = []
    with quantized([read_header(source) for source in sources], target, work, told.append) as path:
        yield read_header(path)
    assert list(work.iterdir()) == []
    assert told == sorted(told)
    assert told[0] == 0.0
    assert told[-1] == 1.0


def types(header: Header) -> dict[str, str]:
    return {tensor.name: tensor.type for tensor in header.tensors}


@pytest.mark.parametrize("target", SUPPORTED)
def test_every_type_is_made(target: str, short: Path, tmp_path: Path) -> None:
    bulk, embedding, value = EXPECTED[target]
    with made(tmp_path, target, short) as header:
        found = types(header)
        assert header.kv["general.file_type"] == file_type(target)
        assert found["token_embd.weight"] == embedding
        assert found["blk.0.attn_v.weight"] == value
        assert found["blk.0.ffn_up.weight"] == found["blk.0.attn_q.weight"] == bulk
        assert found["output_norm.weight"] == "F32"
        assert header.parameter_count == read_header(short).parameter_count


def test_the_result_is_what_the_engines_own_program_makes(tmp_path: Path) -> None:
    with made(tmp_path, "Q8_0", SOURCE) as header:
        assert header.path.read_bytes() == (MODELS / "tinychat-q8_0.gguf").read_bytes()


def test_rows_that_are_no_whole_blocks_get_a_type_that_fits(tmp_path: Path) -> None:
    """32 wide, so nothing of 256; F32 that is told by the matrices only."""
    with made(tmp_path, "Q4_K_M", MODELS / "bare.gguf") as header:
        found = types(header)
    assert found["output.weight"] == "Q8_0"
    assert found["blk.0.ffn_up.weight"] == found["token_embd.weight"] == "Q5_0"


@pytest.mark.parametrize("target", ["Q4_K_M", "BF16"])
def test_what_sees_and_hears_keeps_its_type(target: str, short: Path, tmp_path: Path) -> None:
    file = File.read(short)
    data = file.tensor("blk.0.attn_q.weight").data
    for name in ("v.blk.0.attn_v.weight", "mm.0.weight", "a.0.weight", "s.0.weight", "mtp.0.weight"):
        file.tensors.append(Tensor(name, (256, 256), F16, data))
    file.tensors.append(Tensor("v.pos", (256, 128), F32, data))
    (tmp_path / "m.gguf").write_bytes(file.build())
    with made(tmp_path / "work", target, tmp_path / "m.gguf") as header:
        found = types(header)
        kept = next(tensor for tensor in header.tensors if tensor.name == "v.blk.0.attn_v.weight")
        start = header.data_start + kept.offset
        assert header.path.read_bytes()[start : start + kept.bytes] == data
    assert found.pop("v.pos") == "F32"
    assert {kind for name, kind in found.items() if name.startswith(("v.", "mm.", "a.", "s.", "mtp."))} == {"F16"}
    assert found["blk.0.attn_q.weight"] == ("Q4_K" if target == "Q4_K_M" else "BF16")
    assert header.kv["general.file_type"] == file_type(target)


def test_shards_become_the_file_that_the_whole_becomes(short: Path, tmp_path: Path) -> None:
    shards: list[Path] = []
    for number, data in enumerate(File.read(short).shards(3)):
        shards.append(tmp_path / f"sha256-{number}")
        shards[-1].write_bytes(data)
    with made(tmp_path / "work", "Q4_0", short) as header:
        whole = Digest.of_file(header.path)
    with made(tmp_path / "work", "Q4_0", *shards) as header:
        assert header.split is None
        assert Digest.of_file(header.path) == whole


def test_wider_gaps_in_the_source_do_no_harm(tmp_path: Path, short: Path) -> None:
    file = File.read(short).set("general.alignment", U32, 64)
    file.tensors = [one for one in file.tensors if len(one.data) % 64 == 0]
    front, keys, listed, data = file.sections()
    head = front + keys + listed
    (tmp_path / "m.gguf").write_bytes(head + bytes(-len(head) % 64) + data)
    with made(tmp_path / "work", "Q8_0", tmp_path / "m.gguf") as header:
        assert (header.alignment, header.file_type) == (32, "Q8_0")


def bad(path: Path, short: Path, fault: str) -> Path:
    file = File.read(short)
    match fault:
        case "architecture":
            file.set("general.architecture", STRING, "xx")
        case "key":
            file.drop("llama.block_count")
        case "values":
            tensor = file.tensor("blk.0.attn_q.weight")
            tensor.data = b"\xff\x7f" * (len(tensor.data) // 2)
        case _:
            path.write_bytes(file.shards(3)[0])
            return path
    path.write_bytes(file.build())
    return path


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("architecture", "unknown model architecture: 'xx'"),
        ("key", "key not found in model: llama.block_count"),
        ("values", "tensor 'blk.0.attn_q.weight' has invalid data"),
        ("shard", "model-00002-of-00003.gguf"),
    ],
)
def test_weights_that_the_engine_refuses(fault: str, words: str, short: Path, tmp_path: Path) -> None:
    source = bad(tmp_path / "blob", short, fault)
    with pytest.raises(QuantizeFailed) as caught, made(tmp_path / "work", "Q4_K_M", source):
        pass
    assert words in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert list((tmp_path / "work").iterdir()) == []


def test_weights_that_shrink_meanwhile_do_no_harm(tmp_path: Path, short: Path) -> None:
    """The engine maps the file: what is missing kills its process, and only that."""
    source = tmp_path / "blob"
    source.write_bytes(short.read_bytes())
    header = read_header(source)
    os.truncate(source, header.size - 1000)
    with pytest.raises(QuantizeFailed), quantized([header], "Q8_0", tmp_path / "work", lambda _share: None):
        pass
    assert list((tmp_path / "work").iterdir()) == []


# -- through the daemon -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeded(daemon: Daemon) -> Daemon:
    daemon.add("base", "tinychat-f16.gguf")
    return daemon


def models(daemon: Daemon) -> Path:
    return daemon.home / ".ollama" / "models"


def lying(daemon: Daemon) -> list[Path]:
    """All files, and all directories but those that stay once they are there."""
    return [path for path in sorted(models(daemon).rglob("*")) if path.name not in (".llamad", "work", "lock")]


def workers(daemon: Daemon) -> list[psutil.Process]:
    children = psutil.Process(daemon.process.pid).children()
    return [child for child in children if "modelstore.quantize" in child.cmdline()]


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize(("asked", "level"), [("q4_k", "Q4_K_M"), ("F32", "F32"), ("q2_K", "Q2_K")])
def test_a_quantised_model_is_shown_right_and_chats(seeded: Daemon, asked: str, level: str) -> None:
    lines = events(seeded.http.post("/api/create", json={"model": "m", "from": "base", "quantize": asked}))
    steps = [line for line in lines if "digest" in line]
    assert {line["status"] for line in steps} == {f"quantizing F16 model to {asked.upper()}"}
    assert {(line["digest"], line["total"]) for line in steps} == {("0" * 19, SOURCE.stat().st_size)}
    assert steps[-1]["completed"] == SOURCE.stat().st_size
    rest = [line["status"] for line in lines if line not in steps]
    assert rest[0] == "verifying conversion"
    assert rest[1].startswith("creating new layer sha256:")
    assert rest[-2:] == ["writing manifest", "success"]
    shown = seeded.http.post("/api/show", json={"model": "m"}).json()
    assert (shown["details"]["quantization_level"], shown["details"]["parameter_size"]) == (level, "3.61M")
    assert shown["model_info"]["general.file_type"] == file_type(level)
    chat = {"model": "m", "messages": [{"role": "user", "content": "What is the capital of France?"}], "stream": False}
    answer = seeded.http.post("/api/chat", json={**chat, "options": {"num_predict": 8, "temperature": 0}}).json()
    assert answer["eval_count"] > 1
    assert answer["message"]["content"] or answer["message"].get("thinking")
    seeded.http.request("DELETE", "/api/delete", json={"model": "m"})
    assert list((models(seeded) / ".llamad" / "work").iterdir()) == []


def test_the_daemon_has_no_engine_in_it(seeded: Daemon) -> None:
    assert "libllama" not in Path(f"/proc/{seeded.process.pid}/maps").read_text()


def test_a_refusal_of_the_engine_has_a_status_of_its_own(seeded: Daemon) -> None:
    data = File.read(MODELS / "bare.gguf").set("general.architecture", STRING, "xx").build()
    digest = str(Digest.of(data))
    assert seeded.http.post(f"/api/blobs/{digest}", content=data).status_code == 201
    seeded.http.post("/api/create", json={"model": "odd", "files": {"m.gguf": digest}})
    answer = seeded.http.post("/api/create", json={"model": "m", "from": "odd", "quantize": "q8_0"})
    words = "quantization failed: unknown model architecture: 'xx'"
    assert (answer.status_code, answer.json()) == (500, {"error": words})


def test_the_command_line_quantises(seeded: Daemon, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text(f"FROM {MODELS / 'bare.gguf'}\n")
    environment = {**os.environ, "OLLAMA_HOST": seeded.address, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "server", "create", "small", "-q", "q5_K_M"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "quantizing F32 model to Q5_K_M" in ran.stderr
    assert "success" in ran.stderr
    shown = seeded.http.post("/api/show", json={"model": "small"}).json()
    assert shown["details"]["quantization_level"] == "Q5_K_M"


TRIES = 20
"""A worker may be done before we find it; then nothing was interrupted, and we try again."""


def test_hanging_up_leaves_nothing(seeded: Daemon) -> None:
    before = lying(seeded)
    assert any(hung_up_in_time(seeded) for _ in range(TRIES))
    tick = threading.Event()
    while lying(seeded) != before:
        tick.wait(0.01)


def hung_up_in_time(daemon: Daemon) -> bool:
    """Whether there is no model, because its worker was at work when we hung up, and ended."""
    body = {"model": "m", "from": "base", "quantize": "IQ3_S"}
    with daemon.http.stream("POST", "/api/create", json=body) as answer:
        assert "quantizing" in next(answer.iter_lines())
        found = workers(daemon)
        for worker in found:
            with suppress(psutil.NoSuchProcess):
                worker.suspend()  # it shall not be done before we have hung up
    assert psutil.wait_procs(found, timeout=30)[1] == []
    missing = daemon.http.post("/api/show", json={"model": "m"}).status_code == 404
    if not missing:
        daemon.http.request("DELETE", "/api/delete", json={"model": "m"})
    return bool(found) and missing


def test_when_the_daemon_dies_the_worker_cleans_up(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.add("base", "tinychat-f16.gguf")
    before = lying(daemon)
    found = next(filter(None, (killed_at_work(daemon) for _ in range(TRIES))))
    assert psutil.wait_procs(found, timeout=30)[1] == []
    daemon.stop()
    assert lying(daemon) == before


def killed_at_work(daemon: Daemon) -> list[psutil.Process]:
    """The worker that was there when the daemon was killed; none, and the daemon lives, where it was done already."""
    body = {"model": "m", "from": "base", "quantize": "IQ3_S"}
    with daemon.http.stream("POST", "/api/create", json=body) as answer:
        lines = answer.iter_lines()
        assert "quantizing" in next(lines)
        if found := workers(daemon):
            daemon.process.kill()
            with pytest.raises(httpx.HTTPError):
                list(lines)
            return found
        list(lines)
    daemon.http.request("DELETE", "/api/delete", json={"model": "m"})
    return []
