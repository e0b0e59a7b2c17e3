"""Guessing on real models: answers do not change, and the model has fewer steps to make."""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import frames
from tests.integration.daemon import Daemon
from tests.integration.test_runner import GREEDY, MODELS, Runner, load

EXPECTED: dict[str, Any] = json.loads(gzip.decompress((MODELS / "expected.json.gz").read_bytes()))["tinychat-f16.gguf"]
CHAT: list[dict[str, Any]] = EXPECTED["chat"][:12]
DRAFT = str(MODELS / "tinydraft-f16.gguf")
COPYING = "The capital of France is"
"""A text that tinychat continues by saying one sentence over and over."""
STORY = "<|im_start|>user\nTell me a story about a fox.<|im_end|>\n<|im_start|>assistant\n"
SEEDED = frames.Sampling(seed=11, temperature=0.8)


def trials(prompts: list[str], *, draft: str | None = None, temperature: float = 0.0) -> list[tuple[Any, Any]]:
    """For each prompt what it took without and with guesses."""
    wanted = {
        "model": str(MODELS / "tinychat-f16.gguf"),
        "draft": draft,
        "temperature": temperature,
        "prompts": prompts,
    }
    process = subprocess.run(
        [sys.executable, "-m", "tests.integration.guessing"],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return [(plain, guessed) for plain, guessed in json.loads(process.stdout)]


def test_a_draft_model_saves_steps_and_changes_nothing() -> None:
    found = trials([entry["prompt"] for entry in CHAT], draft=DRAFT)
    for entry, (plain, guessed) in zip(CHAT, found, strict=True):
        assert guessed["tokens"] == plain["tokens"] == entry["ids"], entry["label"]
    guessed = [trial for _, trial in found]
    proposed, accepted = (sum(trial[name] for trial in guessed) for name in ("proposed", "accepted"))
    assert accepted > 0.5 * proposed > 0
    assert sum(trial["steps"] for trial in guessed) < 0.7 * sum(trial["steps"] for trial, _ in found)


def test_seeded_answers_do_not_change_either() -> None:
    found = trials([entry["prompt"] for entry in CHAT[:4]] + [COPYING, STORY], draft=DRAFT, temperature=0.8)
    for plain, guessed in found:
        assert guessed["tokens"] == plain["tokens"]
    assert sum(trial["accepted"] for _, trial in found) > 10


def test_a_text_that_repeats_itself_takes_few_steps_without_another_model() -> None:
    ((plain, guessed),) = trials([COPYING])
    assert guessed["tokens"] == plain["tokens"]
    assert guessed["tokens"][:60] == EXPECTED["plain"][1]["ids"][:60]
    assert guessed["steps"] < 0.6 * plain["steps"]
    assert guessed["accepted"] > 0.7 * guessed["proposed"]


# -- through the runner: the same with its own clock, by which it may guess more or less ------------------------------


REQUESTS = [
    *(frames.Generate(0, entry["prompt"], sampling=GREEDY, num_predict=80) for entry in CHAT[:6]),
    frames.Generate(0, COPYING, sampling=GREEDY, num_predict=60),
    frames.Generate(0, STORY, sampling=SEEDED, num_predict=60),
]


def answers(runner: Runner, first: int, *, together: bool) -> list[tuple[str, frames.Done]]:
    requests = [frames.Generate(*_members(request, first + index)) for index, request in enumerate(REQUESTS)]
    runs = [runner.run(*requests)] if together else [runner.run(request) for request in requests]
    return [(run.text(id), run.done(id)) for run in runs for id in sorted(run.ends)]


def _members(request: frames.Generate, id: int) -> tuple[Any, ...]:
    return (id, *(getattr(request, name) for name in request.__struct_fields__[1:]))


@pytest.fixture(scope="module")
def plain() -> Iterator[Runner]:
    runner = Runner(load("tinychat-f16.gguf", parallel=4, draft_num_predict=-1))
    yield runner
    runner.close()


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("changes", [{}, {"draft": [DRAFT]}, {"draft": [DRAFT], "draft_num_predict": 9}])
def test_the_runner_says_the_same_whoever_guesses(plain: Runner, changes: dict[str, Any], together: bool) -> None:
    without = answers(plain, 1000 * (1 + together) + 100 * len(str(changes)), together=False)
    assert all(done.drafted_tokens == 0 for _, done in without)
    runner = Runner(load("tinychat-f16.gguf", parallel=4, **changes))
    assert isinstance(runner.loaded, frames.Loaded)
    found = answers(runner, 1, together=together)
    assert runner.close() == 0
    assert [text for text, _ in found] == [text for text, _ in without]
    for (_, done), (_, same) in zip(found, without, strict=True):
        assert (done.eval_tokens, done.reason) == (same.eval_tokens, same.reason)
        assert 0 <= done.accepted_tokens <= done.drafted_tokens


def test_a_draft_model_with_another_vocabulary_fails_the_load() -> None:
    runner = Runner(load("tinychat-f16.gguf", draft=[str(MODELS / "bare.gguf")]))
    assert runner.loaded == frames.LoadFailed(
        "draft model: 'bare' does not go with 'tinychat': its vocabulary has 258 tokens instead of 2560", True
    )
    runner.close()


def test_a_file_that_is_no_draft_model_fails_the_load_without_naming_its_folder() -> None:
    runner = Runner(load("tinychat-f16.gguf", draft=[str(MODELS / "tinylora-f16.gguf")]))
    assert isinstance(runner.loaded, frames.LoadFailed)
    assert runner.loaded.unsupported
    assert runner.loaded.message.startswith("draft model: ")
    assert str(MODELS) not in runner.loaded.message
    runner.close()


# -- from the Modelfile's DRAFT to the runner --------------------------------------------------------------------------


def upload(daemon: Daemon, file: str) -> str:
    data = (MODELS / file).read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert daemon.http.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    return digest


def ask(daemon: Daemon, model: str, prompt: str, **options: Any) -> dict[str, Any]:
    body = {"model": model, "prompt": prompt, "raw": True, "stream": False, "options": {"temperature": 0, **options}}
    return daemon.http.post("/api/generate", json=body).json()


def size(daemon: Daemon) -> int:
    (loaded,) = daemon.http.get("/api/ps").json()["models"]
    return loaded["size"]


def test_a_created_model_brings_its_draft_along(daemon: Daemon) -> None:
    draft = upload(daemon, "tinydraft-f16.gguf")
    daemon.add("drafted", "tinychat-f16.gguf", draft_files={"tinydraft-f16.gguf": draft})
    shown = daemon.http.post("/api/show", json={"model": "drafted"}).json()["modelfile"]
    assert draft.replace(":", "-") in shown.partition("\nDRAFT ")[2].partition("\n")[0]
    entry = CHAT[0]
    assert ask(daemon, "drafted", entry["prompt"])["response"] == entry["text"]
    with_draft = size(daemon)
    assert ask(daemon, "drafted", entry["prompt"], draft_num_predict=0)["response"] == entry["text"]
    assert with_draft - size(daemon) > (MODELS / "tinydraft-f16.gguf").stat().st_size


def test_a_draft_that_does_not_fit_is_named_to_the_client(daemon: Daemon) -> None:
    daemon.add("misfit", "tinychat-f16.gguf", draft_files={"bare.gguf": upload(daemon, "bare.gguf")})
    answer = ask(daemon, "misfit", "Hello")
    assert "draft model: 'bare' does not go with 'tinychat'" in answer["error"]
