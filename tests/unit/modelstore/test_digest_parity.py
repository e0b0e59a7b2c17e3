"""Bytes and digests of the reference, one row of its record a test.

What is written there was made by the reference or comes from its registry; what is made here has to be the same.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from modelstore import canonical
from modelstore.create import create
from modelstore.create.plan import messages_data, params_data
from modelstore.digest import Digest
from modelstore.manifest import Manifest, ModelConfig
from modelstore.names import Name
from modelstore.store import Store
from tests.unit.modelstore.shop import MINIMAL, no_pull, request_of

PUBLISHED_MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"applic'
    b'ation/vnd.docker.container.image.v1+json","digest":"sha256:34bb5ab01051a11372a91f95f3fbbc51173eed8e7f13ec395b9ae9b8'
    b'bd0e242b","size":561},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:dde5aa3fc5ffc171'
    b'76b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff","size":2019377376},{"mediaType":"application/vnd.ollama.image.tem'
    b'plate","digest":"sha256:966de95ca8a62200913e3f8bfbf84c8494536f1b94b49166851e76644e966396","size":1429},{"mediaType"'
    b':"application/vnd.ollama.image.license","digest":"sha256:fcc5a6bec9daf9b561a68827b67ab6088e1dba9d1fa2a50d7bbcc8384e'
    b'0a265d","size":7711},{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:a70ff7e570d97baaf4e62ac6e'
    b'6ad9975e04caa6d900d3742d37698494479e0cd","size":6016},{"mediaType":"application/vnd.ollama.image.params","digest":"'
    b'sha256:56bb8bd477a519ffa694fc449c2413c6f0e1d3b1c88fa7e3c9d88d3ae49d4dcb","size":96}]}'
)
PUBLISHED_CONFIG = (
    b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"3.2B","file_type":"Q4_K_M","'
    b'architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:dde5aa3fc5ffc17176b5e8bdc82f587b24'
    b'b2678c6c66101bf7da77af9f7ccdff","sha256:966de95ca8a62200913e3f8bfbf84c8494536f1b94b49166851e76644e966396","sha256:f'
    b'cc5a6bec9daf9b561a68827b67ab6088e1dba9d1fa2a50d7bbcc8384e0a265d","sha256:a70ff7e570d97baaf4e62ac6e6ad9975e04caa6d90'
    b'0d3742d37698494479e0cd","sha256:56bb8bd477a519ffa694fc449c2413c6f0e1d3b1c88fa7e3c9d88d3ae49d4dcb"]}}\n'
)
MESSAGES: list[dict[str, Any]] = [
    {"role": "assistant", "content": "What is my purpose?"},
    {"role": "user", "content": "You run tests."},
    {"role": "assistant", "content": "Oh, my god."},
]
STOP = ["USER:", "ASSISTANT:"]
PARAMS_A = {"temperature": 1, "top_k": 10, "stop": STOP}
PARAMS_B = {**PARAMS_A, "temperature": 0.6, "top_p": 0.7}
CONFIG = ModelConfig("gguf", "test", ["test"], "0", "unknown")
PHI_3_STOP = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
LLAMA_3_STOP = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


@pytest.mark.parametrize(
    ("data", "size", "sha256"),
    [
        (PUBLISHED_MANIFEST, 1005, "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"),
        (PUBLISHED_CONFIG, 561, "34bb5ab01051a11372a91f95f3fbbc51173eed8e7f13ec395b9ae9b8bd0e242b"),
        (params_data({"stop": LLAMA_3_STOP}), 96, "56bb8bd477a519ffa694fc449c2413c6f0e1d3b1c88fa7e3c9d88d3ae49d4dcb"),
        (MINIMAL, 68, "89a2116c3a82d6a97f59f748d86ed4417214353fd178ee54df418fde32495fad"),
        (CONFIG.encode(), 147, "99759ad5b91e723db0393d698ffbb448b1b7df5ff6377a108c49254583b1bc8c"),
        (b"{{ .System }} {{ .Prompt }}", 27, "fe7ac77b725cda2ccad03f88a880ecdfd7a33192d6cae08fce2c0ee1455991ed"),
        (b"{{ .Prompt }}", 13, "b507b9c2f6ca642bffcd06665ea7c91f235fd32daeefdf875a0f938db05fb315"),
        (b"Say bye!", 8, "4c5f51faac758fecaff8db42f0b7382891a4d0c0bb885f7b86be88c814a7cc86"),
        (b"MIT", 3, "e5dcffe836b6ec8a58e492419b550e65fb8cbdc308503979e5dacb33ac7ea3b7"),
        (b"Apache-2.0", 10, "2af71558e438db0b73a20beab92dc278a94e1bbe974c00c1a33e3ab62d53a608"),
        (params_data(PARAMS_A), 59, "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37"),
        (params_data(PARAMS_B), 73, "e29a7b3c47287a2489c895d21fe413c20f859a85d20e749492f52a838e36e1ba"),
        (messages_data(MESSAGES), 143, "298baeaf6928a60cf666d88d64a1ba606feb43a2865687c39e40652e407bffc4"),
        (params_data({"stop": PHI_3_STOP}), 101, "0d79f567714c62c048378f2107fb332dabee0135d080c302d884317da9433cc5"),
    ],
    ids=lambda value: f"{value[:12]}" if isinstance(value, str) else "",
)
def test_content(data: bytes, size: int, sha256: str) -> None:
    """The same content is the same blob."""
    assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)
    assert Digest.of(data).hex == sha256


def test_published_manifest_is_what_we_would_write() -> None:
    """Parsed and written again it differs by the newline of what is made locally, and has the size that is shown."""
    manifest = Manifest.parse(PUBLISHED_MANIFEST)
    assert manifest.encode() == PUBLISHED_MANIFEST + b"\n"
    assert manifest.size == 2019393189


def test_published_config_is_understood() -> None:
    """What is not known stays where it is: in the blob, which nobody rewrites."""
    config = ModelConfig.parse(PUBLISHED_CONFIG)
    assert (config.model_type, config.file_type, config.model_families) == ("3.2B", "Q4_K_M", ["llama"])
    assert canonical.encode(json.loads(PUBLISHED_CONFIG)) + b"\n" == PUBLISHED_CONFIG


@pytest.fixture
def shop(tmp_path: Path) -> Store:
    """A store with the two models of the record."""
    store = Store.open(tmp_path / "models")
    body = {
        "model": "test",
        "files": {"test.gguf": str(store.blobs.put(MINIMAL))},
        "template": "{{ .System }} {{ .Prompt }}",
        "system": "Say bye!",
        "license": ["MIT", "Apache-2.0"],
        "parameters": PARAMS_A,
        "messages": MESSAGES,
    }
    derived = {"model": "test2", "from": "test", "parameters": {"temperature": 0.6, "top_p": 0.7}}
    for each in (body, derived):
        create(store, request_of(each), lambda event: None, pull=no_pull)
    return store


@pytest.mark.parametrize(
    ("name", "size", "identity"),
    [
        ("test", 1283, "87523a10d2c0d6317eb871302b4926475fc1d271eea8eb78337a49a516110969"),
        ("test2", 1409, "ef5d84dc95502e671582979bb5e27edbde2204c5d77658a562195e68ac129b06"),
    ],
)
def test_created_models(shop: Store, name: str, size: int, identity: str) -> None:
    """A model that is made the same way has the same identity."""
    data = shop.layout.manifest(Name.parse(name)).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (size, identity)
    assert shop.catalog.get(Name.parse(name)).digest == identity


def test_copy_keeps_the_identity(shop: Store) -> None:
    """Byte for byte."""
    shop.copy(Name.parse("test2"), Name.parse("other/name:tag"))
    assert shop.catalog.get(Name.parse("other/name:tag")).digest.startswith("ef5d84dc9550")
    assert shop.catalog.get(Name.parse("test")).size == 465
