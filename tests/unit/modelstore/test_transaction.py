"""Blobs of a model in the making: kept meanwhile, and taken out again when it comes to nothing."""

from pathlib import Path

import pytest

from modelstore.digest import Digest
from modelstore.errors import DigestMismatch, DiskFull
from modelstore.manifest import CONFIG_TYPE, SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.store import Store
from modelstore.storelock import StoreLock
from modelstore.transaction import Transaction

DATA = b"{}"
DIGEST = Digest.of(DATA)
NAME = Name.parse("m")
MANIFEST = Manifest((Layer(SYSTEM_TYPE, DIGEST, 2),), Layer(CONFIG_TYPE, DIGEST, 2))


class BrokenOffError(Exception):
    """Raised inside of a transaction."""


def test_what_was_written_goes_again_after_an_error_and_what_was_there_stays(store: Store) -> None:
    old = store.blobs.put(b"old")

    def work() -> None:
        with Transaction(store) as transaction:
            assert transaction.put(DATA, DIGEST)
            assert not transaction.put(DATA, DIGEST)
            assert not transaction.put(b"old", old)
            with store.blobs.create() as writer:
                writer.write(b"more")
                transaction.commit(writer)
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        work()
    assert list(store.blobs.digests()) == [old]


def test_blobs_in_use_are_not_removed_until_the_block_ends(store: Store) -> None:
    with Transaction(store) as transaction:
        assert not transaction.has(DIGEST)
        transaction.put(DATA, DIGEST)
        assert not store.remove_unused([DIGEST])
    assert store.remove_unused([DIGEST]) == {DIGEST}


def test_a_model_that_was_written_keeps_its_blobs_whatever_comes_after(store: Store) -> None:
    def work() -> None:
        with Transaction(store) as transaction:
            transaction.put(DATA, DIGEST)
            assert transaction.write(NAME, MANIFEST) == frozenset()
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        work()
    assert store.catalog.get(NAME).system == "{}"


def test_a_blob_that_another_transaction_needs_stays(store: Store) -> None:
    def work(other: Transaction) -> None:
        with Transaction(store) as transaction:
            transaction.put(DATA, DIGEST)
            assert other.has(DIGEST)
            raise BrokenOffError

    with Transaction(store) as other:
        with pytest.raises(BrokenOffError):
            work(other)
        other.write(NAME, MANIFEST)
    assert store.blobs.has(DIGEST)


def test_a_blob_with_another_digest_than_promised_is_refused(store: Store) -> None:
    def work() -> None:
        with Transaction(store) as transaction, store.blobs.create() as writer:
            writer.write(b"other")
            transaction.commit(writer, DIGEST)

    with pytest.raises(DigestMismatch):
        work()
    assert list(store.blobs.digests()) == []


def test_the_first_error_is_told_when_what_was_written_cannot_be_taken_out_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process holds the store, or the disk is broken; the next start sees to it."""
    monkeypatch.setattr("modelstore.storelock.PATIENCE", 0.0)
    busy = Store.open(store.layout.root)

    def work() -> None:
        with Transaction(busy) as transaction:
            transaction.put(DATA, DIGEST)
            raise BrokenOffError

    with StoreLock(store.layout.root), pytest.raises(BrokenOffError):
        work()
    assert "locked by another process" in caplog.text
    assert busy.holds.digests() == frozenset()


def test_a_manifest_that_cannot_be_written_takes_its_blobs_along(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was just large enough for them."""

    def full(_path: Path, _data: bytes, _temporary: Path) -> None:
        raise DiskFull

    monkeypatch.setattr("modelstore.files.write_atomically", full)

    def work() -> None:
        with Transaction(store) as transaction:
            transaction.put(DATA, DIGEST)
            transaction.write(NAME, MANIFEST)

    with pytest.raises(DiskFull):
        work()
    assert list(store.blobs.digests()) == []


def test_a_damaged_blob_is_written_again(store: Store) -> None:
    """Its size tells."""
    store.blobs.path(DIGEST).write_bytes(b"{")
    with Transaction(store) as transaction:
        assert transaction.put(DATA, DIGEST)
        transaction.write(NAME, MANIFEST)
    assert store.catalog.get(NAME).system == "{}"
