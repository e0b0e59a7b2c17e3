"""What the reading end does with each frame: answer it, prepare it for the loop, or refuse it."""

import os
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scheduler import frames
from scheduler.runner.constrain.constraints import ConstraintError, Matcher
from scheduler.runner.embedding.embed import EmbedJob
from scheduler.runner.intake import Intake
from scheduler.runner.loaded import LoadedModel
from scheduler.runner.sequence import Job
from tests.unit.scheduler.runner.fake_engine import FakeMedia
from tests.unit.scheduler.runner.letters import BOS, EOS, letters

MATCHER = cast(Matcher, object())
LOAD = frames.Load(["w"], num_ctx=8, parallel=1, num_batch=8)


def model(**changes: Any) -> LoadedModel:
    def matcher(constraint: frames.Constraint) -> Matcher:
        if constraint.source == "bad":
            raise ConstraintError("bad grammar")
        return MATCHER

    def chain(sampling: frames.Sampling, prompt: Sequence[int]) -> tuple[int, ...]:
        return tuple(prompt)

    def control_tokens(texts: Sequence[str]) -> frozenset[int]:
        return frozenset(map(ord, texts))

    members: dict[str, Any] = {
        "vocabulary": letters(),
        "num_ctx": 8,
        "embedding": False,
        "raw_embeddings": False,
        "scores": False,
        "ranks": False,
        "model": SimpleNamespace(rank_template="", metadata={"general.architecture": "bert"}.get),
        "context": SimpleNamespace(physical_batch=4, can_shift=True),
        "matcher": matcher,
        "media": None,
        "chain": chain,
        "control_tokens": control_tokens,
        **changes,
    }
    return cast(LoadedModel, SimpleNamespace(**members))


class Pipe:
    """The daemon's end."""

    def __init__(self, descriptor: int, intake: Intake, answers: SimpleQueue[frames.Frame]) -> None:
        self.intake = intake
        self.answers = answers
        self._descriptor = descriptor

    def send(self, *commands: frames.Command) -> None:
        os.write(self._descriptor, b"".join(map(frames.encode, commands)))

    def answer(self, command: frames.Command) -> frames.Frame:
        self.send(command)
        return self.answers.get(timeout=5)

    def work(self, command: frames.Command) -> Any:
        self.send(command)
        return self.intake.inbox.get(timeout=5)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """At the end the daemon closes it, which ends the process: here it is noted."""
    read_end, write_end = os.pipe()
    answers: SimpleQueue[frames.Frame] = SimpleQueue()
    exits: SimpleQueue[int] = SimpleQueue()
    monkeypatch.setattr(os, "_exit", exits.put)
    intake = Intake(read_end, answers.put)
    intake.start()
    yield Pipe(write_end, intake, answers)
    os.close(write_end)
    assert exits.get(timeout=5) == 0
    os.close(read_end)


def test_the_load_is_waited_for(pipe: Pipe) -> None:
    pipe.send(LOAD)
    assert pipe.intake.load() == LOAD


def test_nothing_is_served_before_the_model_is_there(pipe: Pipe) -> None:
    failed = pipe.answer(frames.Detokenize(1, [97]))
    assert failed == frames.Failed(1, "failed to process inputs: the model is not loaded yet")


def test_tokens_and_texts_are_answered_beside_the_loop(pipe: Pipe) -> None:
    pipe.intake.serve(model())
    assert pipe.answer(frames.Tokenize(1, ["ab", ""])) == frames.Tokens(1, [2, 0], [[97, 98], []])
    assert pipe.answer(frames.Tokenize(2, ["a"], add_special=True)) == frames.Tokens(2, [3], [[BOS, 97, EOS]])
    assert pipe.answer(frames.Tokenize(3, ["ab"], count_only=True)) == frames.Tokens(3, [2], [])
    assert pipe.answer(frames.Detokenize(4, [97, 98])) == frames.Text(4, "ab")
    assert pipe.answer(frames.Detokenize(5, [999])) == frames.Failed(5, "failed to process inputs: no such token")


def test_a_generation_is_prepared_for_the_loop(pipe: Pipe) -> None:
    pipe.intake.serve(model())
    job = pipe.work(frames.Generate(1, "ab", constraint=frames.Constraint("regex", "x")))
    assert isinstance(job, Job)
    assert (job.request.id, job.fit.tokens, job.matcher) == (1, [BOS, 97, 98], MATCHER)
    assert pipe.work(frames.Generate(2, "ab")).matcher is None


def test_what_takes_long_is_not_left_to_the_loop(pipe: Pipe) -> None:
    pipe.intake.serve(model())
    job = pipe.work(frames.Generate(1, "ab", stop=["x"], preserved=["y"]))
    assert job.chain == (BOS, 97, 98)
    assert job.preserved == frozenset({ord("y")})
    assert job.stops.scan(b"abx", 0, [])[0] == 2


class Pictures:
    """Reads every picture as three places."""

    def read(self, prompt: str, items: Sequence[bytes]) -> list[list[int] | FakeMedia]:
        return [[1, 2], FakeMedia(1, 3), [3]]


def test_pictures_stand_among_the_tokens(pipe: Pipe) -> None:
    pipe.intake.serve(model(media=Pictures()))
    job = pipe.work(frames.Generate(1, f"ab[img-0]{frames.NO_MARK}", images=[b"picture"]))
    assert job.request.prompt == "ab[img-0][img-"
    assert job.fit.tokens == [1, 2, -101, -102, -103, 3]
    assert list(job.media) == [2]
    assert not job.request.shift
    assert job.chain == (1, 2, 3)


def test_pictures_are_not_cut_to_fit(pipe: Pipe) -> None:
    pipe.intake.serve(model(media=Pictures(), num_ctx=6))
    failed = pipe.answer(frames.Generate(1, "ab[img-0]c", images=[b"picture"]))
    assert isinstance(failed, frames.Failed)
    assert (failed.status, failed.message.split(",")[0]) == (
        400,
        "request (6 tokens) exceeds the available context size (6 tokens)",
    )


def test_a_long_prompt_is_cut_where_that_is_allowed(pipe: Pipe) -> None:
    pipe.intake.serve(model())
    job = pipe.work(frames.Generate(1, "abcdefgh", num_keep=1))
    assert (job.fit.tokens, job.fit.cut) == ([BOS, 97, *b"fgh"], 4)


@pytest.mark.parametrize(
    ("changes", "command", "message", "status"),
    [
        ({}, frames.Generate(1, "abcdefgh", truncate=False), "request (9 tokens) exceeds the available context", 400),
        ({}, frames.Generate(1, "abcdefgh", shift=False), "the prompt is longer than the context length", 400),
        ({}, frames.Generate(1, "a", images=[b"i"]), "image input is not supported", 400),
        ({}, frames.Generate(1, "a", constraint=frames.Constraint("gbnf", "bad")), "bad grammar", 400),
        ({"vocabulary": letters(add_bos=False)}, frames.Generate(1, ""), "failed to process inputs: no input", 500),
        ({"embedding": True}, frames.Generate(1, "a"), "failed to process inputs: this model turns text into", 500),
        ({}, frames.Embed(1, ["abcdefgh"], truncate=False), "the input length exceeds the context length", 400),
        ({"embedding": True}, frames.Rank(1, "a", ["b"]), "this model has no ranking head", 400),
        ({"embedding": True, "scores": True}, frames.Embed(1, ["b"]), "this model has no ranking head", 400),
        ({"embedding": True, "scores": True}, frames.Rank(1, "a", ["b"]), "this model has no ranking head", 400),
    ],
)
def test_what_is_refused(
    pipe: Pipe, changes: dict[str, Any], command: frames.Command, message: str, status: int
) -> None:
    pipe.intake.serve(model(**changes))
    failed = pipe.answer(command)
    assert isinstance(failed, frames.Failed)
    assert failed.message.startswith(message)
    assert (failed.id, failed.status) == (1, status)


def test_a_context_that_cannot_slide_does_not_cut_either(pipe: Pipe) -> None:
    pipe.intake.serve(model(context=SimpleNamespace(can_shift=False)))
    failed = pipe.answer(frames.Generate(1, "abcdefgh"))
    assert isinstance(failed, frames.Failed)
    assert failed.message.startswith("the prompt is longer")


@pytest.mark.parametrize(("embedding", "size"), [(True, 4), (False, 8)])
def test_texts_to_embed_fit_into_one_decode_of_a_model_made_for_it(pipe: Pipe, embedding: bool, size: int) -> None:
    pipe.intake.serve(model(embedding=embedding))
    job = pipe.work(frames.Embed(1, ["abcdefgh"]))
    assert isinstance(job, EmbedJob)
    assert [len(tokens) for tokens in job.inputs] == [size]


def test_a_cancellation_reaches_the_loop_in_its_turn(pipe: Pipe) -> None:
    pipe.intake.serve(model())
    pipe.send(frames.Generate(1, "a"), frames.Cancel(1))
    assert isinstance(pipe.intake.inbox.get(timeout=5), Job)
    assert pipe.intake.inbox.get(timeout=5) == frames.Cancel(1)


def test_pairs_to_rank_fit_into_one_decode(pipe: Pipe) -> None:
    pipe.intake.serve(model(embedding=True, scores=True, ranks=True, context=SimpleNamespace(physical_batch=6)))
    job = pipe.work(frames.Rank(1, "q", ["d", "abcdefgh"]))
    assert job.inputs == [[BOS, ord("q"), EOS, ord("d"), EOS], [BOS, ord("q"), EOS, ord("a"), ord("b"), EOS]]


@pytest.mark.parametrize(("architecture", "probabilities"), [("bert", False), ("qwen3", True)])
def test_the_architecture_tells_what_scores_are(pipe: Pipe, architecture: str, probabilities: bool) -> None:
    """The heads of some end in a softmax, and thresholds are about probabilities."""
    file = SimpleNamespace(rank_template="", metadata={"general.architecture": architecture}.get)
    pipe.intake.serve(model(embedding=True, scores=True, ranks=True, model=file))
    assert pipe.work(frames.Rank(1, "q", [])).answer() == frames.Ranked(1, [], 0, probabilities)


def test_a_model_that_ranks_embeds_as_scores(pipe: Pipe) -> None:
    pipe.intake.serve(model(embedding=True, scores=True, ranks=True))
    assert isinstance(pipe.work(frames.Embed(1, ["a"])), EmbedJob)
