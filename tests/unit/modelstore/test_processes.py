"""Several processes work on one directory at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelstore.progress import Progress
from modelstore.store import Store
from modelstore.verify import verify

ROOT = Path(__file__).parents[3]
TURNS = 40
WRITER = """
import sys
from pathlib import Path
from modelstore.digest import Digest
from modelstore.errors import BlobNotFound
from modelstore.manifest import SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.store import Store
from modelstore.transaction import Transaction

root, who, turns = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = Store.open(root)
mine, copy = Name.parse(who), Name.parse(f"{who}/copy")
print("ready", flush=True)
sys.stdin.readline()
made = 0
for turn in range(turns):
    contents = [b"shared by all", f"{who} {turn % 2}".encode()]
    layers = tuple(Layer(SYSTEM_TYPE, Digest.of(content), len(content)) for content in contents)
    try:
        with Transaction(store) as transaction:
            for content, layer in zip(contents, layers):
                transaction.put(content, layer.digest)
            store.remove_unused(transaction.write(mine, Manifest(layers)))
    except BlobNotFound:
        continue  # another process deleted the last model that needed it, just before
    made += 1
    store.copy(mine, copy)
    store.catalog.delete(mine)
    store.catalog.delete(copy)
print(made)
"""


def writer(root: Path, who: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), who, str(TURNS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_writers_and_readers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who looks sees whole models only, and in the end every model that is there has its blobs, and nothing is left."""
    store = Store.open(tmp_path / "models")
    keeper = store.blobs.put(b"kept")
    writers = [writer(store.layout.root, who) for who in ("first", "second")]
    try:
        for each in writers:
            assert each.stdout is not None
            assert each.stdin is not None
            assert each.stdout.readline() == "ready\n"
        for each in writers:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.close()
        looks = 0
        while any(each.poll() is None for each in writers):
            assert {model.name.model for model in store.catalog.list()} <= {"first", "second", "copy"}
            looks += 1
        made = [int(each.stdout.read()) for each in writers if each.stdout is not None]
    finally:
        for each in writers:
            each.kill()
            each.wait()
            if each.stdout is not None:
                each.stdout.close()
    assert [each.returncode for each in writers] == [0, 0]
    assert looks
    assert min(made) > 0
    assert "bad manifest" not in caplog.text
    events: list[Progress] = []
    verify(store, events.append)
    assert events[-1].status == "success"
    assert list(store.blobs.digests()) == [keeper]
    assert store.catalog.names() == []
