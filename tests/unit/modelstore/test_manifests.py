"""Where manifests lie: what others put there, and what makes no sense."""

import json
import logging
import os
import tracemalloc
from pathlib import Path

import pytest

from modelstore.errors import InvalidManifest
from modelstore.manifest import CONFIG_TYPE, MESSAGES_TYPE, PARAMS_TYPE, SYSTEM_TYPE, Layer, Manifest, ModelConfig
from modelstore.manifests import ManifestFiles
from modelstore.names import Name
from modelstore.store import Store

MIT = "sha256:e5dcffe836b6ec8a58e492419b550e65fb8cbdc308503979e5dacb33ac7ea3b7"
LIBRARY = "registry.ollama.ai/library"


def put(store: Store, place: str, data: bytes) -> Path:
    path = store.layout.manifests / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def add(store: Store, name: str, kind: str, content: bytes, config: bytes | None = None) -> None:
    """A model with one layer."""
    layer = Layer(kind, store.blobs.put(content), len(content))
    settings = config if config is not None else ModelConfig().encode()
    store.catalog.write(
        Name.parse(name), Manifest((layer,), Layer(CONFIG_TYPE, store.blobs.put(settings), len(settings)))
    )


def listed(store: Store) -> list[str]:
    return [model.name.short for model in store.catalog.list()]


def test_everything_is_an_entry(store: Store) -> None:
    """Names in order, then why something has none or no content."""
    add(store, "a", SYSTEM_TYPE, b"x")
    put(store, f"{LIBRARY}/a/.DS_Store", b"")
    put(store, f"{LIBRARY}/b/latest", b"{")
    put(store, f"{LIBRARY}/too/deep/for/one", b"{}")
    put(store, "shallow", b"{}")
    store.layout.temporary(store.layout.manifests / LIBRARY / "a").write_bytes(b"")
    entries = list(ManifestFiles(store.layout).entries())
    assert [(entry.place, entry.name is None, entry.manifest is None) for entry in entries] == [
        (f"{LIBRARY}/a/.DS_Store", True, True),
        (f"{LIBRARY}/a/latest", False, False),
        (f"{LIBRARY}/b/latest", False, True),
    ]


def test_directories_that_cannot_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their models are missing from the list, with a word in the log; whoever has to know all models hears of it."""
    add(store, "a", SYSTEM_TYPE, b"x")
    add(store, "ns/b", SYSTEM_TYPE, b"x")
    closed = store.layout.manifests / "registry.ollama.ai" / "ns"
    scandir = os.scandir

    def deny(path: Path) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert listed(store) == ["a:latest"]
    assert "bad manifest registry.ollama.ai/ns: Permission denied" in caplog.text
    with pytest.raises(PermissionError):
        store.catalog.references(strict=True)
    assert [entry.place for entry in store.catalog.entries()] == [f"{LIBRARY}/a/latest", "registry.ollama.ai/ns"]


def test_links_to_directories_are_followed(store: Store, tmp_path: Path) -> None:
    """A namespace may lie on another disk; a manifest itself is no link. A link into nowhere or in a circle is none."""
    add(store, "a", SYSTEM_TYPE, b"x")
    (store.layout.manifests / LIBRARY).rename(tmp_path / "library")
    (store.layout.manifests / LIBRARY).symlink_to(tmp_path / "library")
    (store.layout.manifests / "nowhere").symlink_to(tmp_path / "nothing")
    (store.layout.manifests / "circle").symlink_to(store.layout.manifests / "circle")
    assert listed(store) == ["a:latest"]


@pytest.mark.parametrize(
    "layers",
    [
        b"{}," * 1_300_000 + b"{}",
        b"[]," * 1_300_000 + b"[]",
        b"[" * 4_000_000,
        b'{"mediaType":"' + b"x" * 4_000_000,
        b'{"digest":"%s","size":%s}' % (MIT.encode(), b"9" * 4000),
        b'{"digest":"%s","size":9223372036854775807}' % MIT.encode(),
        b'{"digest":"%s","size":1e30}' % MIT.encode(),
        b",".join([b'{"digest":"%s","size":4611686018427387903}' % MIT.encode()] * 2),
        b'{"digest":{"sha256":"%s"}}' % MIT.encode(),
        b'{"digest":["%s"]}' % MIT.encode(),
        b'{"digest":"%s","mediaType":7}' % MIT.encode(),
    ],
    ids=["objects", "lists", "deep", "long", "digits", "int64", "float", "sum", "map", "array", "type"],
)
def test_absurd_manifests(layers: bytes) -> None:
    """Refused, before much memory is taken for them."""
    data = b'{"layers":[' + layers + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidManifest):
            Manifest.parse(data)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_nulls_stand_for_nothing() -> None:
    """Wherever they are, but for a digest."""
    layer = f'{{"mediaType":null,"digest":"{MIT}","size":null,"from":null,"name":null,"urls":[1,{{}}]}}'
    parsed = Manifest.parse(f'{{"schemaVersion":null,"config":null,"layers":[{layer}]}}'.encode())
    (found,) = parsed.layers
    assert (found.media_type, found.size, found.from_, found.name) == ("", 0, "", "")


@pytest.mark.parametrize(
    ("kind", "content", "config"),
    [
        (PARAMS_TYPE, b'{"a":[' + b"[]," * 300_000 + b"[]]}", None),
        (PARAMS_TYPE, b'{"a":"' + b"x" * (1 << 20) + b'"}', None),
        (PARAMS_TYPE, b'{"a":1e999}', None),
        (PARAMS_TYPE, b'{"a":' + b"9" * 400 + b"}", None),
        (PARAMS_TYPE, b'{"a":NaN}', None),
        (MESSAGES_TYPE, b"[" + b"{}," * 600_000 + b"{}]", None),
        (SYSTEM_TYPE, b"x" * ((16 << 20) + 1), None),
        (SYSTEM_TYPE, b"", b'{"draft":{"config":[' + b"[]," * 300_000 + b"[]]}}"),
        (SYSTEM_TYPE, b"", b'{"model_type":"' + b"x" * (1 << 20) + b'"}'),
        (SYSTEM_TYPE, b"", b'{"context_length":' + b"9" * 40 + b"}"),
        (SYSTEM_TYPE, b"", b'{"capabilities":"tools"}'),
    ],
    ids=["lists", "long", "infinite", "digits", "nan", "objects", "text", "draft", "word", "int64", "type"],
)
def test_absurd_small_blobs(
    store: Store, caplog: pytest.LogCaptureFixture, kind: str, content: bytes, config: bytes | None
) -> None:
    """Such a model is logged and left out, and the others are listed."""
    add(store, "bad", kind, content, config)
    add(store, "good", SYSTEM_TYPE, b"")
    tracemalloc.start()
    try:
        assert listed(store) == ["good:latest"]
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
    assert "bad/latest" in caplog.text


def test_large_numbers_are_doubles(store: Store) -> None:
    """As every number of the parameters is to the reference."""
    add(store, "m", PARAMS_TYPE, b'{"a":12345678901234567890123,"b":7,"c":-0.5}')
    assert store.catalog.get(Name.parse("m")).params == {"a": 1.2345678901234568e22, "b": 7, "c": -0.5}


@pytest.mark.parametrize("moment", [-(10**10), 2**36, 2**42])
def test_files_out_of_time(store: Store, moment: int) -> None:
    """A model whose manifest claims to be from the year 0 or 60000 is listed like the others."""
    add(store, "m", SYSTEM_TYPE, b"")
    os.utime(store.layout.manifest(Name.parse("m")), (moment, moment))
    (model,) = store.catalog.list()
    assert 1969 <= model.modified_at.year <= 9999


def test_deprecated_layers_are_mentioned(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Embeddings in a model are ignored, with a warning."""
    add(store, "m", "application/vnd.ollama.image.embed", b"")
    with caplog.at_level(logging.WARNING):
        assert listed(store) == ["m:latest"]
    assert "m:latest contains embeddings, which are ignored" in caplog.text


def test_manifests_of_other_programs(store: Store) -> None:
    """Pretty-printed, in another order, with keys of their own, without layers or config: kept and understood."""
    digest = store.blobs.put(b"x")
    layer = {"annotations": {"a": 1}, "size": 1, "digest": str(digest).replace(":", "-"), "mediaType": SYSTEM_TYPE}
    pretty = json.dumps({"layers": [layer], "annotations": {}, "schemaVersion": 2}, indent=3).encode()
    for name, data in (("pretty", pretty), ("none", b'{"layers":null}'), ("empty", b"{}")):
        path = put(store, f"{LIBRARY}/{name}/latest", data)
        assert store.catalog.get(Name.parse(name)).digest
        store.copy(Name.parse(name), Name.parse(f"{name}:copy"))
        assert path.with_name("copy").read_bytes() == data
    assert store.catalog.get(Name.parse("pretty")).system == "x"
    assert store.catalog.references(strict=True) == {digest}
    assert len(listed(store)) == 6
