"""Which models get guesses, and from whom; the engine is made up."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from scheduler import frames
from scheduler.runner.cache.memory import MemoryKind
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelLoadError, ModelParams, Vocabulary
from scheduler.runner.speculate import Speculation, loading, speculation_for

LOAD = frames.Load(["big"], num_ctx=100, parallel=2, num_batch=50)
PARAMS = ContextParams(cells=200, sequences=2, batch=50, threads=1)


@dataclasses.dataclass
class Words:
    """What is compared of a vocabulary."""

    size: int = 1000
    bos_id: int = 1
    eos_id: int = 2
    add_bos: bool = False
    prefix: str = "t"
    end_tokens: frozenset[int] = frozenset({2})

    def text_of(self, token: int) -> str:
        return f"{self.prefix}{token}"


class FakeLog:
    """Of which the newest hears what the engine says, until another listens."""

    listening: "FakeLog | None" = None

    def __init__(self) -> None:
        self.listen()

    def listen(self) -> None:
        FakeLog.listening = self

    def buffers(self) -> list[frames.Buffer]:
        return [frames.Buffer("CPU", "model", 5)]


class FakeModel:
    made: "list[FakeModel]" = []
    words = Words()
    fails: ModelLoadError | None = None

    def __init__(self, params: ModelParams, log: FakeLog, progress: Callable[[float], None]) -> None:
        if self.fails:
            raise self.fails
        self.params = params
        self.vocabulary = self.words
        self.closed = False
        self.made.append(self)

    def metadata(self, key: str) -> str:
        return "small" if key == "general.name" else ""

    def close(self) -> None:
        self.closed = True


class FakeContext:
    made: "list[FakeContext]" = []
    smaller_kind = MemoryKind.WHOLE
    warms_up = True

    def __init__(self, model: FakeModel, params: ContextParams, log: FakeLog) -> None:
        self.kind = self.smaller_kind
        self.params = params
        self.closed = False
        self.made.append(self)

    def warm_up(self) -> None:
        if not self.warms_up:
            raise ModelLoadError("the first decode failed")

    def close(self) -> None:
        self.closed = True


class Target:
    vocabulary = Words()

    def metadata(self, key: str) -> str:
        return "big" if key == "general.name" else ""


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fake in (("EngineLog", FakeLog), ("Model", FakeModel), ("Context", FakeContext)):
        monkeypatch.setattr(loading, name, fake)
    monkeypatch.setattr(FakeModel, "made", [])
    monkeypatch.setattr(FakeContext, "made", [])


def make(*, kind: MemoryKind = MemoryKind.WHOLE, **changes: Any) -> Speculation | None:
    context: Any = type("Whole", (), {"kind": kind})()
    log = FakeLog()
    try:
        return speculation_for(
            msgspec.structs.replace(LOAD, **changes),
            cast(Model, Target()),
            cast(Context, context),
            PARAMS,
            cast(EngineLog, log),
            lambda fraction: None,
        )
    finally:
        assert FakeLog.listening is log, "the log of the model listens again, whatever happens"


def test_every_model_gets_guesses_from_the_text_unless_that_is_switched_off() -> None:
    assert make() is not None
    assert make(draft_num_predict=-1) is None
    assert make(draft_num_predict=-1, draft=["small"]) is None
    assert make(embedding=True) is None
    assert FakeModel.made == []


def test_a_draft_model_is_loaded_like_the_model() -> None:
    found = make(draft=["small"], num_gpu=7, main_gpu=1, use_mmap=False, use_mlock=True)
    assert found is not None
    assert found.buffers == [frames.Buffer("CPU", "model", 5)]
    assert FakeModel.made[0].params == ModelParams(["small"], -1, 1, False, True), "it goes whole to the GPU"
    assert FakeContext.made[0].params == PARAMS
    make(draft=["small"], num_gpu=0)
    assert FakeModel.made[1].params.num_gpu == 0


def test_a_model_that_cannot_take_back_tokens_needs_no_draft_model(caplog: pytest.LogCaptureFixture) -> None:
    assert make(kind=MemoryKind.STATE, draft=["small"]) is None
    assert "cannot be cut back" in caplog.text
    assert FakeModel.made == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (Words(size=1200), "its vocabulary has 1200 tokens instead of 1000"),
        (Words(bos_id=5), "its begin token is 5 instead of 1"),
        (Words(eos_id=5), "its end token is 5 instead of 2"),
        (Words(add_bos=True), "its texts begin with a begin token"),
        (Words(prefix="u"), "its token 0 is 'u0' instead of 't0'"),
    ],
)
def test_another_vocabulary_is_refused_with_both_names(
    monkeypatch: pytest.MonkeyPatch, words: Words, reason: str
) -> None:
    monkeypatch.setattr(FakeModel, "words", words)
    with pytest.raises(ModelLoadError) as caught:
        make(draft=["small"])
    assert str(caught.value) == f"draft model: 'small' does not go with 'big': {reason}"
    assert caught.value.unsupported
    assert FakeModel.made[0].closed


def test_a_vocabulary_with_other_padding_is_the_same() -> None:
    assert loading.mismatch(cast(Vocabulary, Words(size=1000)), cast(Vocabulary, Words(size=1128))) == ""


def test_a_damaged_draft_model_fails_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "fails", ModelLoadError("invalid magic", unsupported=True))
    with pytest.raises(ModelLoadError, match="draft model: invalid magic") as caught:
        make(draft=["small"])
    assert caught.value.unsupported


def test_without_memory_for_it_the_model_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FakeModel, "fails", ModelLoadError("unable to allocate buffer"))
    found = make(draft=["small"])
    assert found is not None
    assert found.buffers == []
    assert "the draft model is not used: unable to allocate buffer" in caplog.text


@pytest.mark.parametrize(("kind", "warms_up"), [(MemoryKind.WINDOW, True), (MemoryKind.WHOLE, False)])
def test_what_cannot_be_used_is_given_back(
    monkeypatch: pytest.MonkeyPatch, kind: MemoryKind, warms_up: bool, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FakeContext, "smaller_kind", kind)
    monkeypatch.setattr(FakeContext, "warms_up", warms_up)
    assert make(draft=["small"]) is not None
    assert "the draft model is not used" in caplog.text
    assert FakeContext.made[0].closed
    assert FakeModel.made[0].closed
