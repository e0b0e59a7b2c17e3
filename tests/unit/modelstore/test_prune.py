"""What start-up and who asks for it remove, and what they must not touch."""

import logging
import os
from pathlib import Path

import pytest

from modelstore.blobs import BlobStore
from modelstore.digest import Digest
from modelstore.errors import DamagedManifests
from modelstore.manifest import SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.prune import GRACE, PARTIAL_LIFETIME, Removed, at_start, prune, rename_old_blobs
from modelstore.store import Store

NOW = 2_000_000_000.0
OLD = NOW - GRACE - 1
YOUNG = NOW - GRACE + 1


def aged(path: Path, moment: float, content: bytes = b"") -> Path:
    """A file that was last changed at that time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (moment, moment))
    return path


def blob(store: Store, content: bytes, moment: float) -> Path:
    return aged(store.blobs.path(Digest.of(content)), moment, content)


def model(store: Store, name: str, content: bytes) -> Path:
    """A model of one layer; its blob looks old."""
    digest = store.blobs.put(content)
    store.catalog.write(Name.parse(name), Manifest((Layer(SYSTEM_TYPE, digest, len(content)),)))
    return blob(store, content, OLD)


def run(store: Store) -> None:
    at_start(store, NOW)


def test_unneeded_blobs(store: Store) -> None:
    """Gone is what no model needs, once it has not changed for an hour."""
    needed, old, young = model(store, "m", b"needed"), blob(store, b"old", OLD), blob(store, b"young", YOUNG)
    run(store)
    assert (needed.exists(), old.exists(), young.exists()) == (True, False, True)


def test_own_leftovers(store: Store) -> None:
    """Our temporary files go after an hour, our unfinished downloads after a week."""
    layout, digest = store.layout, Digest.of(b"x")
    gone = [
        aged(layout.temporary(layout.blobs), OLD),
        aged(layout.temporary(layout.manifests / "h" / "n" / "m"), OLD),
        aged(layout.work / "run" / "file", OLD),
        aged(layout.partials / "junk", NOW - PARTIAL_LIFETIME - 1),
    ]
    os.utime(layout.work / "run", (OLD, OLD))
    kept = [
        aged(layout.temporary(layout.blobs), YOUNG),
        aged(layout.work / "busy" / "sub" / "file", YOUNG),
        aged(layout.partial(digest), NOW - PARTIAL_LIFETIME - 1),
        aged(layout.journal(digest), NOW - PARTIAL_LIFETIME + 1),
    ]
    for directory in (layout.work / "busy" / "sub", layout.work / "busy"):
        os.utime(directory, (OLD, OLD))
    run(store)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert not (layout.work / "run").exists()


def test_what_others_left(store: Store, tmp_path: Path) -> None:
    """Unfinished files of other programs, links and directories are not ours to remove."""
    base = store.blobs.path(Digest.of(b"x"))
    (tmp_path / "target").write_bytes(b"x")
    kept = [
        aged(base.with_name(base.name + "-partial"), OLD),
        aged(base.with_name(base.name + "-partial-0"), OLD),
        aged(store.layout.blobs / "sha256-123", OLD),
        aged(store.layout.blobs / "note.txt", OLD),
    ]
    base.symlink_to(tmp_path / "target")
    os.utime(base, (OLD, OLD), follow_symlinks=False)
    run(store)
    assert [path for path in [*kept, base, tmp_path / "target"] if not path.exists()] == []


def test_empty_directories(store: Store) -> None:
    """They go, and full ones stay."""
    model(store, "m", b"x")
    empty = store.layout.manifests / "host" / "ns" / "model"
    empty.mkdir(parents=True)
    run(store)
    assert not (store.layout.manifests / "host").exists()
    assert store.layout.manifest(Name.parse("m")).exists()


@pytest.mark.parametrize("kind", ["junk", "stray name"])
def test_damaged_manifests_stop_everything(store: Store, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """A manifest that cannot be read may need any blob."""
    library = store.layout.manifests / "registry.ollama.ai" / "library"
    aged(library / "bad" / ("latest" if kind == "junk" else ".DS_Store"), OLD, b"{")
    old = blob(store, b"old", OLD)
    run(store)
    assert old.exists()
    assert "corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear" in caplog.text


def test_held_blobs(store: Store) -> None:
    """Nothing that somebody works with is removed, however old it looks."""
    old = blob(store, b"old", OLD)
    with store.holding([Digest.of(b"old")]):
        run(store)
    assert old.exists()


def test_blobs_of_old_versions(store: Store) -> None:
    """Blobs with a colon in their name get today's name, and lose to one that is there."""
    first, second = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    aged(store.layout.blobs / first, OLD, b"1")
    aged(store.layout.blobs / second, OLD, b"2")
    aged(store.layout.blobs / second.replace(":", "-"), OLD, b"there")
    rename_old_blobs(store.layout)
    assert (store.layout.blobs / first.replace(":", "-")).read_bytes() == b"1"
    assert (store.layout.blobs / second.replace(":", "-")).read_bytes() == b"there"
    assert (store.layout.blobs / second).exists()


# -- on demand --------------------------------------------------------------------------------------------------------


def test_what_is_removed_is_told(store: Store) -> None:
    """Blobs by their digest, other files by their place, each with its size; a week is not waited for."""
    layout, digest = store.layout, Digest.of(b"x")
    model(store, "m", b"needed")
    blob(store, b"old", OLD)
    aged(layout.temporary(layout.blobs).with_name("llamad-" + "0" * 32 + ".tmp"), OLD, b"12")
    aged(layout.work / "run" / "file", OLD, b"123")
    os.utime(layout.work / "run", (OLD, OLD))
    aged(layout.partial(digest), OLD, b"1234")
    aged(layout.journal(digest), OLD, b"1")
    removed = prune(store, NOW)
    assert removed == [
        Removed(3, Digest.of(b"old")),
        Removed(2, place=f"blobs/llamad-{'0' * 32}.tmp"),
        Removed(3, place=str((layout.work / "run").relative_to(layout.root))),
        Removed(4, place=f".llamad/partials/{digest.file_name}"),
        Removed(1, place=f".llamad/partials/{digest.file_name}.journal"),
    ]
    assert prune(store, NOW) == []


def test_a_trial_changes_nothing(store: Store) -> None:
    """It tells the same as the real thing."""
    blob(store, b"old", OLD)
    aged(store.layout.partials / "junk", OLD, b"1")
    (store.layout.manifests / "host" / "ns").mkdir(parents=True)
    told = prune(store, NOW, dry_run=True)
    assert [each.size for each in told] == [3, 1]
    assert (store.layout.manifests / "host" / "ns").exists()
    assert prune(store, NOW) == told


def test_downloads_that_go_on_are_kept(store: Store) -> None:
    """Of a download that somebody holds, both files stay; and of one whose journal is young."""
    held, young = Digest.of(b"held"), Digest.of(b"young")
    kept = [aged(path, OLD) for path in (store.layout.partial(held), store.layout.journal(held))]
    kept += [aged(store.layout.partial(young), OLD), aged(store.layout.journal(young), YOUNG)]
    with store.holding([held]):
        assert prune(store, NOW) == []
    assert all(path.exists() for path in kept)


def test_refused_while_a_manifest_is_damaged(store: Store) -> None:
    """The error says what is wrong."""
    aged(store.layout.manifests / "registry.ollama.ai" / "library" / "bad" / "latest", OLD, b"{")
    with pytest.raises(DamagedManifests, match="Re-pull or delete to clear: invalid manifest"):
        prune(store, NOW)


def test_what_cannot_be_removed_is_not_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the others go."""
    blob(store, b"old", OLD)
    junk = aged(store.layout.partials / "junk", OLD, b"1")

    def fail(_: BlobStore, _digest: Digest) -> bool:
        raise PermissionError(1, "not yours", "/secret")

    monkeypatch.setattr(BlobStore, "remove", fail)
    assert prune(store, NOW) == [Removed(1, place=".llamad/partials/junk")]
    assert not junk.exists()
    assert "not yours" in caplog.text
    assert "/secret" not in caplog.text


def test_start_up_says_how_many(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Blobs that are there, and blobs that were removed."""
    model(store, "m", b"needed")
    blob(store, b"old", OLD)
    with caplog.at_level(logging.INFO):
        run(store)
    assert "total blobs: 1" in caplog.text
    assert "total unused blobs removed: 1" in caplog.text
