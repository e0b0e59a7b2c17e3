"""The model that comes with the program: whole, pulled with the ordinary events, and gone again after a failure."""

from importlib.resources import files
from pathlib import Path

import pytest

from modelstore import bundled
from modelstore.bundled import PullError
from modelstore.bundled.content import WEIGHTS, WEIGHTS_SIZE, blobs, manifest
from modelstore.digest import Digest
from modelstore.gguf import read_header
from modelstore.names import Name
from modelstore.numbers import parameter_size
from modelstore.options import check_json
from modelstore.progress import Progress
from modelstore.store import Store

TINYCHAT = Name.parse("tinychat")
MAX_EVENTS = 12


def contents(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def pulled(store: Store, name: Name = TINYCHAT) -> list[Progress]:
    events: list[Progress] = []
    bundled.pull(store, name, events.append)
    return events


def test_the_shipped_weights_are_those_that_the_manifest_names() -> None:
    data = (files("modelstore.bundled") / "tinychat.gguf").read_bytes()
    assert (Digest.of(data), len(data)) == (WEIGHTS, WEIGHTS_SIZE)


def test_the_config_says_what_the_weights_say(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    pulled(store)
    config = store.catalog.get(TINYCHAT).config
    header = read_header(store.blobs.path(WEIGHTS))
    assert (config.model_format, config.model_family) == ("gguf", header.architecture)
    assert (config.model_type, config.file_type) == (parameter_size(header.parameter_count), header.file_type)
    assert header.get("general.license") == "MIT"


def test_a_fresh_pull_copies_every_blob_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    events = pulled(store)
    assert events[0] == Progress("pulling manifest")
    assert events[-3:] == [Progress("verifying sha256 digest"), Progress("writing manifest"), Progress("success")]
    first = f"pulling {WEIGHTS.short12}"
    assert [e.completed for e in events if e.status == first] == [0, 1 << 20, 2 << 20, WEIGHTS_SIZE]
    last = {e.digest: (e.completed, e.total) for e in events if e.digest}
    assert list(last) == [str(blob.digest) for blob in blobs()]
    assert all(completed == total for completed, total in last.values())


def test_a_second_pull_has_one_event_a_blob(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    pulled(store)
    again = [event for event in pulled(store) if event.digest]
    assert [(e.digest, e.completed) for e in again] == [(str(blob.digest), blob.size) for blob in blobs()]


def test_the_pulled_model_can_be_used(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    pulled(store)
    model = store.catalog.get(TINYCHAT)
    assert model.capabilities == ["tools", "thinking", "completion"]
    assert model.size == sum(blob.size for blob in blobs())
    assert model.licenses[0].startswith("MIT License")
    assert check_json(model.params) == dict(model.params)
    assert not store.layout.manifest(TINYCHAT).read_bytes().endswith(b"\n")


@pytest.mark.parametrize("name", ["tinychat:q8_0", "acme/tinychat", "hf.co/library/tinychat", "llama3.2"])
def test_every_other_name_is_unknown(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path)
    events: list[Progress] = []
    with pytest.raises(PullError) as caught:
        bundled.pull(store, Name.parse(name), events.append)
    assert str(caught.value) == "pull model manifest: file does not exist"
    assert events == [Progress("pulling manifest")]
    assert contents(tmp_path) == set()


def test_the_names_can_be_pulled_in_any_case(tmp_path: Path) -> None:
    assert [name.short for name in bundled.names()] == ["tinychat:latest"]
    pulled(Store.open(tmp_path), Name.parse("TinyChat"))


@pytest.mark.parametrize("after", range(MAX_EVENTS - 2))
def test_a_pull_that_breaks_off_leaves_nothing(tmp_path: Path, after: int) -> None:
    store = Store.open(tmp_path)
    seen: list[Progress] = []

    def report(event: Progress) -> None:
        if len(seen) == after:
            raise ConnectionError
        seen.append(event)

    with pytest.raises(ConnectionError):
        bundled.pull(store, TINYCHAT, report)
    assert contents(tmp_path) == set()


def test_a_pull_over_another_model_removes_what_only_that_needed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    manifest_of_other = manifest().encode().replace(str(WEIGHTS).encode(), str(store.blobs.put(b"other")).encode())
    for blob in blobs():
        if blob.data is not None:
            store.blobs.put(blob.data)
    store.catalog.write(TINYCHAT, manifest_of_other)
    assert Progress("removing unused layers") in pulled(store)
    assert not store.blobs.has(Digest.of(b"other"))
