"""Every blob against its digest."""

import os
from pathlib import Path

import pytest

from modelstore import bundled
from modelstore import verify as verification
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound, ModelNotFound
from modelstore.manifest import LICENSE_TYPE, SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.progress import Progress
from modelstore.store import Store
from modelstore.verify import Finding, verify

A, B, C = (Digest.of(text) for text in (b"a", b"bb", b"ccc"))


def add(store: Store, text: str, *contents: bytes) -> None:
    layers = [Layer(SYSTEM_TYPE, store.blobs.put(content), len(content)) for content in contents]
    store.catalog.write(Name.parse(text), Manifest(tuple(layers)))


def spoil(store: Store, digest: Digest, content: bytes) -> None:
    store.layout.blob(digest).write_bytes(content)


def run(store: Store, model: str = "") -> list[Progress]:
    events: list[Progress] = []
    verify(store, events.append, Name.parse(model) if model else None)
    return events


def statuses(store: Store) -> dict[str, str]:
    """Of the blobs, by their digest."""
    return {event.digest: event.status for event in run(store) if event.digest}


@pytest.fixture
def filled(store: Store) -> Store:
    """Two models that share a blob."""
    add(store, "one", b"a", b"bb")
    add(store, "two", b"bb")
    return store


def test_a_sound_store(filled: Store) -> None:
    """A line a blob with those that use it, then the sum."""
    assert run(filled) == [
        Finding("ok", str(A), size=1, models=["one:latest"]),
        Finding("ok", str(B), size=2, models=["one:latest", "two:latest"]),
        Finding("success", size=3, blobs=2, damaged=0, unused=0),
    ]


def test_all_kinds_of_damage(filled: Store, tmp_path: Path) -> None:
    """Each is told with what there is to know, and the models that suffer are named at the end."""
    add(filled, "three", b"ccc")
    add(filled, "four", b"dddd")
    filled.blobs.put(b"nobody's")
    spoil(filled, A, b"x")
    filled.blobs.remove(B)
    filled.blobs.remove(C)
    filled.layout.blob(C).symlink_to(tmp_path)
    bad = filled.layout.manifests / "registry.ollama.ai" / "library" / "bad"
    bad.mkdir()
    (bad / "latest").write_text("[")
    (bad / ".DS_Store").write_text("")
    events = run(filled)
    assert events[0] == Finding(
        "invalid", manifest="registry.ollama.ai/library/bad/.DS_Store", reason="not the name of a model"
    )
    assert isinstance(events[1], Finding)
    assert (events[1].status, events[1].models) == ("invalid", ["bad:latest"])
    assert events[1].reason.startswith("invalid manifest: ")
    assert events[2:] == [
        Finding("ok", str(Digest.of(b"dddd")), size=4, models=["four:latest"]),
        Finding("corrupt", str(A), size=1, models=["one:latest"], found=str(Digest.of(b"x"))),
        Finding("missing", str(B), size=2, models=["one:latest", "two:latest"]),
        Finding("unreadable", str(C), models=["three:latest"], reason="not a regular file"),
        Finding("unused", str(Digest.of(b"nobody's")), size=8),
        Finding(
            "damaged",
            size=13,
            models=["bad:latest", "one:latest", "three:latest", "two:latest"],
            blobs=5,
            damaged=5,
            unused=1,
        ),
    ]


def test_a_size_that_the_manifest_does_not_say(store: Store) -> None:
    """The blob is what its digest says, and not what the model needs; others may still build upon it."""
    digest = store.blobs.put(b"a")
    store.catalog.write(Name.parse("m"), Manifest((Layer(LICENSE_TYPE, digest, 7),)))
    first, _ = run(store)
    assert first == Finding("corrupt", str(A), size=1, models=["m:latest"], reason="the manifest says 7 bytes")
    assert store.blobs.touch(A)


def test_unused_and_corrupt(store: Store) -> None:
    """What nobody needs is checked too, as the next pull would take it for what it is not."""
    store.blobs.put(b"a")
    spoil(store, A, b"zz")
    assert statuses(store) == {str(A): "corrupt"}


def test_one_model(filled: Store) -> None:
    """Only its blobs; the others that need them are not looked for."""
    add(filled, "ns/three:v1", b"ccc")
    assert [event.digest for event in run(filled, "two")] == [str(B), ""]
    with pytest.raises(ModelNotFound):
        run(filled, "nope")


def test_one_damaged_model(filled: Store) -> None:
    """A manifest that cannot be read is a finding, not an error."""
    filled.layout.manifest(Name.parse("two")).write_text("{")
    first, last = run(filled, "two")
    assert first.status == "invalid"
    assert last == Finding("damaged", models=["two:latest"], blobs=0, damaged=1, unused=0)


def test_unreadable_blob(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk does not give is told in the system's words, without a path."""
    real = os.readv

    def fail(fd: int, buffers: list[memoryview]) -> int:
        if os.fstat(fd).st_size == 2:
            raise OSError(5, "Input/output error", "/secret")
        return real(fd, buffers)

    monkeypatch.setattr(os, "readv", fail)
    found = {event.digest: event for event in run(filled)}[str(B)]
    assert found == Finding("unreadable", str(B), models=["one:latest", "two:latest"], reason="Input/output error")


def test_large_blobs_tell_how_far_they_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, of which the first comes before anything is read; the file is never in memory as a whole."""
    monkeypatch.setattr(verification, "STEP", 2 << 20)
    content = bytes(5 << 20)
    digest = store.blobs.put(content)
    assert run(store)[:-1] == [
        Progress("verifying", str(digest), len(content)),
        Progress("verifying", str(digest), len(content), 2 << 20),
        Progress("verifying", str(digest), len(content), 4 << 20),
        Finding("unused", str(digest), size=len(content)),
    ]


def test_the_listener_can_end_it(filled: Store) -> None:
    """Whatever it raises comes out at once, and no file stays open."""

    class Enough(BaseException):
        pass

    def stop(_: Progress) -> None:
        raise Enough

    fds = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(Enough):
        verify(filled, stop)
    if fds:
        assert len(os.listdir("/proc/self/fd")) == fds


def test_a_model_that_is_deleted_meanwhile(filled: Store) -> None:
    """Its blobs are not missing: nobody needs them any more."""
    events: list[Progress] = []

    def delete_after_the_first(event: Progress) -> None:
        events.append(event)
        if len(events) == 1:
            filled.catalog.delete(Name.parse("one"))
            filled.catalog.delete(Name.parse("two"))

    verify(filled, delete_after_the_first)
    assert [event.status for event in events] == ["ok", "success"]


def test_damaged_blobs_are_replaced(filled: Store) -> None:
    """Once they are known to be damaged nothing is built on them, and the right content takes their place."""
    spoil(filled, A, b"x")
    assert filled.blobs.touch(A)
    run(filled)
    assert filled.blobs.has(A)
    assert not filled.blobs.touch(A)
    assert not filled.blobs.is_sound(A)
    with pytest.raises(BlobNotFound):
        filled.catalog.write(Name.parse("new"), Manifest((Layer(SYSTEM_TYPE, A, 1),)))
    filled.blobs.put(b"a")
    assert filled.blobs.is_sound(A)
    assert set(statuses(filled).values()) == {"ok"}


def test_a_pull_mends(store: Store) -> None:
    """As `verify` on the command line advises."""
    name = bundled.names()[0]
    bundled.pull(store, name, lambda event: None)
    weights = store.catalog.get(name).weights[0]
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run(store)[-1].status == "damaged"
    bundled.pull(store, name, lambda event: None)
    assert weights.read_bytes() == content
    assert run(store)[-1].status == "success"


def test_stores_that_are_only_read(tmp_path: Path) -> None:
    """They are checked too, marked as what they are, and change nothing about ours."""
    other = Store.open(tmp_path / "other")
    add(other, "theirs", b"a")
    add(other, "more", b"bb")
    spoil(other, A, b"x")
    store = Store.open(tmp_path / "own", extras=[tmp_path / "other"])
    assert run(store) == [
        Finding("ok", str(B), size=2, models=["more:latest"], read_only=True),
        Finding("corrupt", str(A), size=1, models=["theirs:latest"], found=str(Digest.of(b"x")), read_only=True),
        Finding("damaged", size=3, models=["theirs:latest"], blobs=2, damaged=1, unused=0),
    ]
    assert [event.status for event in run(store, "theirs")] == ["corrupt", "damaged"]
