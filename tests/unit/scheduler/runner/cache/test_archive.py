"""Host memory for prefixes."""

import numpy as np

from scheduler.runner.cache.archive import Archive, Checkpoint, Kept


def kept(size: int, checkpoint: int = 0) -> Kept:
    checkpoints = [Checkpoint(1, np.zeros(checkpoint, np.uint8))] if checkpoint else []
    return Kept([1], np.zeros(size, np.uint8), 0, 1, (), checkpoints)


def test_the_one_not_used_for_longest_leaves_first() -> None:
    archive = Archive(100)
    first, second, third = kept(40), kept(40), kept(40)
    assert archive.add(first) == archive.add(second) == []
    archive.touch(first)
    assert archive.add(third) == [second]
    assert (archive.size, len(archive)) == (80, 2)


def test_what_is_bigger_than_the_room_is_not_taken() -> None:
    archive = Archive(100)
    small, big = kept(60), kept(60, checkpoint=50)
    archive.add(small)
    assert archive.add(big) == [big]
    assert (archive.size, len(archive)) == (60, 1)


def test_using_what_has_gone_does_nothing() -> None:
    archive = Archive(100)
    gone = kept(60)
    archive.add(gone)
    archive.discard(gone)
    archive.touch(gone)
    assert (archive.size, len(archive)) == (0, 0)


def test_freeing_twice_is_freeing_once() -> None:
    archive = Archive(100)
    one = kept(60)
    archive.add(one)
    archive.discard(one)
    archive.discard(one)
    assert archive.size == 0
