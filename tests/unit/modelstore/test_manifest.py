"""Manifests and configs: bytes and digests of the reference."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.digest import Digest
from modelstore.errors import InvalidDigest, InvalidManifest
from modelstore.manifest import (
    CONFIG_TYPE,
    LICENSE_TYPE,
    MAX_LAYERS,
    MESSAGES_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    SYSTEM_TYPE,
    TEMPLATE_TYPE,
    Draft,
    Layer,
    Manifest,
    ModelConfig,
)

WEIGHTS = "89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"
TEMPLATE = "fe7ac77b725cda2ccad03f88a880ecdfd7a33192d6cae08fce2c0ee1455991ed"
SYSTEM = "4c5f51faac758fecaff8db42f0b7382891a4d0c0bb885f7b86be88c814a7cc86"
MIT = "e5dcffe836b6ec8a58e492419b550e65fb8cbdc308503979e5dacb33ac7ea3b7"
APACHE = "2af71558e438db0b73a20beab92dc278a94e1bbe974c00c1a33e3ab62d53a608"
PARAMS_A = "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37"
PARAMS_B = "e29a7b3c47287a2489c895d21fe413c20f859a85d20e749492f52a838e36e1ba"
MESSAGES = "298baeaf6928a60cf666d88d64a1ba606feb43a2865687c39e40652e407bffc4"
CONFIG = "99759ad5b91e723db0393d698ffbb448b1b7df5ff6377a108c49254583b1bc8c"
BASE = [
    (MODEL_TYPE, WEIGHTS, 68), (TEMPLATE_TYPE, TEMPLATE, 27), (SYSTEM_TYPE, SYSTEM, 8),
    (LICENSE_TYPE, MIT, 3), (LICENSE_TYPE, APACHE, 10),
]  # fmt: skip
LLAMA32 = [
    (MODEL_TYPE, "dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff", 2019377376),
    (TEMPLATE_TYPE, "966de95ca8a62200913e3f8bfbf84c8494536f1b94b49166851e76644e966396", 1429),
    (LICENSE_TYPE, "fcc5a6bec9daf9b561a68827b67ab6088e1dba9d1fa2a50d7bbcc8384e0a265d", 7711),
    (LICENSE_TYPE, "a70ff7e570d97baaf4e62ac6e6ad9975e04caa6d900d3742d37698494479e0cd", 6016),
    (PARAMS_TYPE, "56bb8bd477a519ffa694fc449c2413c6f0e1d3b1c88fa7e3c9d88d3ae49d4dcb", 96),
]
LLAMA32_CONFIG = "34bb5ab01051a11372a91f95f3fbbc51173eed8e7f13ec395b9ae9b8bd0e242b"


def manifest(layers: list[tuple[str, str, int]], config: tuple[str, int], parent: str = "") -> Manifest:
    made = [Layer(kind, Digest(sha), size, parent) for kind, sha, size in layers]
    return Manifest(tuple(made), Layer(CONFIG_TYPE, Digest(config[0]), config[1]))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_published_model() -> None:
    """The manifest of llama3.2 as the registry has it, but for the newline that local ones end with."""
    made = manifest(LLAMA32, (LLAMA32_CONFIG, 561))
    data = made.encode()
    assert len(data) == 1006
    assert sha256(data[:-1]) == "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"
    assert made.size == 2019393189
    assert Manifest.parse(data) == made


def test_created_model() -> None:
    """A model with all kinds of small layers, as create writes it."""
    made = manifest([*BASE, (PARAMS_TYPE, PARAMS_A, 59), (MESSAGES_TYPE, MESSAGES, 143)], (CONFIG, 147))
    assert len(made.encode()) == 1283
    assert sha256(made.encode()) == "87523a10d2c0d6317eb871302b4926475fc1d271eea8eb78337a49a516110969"
    assert made.size == 465


def test_derived_model() -> None:
    """Layers that were inherited say from where."""
    inherited = manifest([*BASE, (MESSAGES_TYPE, MESSAGES, 143)], (CONFIG, 147), "test:latest")
    added = Layer(PARAMS_TYPE, Digest(PARAMS_B), 73)
    made = Manifest((*inherited.layers, added), Layer(CONFIG_TYPE, Digest(CONFIG), 147))
    assert len(made.encode()) == 1409
    assert sha256(made.encode()) == "ef5d84dc95502e671582979bb5e27edbde2204c5d77658a562195e68ac129b06"


def test_config() -> None:
    """The config of a small model, and that what is empty is left out."""
    config = ModelConfig(
        model_format="gguf", model_family="test", model_families=["test"], model_type="0", file_type="unknown"
    )
    assert (len(config.encode()), sha256(config.encode())) == (147, CONFIG)
    assert ModelConfig.parse(config.encode()) == config


def test_every_member_of_a_config() -> None:
    """All of them come back, in their order."""
    config = ModelConfig(
        model_format="gguf", model_family="f", model_families=None, renderer="r", parser="p", requires="0.14.0",
        remote_host="h", remote_model="m", capabilities=["tools"], context_length=1, embedding_length=2,
        base_name="b", draft=Draft(model_format="gguf", architecture="a"),
    )  # fmt: skip
    text = config.encode().decode()
    assert list(json.loads(text)) == [
        "model_format", "model_family", "model_families", "model_type", "file_type", "renderer", "parser", "requires",
        "remote_host", "remote_model", "capabilities", "context_length", "embedding_length", "base_name", "draft",
        "architecture", "os",
    ]  # fmt: skip
    assert '"model_families":null' in text
    assert '"draft":{"model_format":"gguf","architecture":"a"}' in text
    assert ModelConfig.parse(config.encode()) == config


def test_config_of_others() -> None:
    """Unknown members and nulls are no trouble; a wrong type is."""
    data = b'{"rootfs":{"type":"layers"},"renderer":null,"model_type":"3.2B","os":"linux","x":[1]}'
    assert ModelConfig.parse(data).model_type == "3.2B"
    for broken in (b'{"model_type":1}', b"[]", b"{", b"", b'"x"'):
        with pytest.raises(InvalidManifest):
            ModelConfig.parse(broken)


def test_manifest_of_others() -> None:
    """Any order and form, additional keys, no layers, no config."""
    layer = f'{{"size": 3, "digest": "sha256:{MIT}", "annotations": {{}}, "mediaType": "{LICENSE_TYPE}", "from": null}}'
    parsed = Manifest.parse(f'{{"layers": [\n{layer}\n], "x": 1, "config": null}}'.encode())
    assert parsed == Manifest((Layer(LICENSE_TYPE, Digest(MIT), 3),))
    assert Manifest.parse(b'{"layers":null,"config":{"digest":""}}') == Manifest(())
    assert Manifest(()).encode().endswith(b'"layers":null}\n')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"layers":{}}',
        b'{"layers":[1]}',
        b'{"layers":[{"size":"1"}]}',
        b"\xff{}",
        b"[" * 10**5,
        f'{{"layers":[{{"digest":"sha256:{MIT}","size":-1}}]}}'.encode(),
        json.dumps({"layers": [{"digest": f"sha256:{MIT}"}] * (MAX_LAYERS + 1)}).encode(),
        b" " * (4 << 20) + b"{}",
    ],
)
def test_bad_manifests(data: bytes) -> None:
    """What is no manifest, or no reasonable one, is refused."""
    with pytest.raises(InvalidManifest):
        Manifest.parse(data)


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "sha256:12", ""])
def test_bad_digest_in_a_layer(digest: str) -> None:
    """A digest is checked before anything can become of it."""
    with pytest.raises(InvalidDigest):
        Manifest.parse(json.dumps({"layers": [{"digest": digest, "size": 1}]}).encode())


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(str))
def test_noise(data: Any) -> None:
    """Whatever stands in a manifest file, it is parsed or refused."""
    try:
        Manifest.parse(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
    except (InvalidManifest, InvalidDigest):
        pass
