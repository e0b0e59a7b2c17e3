"""The working directory: its links, its room, and that it goes."""

import shutil
from pathlib import Path

import pytest

from modelstore.errors import DiskFull
from modelstore.quantize.bench import Bench
from tests.unit.modelstore.quantize import files

WEIGHT = ("w.weight", (32, 4), 1)


def test_shards_lie_under_the_names_that_the_engine_takes_whatever_their_own_are(tmp_path: Path) -> None:
    headers = [
        files.header(tmp_path / f"sha256-{number}", files.model("llama", WEIGHT, split__no=number, split__count=2))
        for number in range(2)
    ]
    with Bench(tmp_path / "a" / "work", headers) as bench:
        assert bench.sources == ("model-00001-of-00002.gguf", "model-00002-of-00002.gguf")
        assert [(bench.directory / name).resolve().name for name in bench.sources] == ["sha256-0", "sha256-1"]
        bench.result.write_bytes(b"x")
    assert list((tmp_path / "a" / "work").iterdir()) == []
    assert all(header.path.exists() for header in headers)


def test_room_is_asked_for_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = files.header(tmp_path / "m", files.model("llama", WEIGHT))
    with Bench(tmp_path / "work", [header]) as bench:
        monkeypatch.setattr(shutil, "disk_usage", files.disk(1 << 20))
        bench.require(1 << 19)
        bench.check_room()
        with pytest.raises(DiskFull) as caught:
            bench.require(1 << 20)
        assert caught.value.available == 1 << 20
        assert (caught.value.needed or 0) > 1 << 20


def test_what_has_been_written_counts_when_it_is_asked_whether_the_disk_ran_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = files.header(tmp_path / "m", files.model("llama", WEIGHT))
    with Bench(tmp_path / "work", [header]) as bench:
        bench.require(1 << 20)
        bench.result.write_bytes(bytes(1 << 20))
        monkeypatch.setattr(shutil, "disk_usage", files.disk(1 << 19))
        bench.check_room()
        monkeypatch.setattr(shutil, "disk_usage", files.disk(0))
        with pytest.raises(DiskFull):
            bench.check_room()


def test_a_shard_that_is_there_twice_leaves_nothing(tmp_path: Path) -> None:
    header = files.header(tmp_path / "m", files.model("llama", WEIGHT))
    with pytest.raises(FileExistsError):
        Bench(tmp_path / "work", [header, header])
    assert list((tmp_path / "work").iterdir()) == []
