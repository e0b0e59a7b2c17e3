"""Create requests with `quantize` and `draft_quantize`, over a quantizer that has its results at hand."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelstore.create import create
from modelstore.digest import Digest
from modelstore.errors import CreateError, InvalidGGUF
from modelstore.gguf import Header
from modelstore.names import Name
from modelstore.progress import Progress
from modelstore.quantize import Tell
from modelstore.quantize.errors import QuantizeFailed
from tests.unit.modelstore import tinygguf
from tests.unit.modelstore.shop import FILES, Shop, no_pull, request_of

F16 = tinygguf.model(file_type=1)
RESULT = tinygguf.model(file_type=7)
NO_DIGEST = "0" * 19


class HungUpError(Exception):
    """Raised by whoever is told."""


class Quantizer:
    """Answers with the files it was given, and keeps what it was asked for."""

    def __init__(self, *results: bytes) -> None:
        self.results = list(results)
        self.asked: list[tuple[int, str]] = []

    @contextmanager
    def __call__(self, headers: Sequence[Header], target: str, work: Path, tell: Tell) -> Generator[Path]:
        self.asked.append((len(headers), target))
        tell(0.0)
        if not self.results:
            raise QuantizeFailed("no reason")
        tell(0.5)
        work.mkdir(parents=True, exist_ok=True)
        path = work / "result"
        path.write_bytes(self.results.pop(0))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


class Workshop(Shop):
    """A store in which models are quantised."""

    quantizer = Quantizer()

    def quantize(self, model: str, *results: bytes, **body: Any) -> list[Progress]:
        events: list[Progress] = []
        self.quantizer = Quantizer(*results)
        create(self.store, request_of({"model": model, **body}), events.append, pull=no_pull, quantizer=self.quantizer)
        return events

    def config(self, model: str) -> tuple[str, str]:
        config = self.store.catalog.get(Name.parse(model)).config
        return config.file_type, config.model_type


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_events_come_in_their_order_and_the_result_takes_the_place_of_its_source(shop: Workshop) -> None:
    events = shop.quantize("m", RESULT, files={"m.gguf": shop.upload(F16)}, quantize="q8_0")
    total, digest = len(F16), Digest.of(RESULT)
    status = "quantizing F16 model to Q8_0"
    assert events == [
        Progress("parsing GGUF"),
        Progress(status, NO_DIGEST, total),
        Progress(status, NO_DIGEST, total, total // 2),
        Progress("verifying conversion"),
        Progress(f"creating new layer {digest}"),
        Progress("writing manifest"),
        Progress("success"),
    ]
    assert shop.layers("m") == [("model", "")]
    assert shop.config("m") == ("Q8_0", "160")
    assert list(shop.store.layout.work.iterdir()) == []


@pytest.mark.parametrize(("asked", "target"), [("q4_k", "Q4_K_M"), ("Q3_k", "Q3_K_M"), ("bf16", "BF16")])
def test_the_events_say_what_was_asked_for(shop: Workshop, asked: str, target: str) -> None:
    events = shop.quantize("m", RESULT, files={"m.gguf": shop.upload(F16)}, quantize=asked)
    assert events[1].status == f"quantizing F16 model to {asked.upper()}"
    assert shop.quantizer.asked == [(1, target)]
    assert shop.config("m")[0] == target


def test_a_result_that_is_there_already_is_told_so(shop: Workshop) -> None:
    shop.create("other", files={"m.gguf": shop.upload(RESULT)})
    events = shop.quantize("m", RESULT, files={"m.gguf": shop.upload(F16)}, quantize="Q8_0")
    assert Progress(f"using existing layer {Digest.of(RESULT)}") in events


def test_of_a_model_only_the_weights_change(shop: Workshop) -> None:
    files = {"m.gguf": FILES["tinychat-f16.gguf"], "p.gguf": FILES["tinyvision-mmproj-f16.gguf"]}
    uploads = {name: shop.upload(data) for name, data in files.items()}
    adapters = {"l.gguf": shop.upload(FILES["tinylora-f16.gguf"])}
    shop.create("base", files=uploads, adapters=adapters, system="Be brief.", parameters={"top_k": 1})
    before = {layer.media_type: layer.digest for layer in stored(shop, "base")}
    events = shop.quantize("m", RESULT, **{"from": "base", "quantize": "q8_0"})
    assert [event.status for event in events[:3]] == ["quantizing F16 model to Q8_0"] * 2 + ["verifying conversion"]
    after = {layer.media_type: layer.digest for layer in stored(shop, "m")}
    assert [kind for kind in before if before[kind] != after[kind]] == [stored(shop, "m")[0].media_type]
    assert shop.layers("m")[0] == ("model", "")
    assert {origin for _, origin in shop.layers("m")[1:-1]} == {"base:latest"}


def stored(shop: Workshop, model: str) -> tuple[Any, ...]:
    return shop.store.catalog.get(Name.parse(model)).manifest.layers


@pytest.mark.parametrize(("file_type", "name"), [(1, "F16"), (0, "F32")])
def test_nothing_happens_to_weights_that_are_of_the_type(shop: Workshop, file_type: int, name: str) -> None:
    data = tinygguf.model(file_type=file_type)
    shop.create("base", files={"m.gguf": shop.upload(data)})
    events = shop.quantize("m", **{"from": "base", "quantize": name.lower()})
    assert [event.status for event in events] == [
        f"using existing layer {Digest.of(data)}",
        "writing manifest",
        "success",
    ]
    events = shop.quantize("n", files={"m.gguf": shop.upload(data)}, quantize=name)
    assert [event.status for event in events[:2]] == ["parsing GGUF", "verifying conversion"]
    assert shop.quantizer.asked == []


def test_weights_in_32_bits_are_shown_as_such(shop: Workshop) -> None:
    """The reference cannot tell the type 0 from none; here the request has said what it is."""
    shop.quantize("m", tinygguf.model(), files={"m.gguf": shop.upload(F16)}, quantize="F32")
    assert shop.config("m")[0] == "F32"


def test_shards_become_one_file(shop: Workshop) -> None:
    def shard(number: int) -> str:
        keys = {"general.architecture": "llama", "general.file_type": 1, "llama.block_count": 1}
        own = {**keys, "split.no": number, "split.count": 2}
        return shop.upload(tinygguf.gguf(own, [(f"{number}.weight", (32, 4), tinygguf.F16)]))

    files = {f"m-{number + 1:05d}-of-00002.gguf": shard(number) for number in range(2)}
    shop.create("base", files=files)
    for body in ({"files": files}, {"from": "base"}):
        events = shop.quantize("m", RESULT, quantize="Q8_0", **body)
        assert shop.quantizer.asked == [(2, "Q8_0")]
        first = next(event for event in events if event.digest)
        assert first.total == sum(layer.size for layer in stored(shop, "base"))
        assert shop.layers("m") == [("model", "")]
        assert shop.config("m") == ("Q8_0", "160")


def test_a_draft_is_quantised_by_a_field_of_its_own(shop: Workshop) -> None:
    shop.create("base", files={"m.gguf": shop.upload(F16)})
    drafts = {"d.gguf": shop.upload(tinygguf.model(file_type=1, context_length=7))}
    small = tinygguf.model(file_type=7, context_length=7)
    body: dict[str, Any] = {"from": "base", "draft_files": drafts}
    events = shop.quantize("m", small, draft_quantize="q8_0", **body)
    assert [event.status for event in events[:4]] == [
        "parsing GGUF", *["quantizing F16 model to Q8_0"] * 2, "verifying conversion",
    ]  # fmt: skip
    assert [layer.digest for layer in stored(shop, "m")] == [Digest.of(F16), Digest.of(small)]
    assert shop.config("m")[0] == "F16"
    shop.quantize("both", RESULT, small, quantize="q8_0", draft_quantize="q8_0", **body)
    assert [layer.digest for layer in stored(shop, "both")] == [Digest.of(RESULT), Digest.of(small)]


@pytest.mark.parametrize(
    ("body", "words", "status"),
    [
        ({"quantize": "q9_9"}, "unsupported quantization type Q9_9 - supported types are F32, F16, BF16, Q8_0, ", 500),
        ({"quantize": "iq2_xxs"}, "quantization type IQ2_XXS needs an importance matrix and is not supported", 500),
        ({"quantize": "iq3_xs"}, "quantization type IQ3_XS needs an importance matrix and is not supported", 500),
        ({"quantize": "q4_0", "from": "small"}, "quantization is only supported for F16, BF16 and F32 models", 500),
        ({"quantize": "q8_0", "from": "small"}, "quantization is only supported for F16, BF16 and F32 models", 500),
        ({"quantize": "q9_9", "from": "small"}, "unsupported quantization type Q9_9", 500),
        (
            {"draft_quantize": "q4_0", "draft": RESULT},
            "draft quantization requires an unquantized draft model, got Q8_0",
            400,
        ),
        ({"draft_quantize": "q9", "draft": F16}, "unsupported quantization type Q9 ", 500),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_done(
    shop: Workshop, body: dict[str, Any], words: str, status: int
) -> None:
    shop.create("base", files={"m.gguf": shop.upload(F16)})
    shop.create("small", files={"m.gguf": shop.upload(RESULT)})
    if draft := body.pop("draft", None):
        body["draft_files"] = {"d.gguf": shop.upload(draft)}
    before = shop.contents()
    with pytest.raises(CreateError) as caught:
        shop.quantize("m", RESULT, **{"from": "base", **body})
    assert str(caught.value).startswith(words)
    assert caught.value.status == status
    assert shop.quantizer.asked == []
    assert shop.contents() == before


def test_weights_that_cannot_be_read_are_a_clear_error(shop: Workshop) -> None:
    shop.create("base", files={"m.gguf": shop.upload(F16)})
    path = shop.store.blobs.path(Digest.of(F16))
    path.write_bytes(F16[:-100])
    with pytest.raises(InvalidGGUF, match="exceeds file size") as caught:
        shop.quantize("m", RESULT, **{"from": "base", "quantize": "q8_0"})
    assert str(path) not in str(caught.value)


@pytest.mark.parametrize("results", [(), (RESULT,)])
def test_after_a_failure_everything_is_as_it_was(shop: Workshop, results: tuple[bytes, ...]) -> None:
    """Also when the base was made and the draft fails; a model of that name stays."""
    shop.create("m", files={"m.gguf": shop.upload(F16)})
    drafts = {"d.gguf": shop.upload(tinygguf.model(file_type=1, context_length=7))}
    before = shop.contents()
    body: dict[str, Any] = {"from": "m", "quantize": "q8_0", "draft_quantize": "q4_0", "draft_files": drafts}
    with pytest.raises(QuantizeFailed, match="no reason"):
        shop.quantize("m", *results, **body)
    assert shop.contents() == before
    assert shop.config("m")[0] == "F16"


@pytest.mark.parametrize("word", ["quantizing", "verifying", "creating", "writing"])
def test_after_a_hang_up_everything_is_as_it_was(shop: Workshop, word: str) -> None:
    shop.create("base", files={"m.gguf": shop.upload(F16)})
    before = shop.contents()

    def tell(event: Progress) -> None:
        if event.status.startswith(word):
            raise HungUpError

    request = request_of({"model": "m", "from": "base", "quantize": "q8_0"})
    with pytest.raises(HungUpError):
        create(shop.store, request, tell, pull=no_pull, quantizer=Quantizer(RESULT))
    assert shop.contents() == before
