"""Loading on real files: cut in shards, mapped or locked, with adapters, broken off, killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler import frames
from scheduler.environment import NO_GPUS
from scheduler.errors import LoadFailed, LoadStalled
from scheduler.process import RunnerProcess, State
from tests.integration.gguffile import File
from tests.integration.runner import EXPECTED, MODELS, ROOT, Process, Runner, load
from tests.unit.modelstore.ggufbytes import STRING
from tests.unit.scheduler.fakes import FakeClock, until

CHAT = "tinychat-f16.gguf"
LORA = str(MODELS / "tinylora-f16.gguf")
HELLO: dict[str, Any] = EXPECTED[CHAT]["chat"][0]
PIRATE: dict[str, Any] = EXPECTED[f"{CHAT} + tinylora-f16.gguf"]["chat"][0]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into procfs")


def answer(frame: frames.Load) -> str:
    """What a model loaded like this answers to the first of the expected prompts."""
    runner = Runner(frame)
    assert isinstance(runner.loaded, frames.Loaded), runner.loaded
    text = runner.say(HELLO["prompt"])
    runner.close()
    return text.strip()


def refusal(frame: frames.Load) -> frames.LoadFailed:
    runner = Runner(frame)
    assert isinstance(runner.loaded, frames.LoadFailed)
    assert runner.process.wait() == 1
    runner.close()
    return runner.loaded


# -- the vocabulary -----------------------------------------------------------------------------------------------

_COMPARE = """
import json, sys
from scheduler.runner.engine import EngineLog, Model, ModelParams
found = {}
for path in sys.argv[1:]:
    log = EngineLog()
    model = Model(ModelParams([path], num_gpu=0), log, lambda _: None)
    vocabulary = model.vocabulary
    ends = [t for t in range(vocabulary.size) if vocabulary._lib.llama_vocab_is_eog(vocabulary.pointer, t)]
    found[path] = (log.end_tokens is not None, sorted(vocabulary.end_tokens), ends)
print(json.dumps(found))
"""


def test_end_tokens_read_from_the_log_are_those_the_engine_knows() -> None:
    """Asking for each token would take longer than loading a small model."""
    files = [path for path in sorted(MODELS.rglob("*.gguf")) if not {"lora", "mmproj"} & set(path.stem.split("-"))]
    files = [path for path in files if "tinylora" not in path.stem and "media" not in path.parts]
    done = subprocess.run(
        [sys.executable, "-c", _COMPARE, *map(str, files)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = json.loads(done.stdout)
    assert len(found) == len(files) >= 4
    for path, (logged, ours, theirs) in found.items():
        assert logged, path
        assert ours == theirs, path


def test_marks_of_a_gap_to_be_filled_come_from_the_vocabulary() -> None:
    for name, marks in ((CHAT, ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")), ("bare.gguf", None)):
        runner = Runner(load(name))
        assert isinstance(runner.loaded, frames.Loaded)
        assert runner.loaded.fill_in == marks
        runner.close()


def test_the_log_has_nothing_of_what_is_asked_and_answered(tmp_path: Path) -> None:
    word = "zyzzyva"
    schema = json.dumps({"type": "object", "properties": {word: {"enum": [f"{word} weevil"]}}, "required": [word]})
    requests = [
        frames.Generate(1, f"{word} " * 10, num_predict=8),
        frames.Generate(2, f"{word} " * 200, num_predict=8),
        frames.Generate(3, word, num_predict=120, stop=[word]),
        frames.Generate(4, word, num_predict=16, constraint=frames.Constraint("json_schema", schema)),
        frames.Generate(5, word, constraint=frames.Constraint("json_schema", f'{{"type": "{word}"}}')),
        frames.Generate(6, f"{word} " * 200, truncate=False),
        frames.Generate(7, word, images=[word.encode()]),
    ]
    with (tmp_path / "log").open("wb") as log:
        runner = Runner(load(CHAT, num_ctx=64), log=log.fileno())
        assert len(runner.run(*requests).ends) == len(requests)
        runner.close()
    text = (tmp_path / "log").read_text()
    assert "llama_model_loader" in text
    assert word not in text


# -- files --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"sha256-{number}" for number in range(3)]
    for path, data in zip(paths, File.read(MODELS / CHAT).shards(3), strict=True):
        path.write_bytes(data)
    return list(map(str, paths))


def cut(paths: list[str], **changes: Any) -> frames.Load:
    return frames.Load(weights=paths, num_ctx=512, parallel=1, num_batch=512, num_thread=1, **changes)


@pytest.mark.parametrize("use_mmap", [None, False])
def test_shards_are_one_model(shards: list[str], use_mmap: bool | None) -> None:
    """Whatever their files are called: in a store they have the names of their digests."""
    assert answer(cut(shards, use_mmap=use_mmap)) == HELLO["text"]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ((1, 0, 2), "must be loaded with the first split"),
        ((0, 1), "given: 2 splits, but expected 3"),
        ((0, 1, 1), "invalid split file idx: 1"),
        ((0, 1, 2, 0), "given: 4 splits, but expected 3"),
    ],
)
def test_shards_that_are_no_model(shards: list[str], order: tuple[int, ...], text: str) -> None:
    failed = refusal(cut([shards[number] for number in order]))
    assert text in failed.message
    assert failed.unsupported
    assert str(Path(shards[0]).parent) not in failed.message


def mapped(pid: int, file: str) -> bool:
    return file in Path(f"/proc/{pid}/maps").read_text()


def locked(pid: int) -> int:
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmLck:"))
    return int(line.split()[1]) * 1024


@linux
@pytest.mark.parametrize(("use_mmap", "expected"), [(None, True), (True, True), (False, False)])
def test_weights_are_mapped_unless_told_otherwise(use_mmap: bool | None, expected: bool) -> None:
    runner = Runner(load(CHAT, use_mmap=use_mmap, num_gpu=0))
    assert mapped(runner.process.pid, CHAT) is expected
    assert runner.say(HELLO["prompt"]).strip() == HELLO["text"]
    runner.close()


@linux
@pytest.mark.parametrize("use_mmap", [None, False])
def test_locked_weights_stay_in_memory(use_mmap: bool | None) -> None:
    """A small file: not every user may lock much."""
    size = (MODELS / "bare.gguf").stat().st_size
    runner = Runner(load("bare.gguf", use_mlock=True, use_mmap=use_mmap))
    assert locked(runner.process.pid) > size // 2
    runner.close()
    runner = Runner(load("bare.gguf", use_mmap=use_mmap))
    assert locked(runner.process.pid) == 0
    runner.close()


# -- adapters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scales", "expected"),
    [((0.0,), HELLO), ((1.0,), PIRATE), ((0.5, 0.5), PIRATE), ((0.25, 0.0, 0.75), PIRATE), ((1.0, -1.0), HELLO)],
)
def test_adapters_act_as_strongly_as_they_are_scaled(scales: tuple[float, ...], expected: dict[str, Any]) -> None:
    assert answer(load(CHAT, adapters=[(LORA, scale) for scale in scales])) == expected["text"]


@pytest.mark.parametrize("use_mmap", [True, False])
def test_an_adapter_on_weights_that_are_mapped_and_that_are_not(use_mmap: bool) -> None:
    assert answer(load(CHAT, adapters=[(LORA, 1.0)], use_mmap=use_mmap)) == PIRATE["text"]


@pytest.mark.parametrize(
    ("model", "adapter", "text"),
    [
        ("bare.gguf", LORA, "maybe wrong base model?"),
        ("tinyembed-random-f16.gguf", LORA, "model arch and LoRA arch mismatch"),
        (CHAT, str(MODELS / CHAT), "expect general.type to be 'adapter'"),
        (CHAT, str(MODELS / "tinyvision-mmproj-f16.gguf"), "expect general.type to be 'adapter', but got: mmproj"),
    ],
)
def test_an_adapter_for_something_else(model: str, adapter: str, text: str) -> None:
    failed = refusal(load(model, adapters=[(adapter, 1.0)], embedding="embed" in model))
    assert text in failed.message
    assert failed.unsupported


def broken_adapters() -> dict[str, bytes]:
    whole = Path(LORA).read_bytes()
    one_sided, turned = File.read(Path(LORA)), File.read(Path(LORA))
    one_sided.tensors = one_sided.tensors[:1]
    turned.tensors[0].shape = turned.tensors[0].shape[::-1]
    return {
        "nothing": b"",
        "no GGUF": b"hello" * 100,
        "cut in the header": whole[:500],
        "cut in the data": whole[:-100],
        "half a pair": one_sided.build(),
        "a matrix on its side": turned.build(),
        "another kind": File.read(Path(LORA)).set("adapter.type", STRING, "ia3").build(),
    }


@pytest.mark.parametrize("kind", broken_adapters())
def test_a_broken_adapter_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "sha256-a"
    file.write_bytes(broken_adapters()[kind])
    failed = refusal(load(CHAT, adapters=[(str(file), 1.0)]))
    assert failed.message
    assert failed.unsupported
    assert str(tmp_path) not in failed.message


# -- the end of a load before its end -----------------------------------------------------------------------------


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A file whose reader waits for ever: a pipe that nobody writes to."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    path = tmp_path / "weights"
    os.mkfifo(path)
    return path


def test_a_runner_that_is_loading_ends_with_its_input(stuck: Path) -> None:
    runner = Process()
    runner.send(cut([str(stuck)]))
    assert runner.close() == 0


def test_a_spare_ends_with_its_input() -> None:
    assert Process(NO_GPUS).close() == 0


def test_a_prepared_spare_loads() -> None:
    runner = Runner(load(CHAT), NO_GPUS)
    assert runner.say(HELLO["prompt"]).strip() == HELLO["text"]
    runner.close()


async def begun(stuck: Path, **changes: Any) -> tuple[RunnerProcess, asyncio.Task[frames.Loaded]]:
    """A runner that has been told to load what does not end."""
    runner = RunnerProcess({}, **changes)
    runner.assign(cut([str(stuck)]))
    loading = asyncio.create_task(runner.ready())
    await until(lambda: runner.state is State.LOADING)
    return runner, loading


@pytest.mark.anyio
async def test_a_runner_killed_while_it_loads(stuck: Path) -> None:
    runner, loading = await begun(stuck)
    assert runner.pid is not None
    os.kill(runner.pid, signal.SIGKILL)
    with pytest.raises(LoadFailed, match="terminated: signal: killed"):
        await loading
    await runner.stop(grace=0.0)
    assert runner.state is State.GONE


@pytest.mark.anyio
async def test_a_canceled_load_ends_at_once(stuck: Path) -> None:
    runner, loading = await begun(stuck)
    pid = runner.pid
    assert pid is not None
    await runner.stop(grace=0.0)
    assert runner.state is State.GONE
    with pytest.raises(LoadFailed):
        await loading
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.anyio
async def test_a_load_without_a_sign_of_life_is_given_up(stuck: Path) -> None:
    clock = FakeClock()
    runner, loading = await begun(stuck, clock=clock, load_timeout=300.0)
    await clock.advance(300.0)
    with pytest.raises(LoadStalled, match="timed out waiting"):
        await loading
    await runner.stop(grace=0.0)
    assert runner.state is State.GONE


@pytest.mark.anyio
async def test_a_runner_killed_after_the_first_sign_of_progress() -> None:
    """What it wrote between that sign and its death does not count: a small model may be loaded by then."""
    runner = RunnerProcess({})
    runner.assign(load(CHAT))
    deliver = runner.pipe_data_received
    killed = False

    def look(fd: int, data: bytes) -> None:
        nonlocal killed
        if fd != 1:
            deliver(fd, data)
        elif not killed:
            assert runner.pid is not None
            os.kill(runner.pid, signal.SIGKILL)
            killed = True

    runner.pipe_data_received = look
    try:
        with pytest.raises(LoadFailed, match="signal: killed"):
            await runner.ready()
    finally:
        await runner.stop(grace=0.0)
    assert killed
    assert runner.state is State.GONE
