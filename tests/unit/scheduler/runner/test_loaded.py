"""How a `Load` frame becomes a context, and what the daemon is told; the engine is made up."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from scheduler import frames
from scheduler.runner import loaded
from scheduler.runner.engine import ContextParams, ModelLoadError, ModelParams
from scheduler.runner.engine.projector import ProjectorParams
from scheduler.runner.loaded import LoadedModel, usable_cores
from tests.unit.scheduler.runner.letters import SIZE, letters

LOAD = frames.Load(["w"], num_ctx=100, parallel=3, num_batch=50)


class FakeLog:
    offloaded = (1, 2)

    def buffers(self) -> list[frames.Buffer]:
        return [frames.Buffer("CPU", "model", 5)]


class FakeModel:
    trained = 80
    facts: dict[str, str] = {}

    def __init__(self, params: ModelParams, log: FakeLog, progress: Callable[[float], None]) -> None:
        self.params = params
        self.vocabulary = letters()
        self.num_ctx_train = self.trained
        self.embedding_width = 4
        progress(1.0)

    def metadata(self, key: str) -> str:
        return self.facts.get(key, "")


class FakeContext:
    can_shift = True
    stores = False
    physical_batch = 50
    pooling = 1
    kv_cache_type = "f16"

    def __init__(self, model: FakeModel, params: ContextParams, log: FakeLog) -> None:
        self.params = params
        self.warm = False

    def warm_up(self) -> None:
        self.warm = True


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fake in (("EngineLog", FakeLog), ("Model", FakeModel), ("Context", FakeContext)):
        monkeypatch.setattr(loaded, name, fake)


def load(**changes: Any) -> LoadedModel:
    return LoadedModel(msgspec.structs.replace(LOAD, **changes), lambda fraction: None)


def params(**changes: Any) -> ContextParams:
    context: Any = load(**changes).context
    return context.params


def test_each_sequence_has_its_own_context() -> None:
    found = params()
    assert (found.cells, found.sequences, found.batch, found.embedding) == (240, 3, 50, False)


@pytest.mark.parametrize(("trained", "used"), [(80, 80), (200, 100), (0, 100)])
def test_a_context_is_never_longer_than_the_model_was_trained_on(
    monkeypatch: pytest.MonkeyPatch, trained: int, used: int
) -> None:
    monkeypatch.setattr(FakeModel, "trained", trained)
    assert load().num_ctx == used


def test_an_embedding_model_shares_its_context_among_texts_and_is_not_warmed_up() -> None:
    model = load(embedding=True)
    context: Any = model.context
    assert context.params.sequences == model.slots == loaded.EMBEDDING_SEQUENCES
    assert context.params.cells >= model.num_ctx
    assert not context.warm
    chat: Any = load().context
    assert chat.warm


def test_without_a_gpu_nothing_is_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is allocated late there, and the first prompt touches the same weights."""
    monkeypatch.setattr(FakeLog, "offloaded", (0, 2))
    context: Any = load().context
    assert not context.warm


def test_a_context_that_cannot_be_addressed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModel, "trained", 2**32 - 1)
    with pytest.raises(ModelLoadError, match="a context of 1073741824 tokens for each of 4 sequences is too large"):
        load(num_ctx=1 << 30, parallel=4)
    assert params(num_ctx=1 << 29, parallel=3).cells == 3 << 29


def test_a_context_shorter_than_the_usual_number_of_texts() -> None:
    found = params(embedding=True, num_ctx=4)
    assert (found.cells, found.sequences) == (4, 4)


@pytest.mark.parametrize(("asked", "used"), [(0, usable_cores()), (-3, usable_cores()), (7, 7), (100_000, 512)])
def test_threads(asked: int, used: int) -> None:
    assert params(num_thread=asked).threads == used


def test_an_unknown_cache_type_is_refused_by_name() -> None:
    with pytest.raises(ModelLoadError, match="unsupported KV cache type 'q9'"):
        load(kv_cache_type="q9")


@pytest.mark.parametrize(
    ("facts", "raw"),
    [
        ({"general.architecture": "llama"}, False),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "bert"}, False),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "t5"}, True),
        (
            {
                "general.architecture": "bert",
                "tokenizer.ggml.model": "bert",
                "bert.normalize_embeddings": "false",
            },
            True,
        ),
        ({"general.architecture": "nomic-bert-moe"}, True),
        ({"general.architecture": "nomic-bert", "nomic-bert.normalize_embeddings": "true"}, False),
    ],
)
def test_whose_vectors_were_never_normalised(monkeypatch: pytest.MonkeyPatch, facts: dict[str, str], raw: bool) -> None:
    monkeypatch.setattr(FakeModel, "facts", facts)
    assert load().raw_embeddings is raw


def test_what_the_daemon_is_told() -> None:
    assert load().describe() == frames.Loaded(
        num_ctx=80,
        num_ctx_train=80,
        vocab_size=SIZE,
        embedding_width=4,
        add_bos=True,
        bos="<s>",
        eos="</s>",
        can_shift=True,
        buffers=[frames.Buffer("CPU", "model", 5)],
        layers_offloaded=1,
        layers_total=2,
        kv_cache_type="f16",
    )


@pytest.mark.parametrize(("pooling", "head", "ranks"), [(4, True, True), (4, False, False), (1, True, False)])
def test_a_model_ranks_if_its_file_asks_for_it_and_can(
    monkeypatch: pytest.MonkeyPatch, pooling: int, head: bool, ranks: bool
) -> None:
    def has_head(weights: list[str]) -> bool:
        return head

    monkeypatch.setattr(FakeContext, "pooling", pooling)
    monkeypatch.setattr(loaded, "has_head", has_head)
    assert load(embedding=True).describe().ranks is ranks


@pytest.mark.parametrize(
    ("num_gpu", "wanted", "there"), [(-1, True, True), (10, False, False), (-1, False, False), (0, True, False)]
)
def test_a_projector_computes_where_the_daemon_has_placed_it(
    monkeypatch: pytest.MonkeyPatch, num_gpu: int, wanted: bool, there: bool
) -> None:
    asked: list[bool] = []

    class FakeProjector:
        def __init__(self, model: FakeModel, params: ProjectorParams) -> None:
            asked.append(params.use_gpu)

        def largest_whole_chunk(self) -> int:
            return 0

    def reader(projectors: list[FakeProjector], vocabulary: object, **sizes: int) -> None:
        return None

    monkeypatch.setattr(loaded, "Projector", FakeProjector)
    monkeypatch.setattr(loaded, "MediaReader", reader)
    load(projectors=["p"], num_gpu=num_gpu, projector_on_gpu=wanted)
    assert asked == [there]
