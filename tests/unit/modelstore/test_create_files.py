"""Uploaded files: what they are taken for, shards, adapters, drafts, templates."""

from pathlib import Path
from typing import Any

import pytest

from modelstore.create.sources import classify
from modelstore.digest import Digest
from modelstore.gguf import read_header
from modelstore.manifest import (
    ADAPTER_TYPE,
    DRAFT_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    PROJECTOR_TYPE,
    TEMPLATE_TYPE,
)
from modelstore.names import Name
from modelstore.template import NamedTemplate
from tests.unit.modelstore import tinygguf
from tests.unit.modelstore.shop import FILES, THINKING_TOOLS, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kv", "media_type"),
    [
        ({"general.architecture": "llama"}, MODEL_TYPE),
        ({"general.architecture": "llama", "general.type": "adapter"}, ADAPTER_TYPE),
        ({"general.architecture": "clip", "general.type": "projector"}, PROJECTOR_TYPE),
        ({"general.architecture": "clip", "general.type": "mmproj"}, PROJECTOR_TYPE),
        ({"general.architecture": "mllama", "mllama.vision.block_count": 3}, PROJECTOR_TYPE),
        ({"general.architecture": "gemma3", "gemma3.block_count": 2, "gemma3.vision.block_count": 3}, MODEL_TYPE),
        ({"general.architecture": "clip", "clip.has_vision_encoder": True}, PROJECTOR_TYPE),
        ({"general.architecture": "clip", "clip.has_audio_encoder": True}, PROJECTOR_TYPE),
        ({"general.architecture": "clip", "clip.has_audio_encoder": False}, MODEL_TYPE),
        ({"general.architecture": "other", "other.has_vision_encoder": True}, MODEL_TYPE),
    ],
)
def test_files_are_sorted_by_their_metadata(kv: dict[str, Any], media_type: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(tinygguf.gguf(kv))
    assert classify(read_header(path)) == media_type


def test_files_of_a_folder_become_layers_by_name_and_companions_are_left_out(shop: Shop) -> None:
    files = {
        "sub/model.gguf": shop.upload(FILES["bare.gguf"]),
        "mmproj.gguf": shop.upload(FILES["tinyvision-mmproj-f16.gguf"]),
        "lora.gguf": shop.upload(FILES["tinylora-f16.gguf"]),
        "README.md": shop.upload(b"read me"),
    }
    events = shop.create("m", files=files)
    assert events[:4] == ["parsing GGUF"] * 3 + ["verifying conversion"]
    assert shop.layers("m") == [("adapter", "lora.gguf"), ("projector", "mmproj.gguf"), ("model", "")]
    assert shop.store.catalog.get(Name.parse("m")).config.model_families == ["llama"]


def test_weights_with_more_than_a_text_model_keep_their_file_name(shop: Shop) -> None:
    kv = {"general.architecture": "gemma3", "gemma3.block_count": 1}
    data = tinygguf.gguf(kv, [("v.patch.weight", (4, 4), tinygguf.F32)])
    assert "verifying conversion" not in shop.create("m", files={"all.gguf": shop.upload(data)})
    assert shop.layers("m") == [("model", "all.gguf")]


def shards(
    *numbers: int, count: int = 2, marked: bool = True, name: str = "blk.{}.w", total: int = 0
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number in numbers:
        kv: dict[str, Any] = {"general.architecture": "llama", "llama.block_count": 2} if number == 0 else {}
        kv |= {"split.count": count} | ({"split.no": number} if marked else {})
        kv |= {"split.tensors.count": total} if total else {}
        tensors = [(name.format(number), (4, 4), tinygguf.F32)]
        files[f"big-{number + 1:05d}-of-{count:05d}.gguf"] = tinygguf.gguf(kv, tensors)
    return files


def test_shards_stay_layers_in_split_order_and_count_together(shop: Shop) -> None:
    files = {name: shop.upload(data) for name, data in shards(1, 0).items()}
    assert shop.create("m", files=files).count("verifying conversion") == 1
    assert shop.layers("m") == [("model", ""), ("model", "")]
    model = shop.store.catalog.get(Name.parse("m"))
    assert [path.name[7:] for path in model.weights] == [files[name][7:] for name in sorted(files)]
    assert (model.config.model_type, model.config.model_families) == ("32", ["llama"])
    shop.create("n", **{"from": "m"})
    assert shop.store.catalog.get(Name.parse("n")).config == model.config
    blobs = {path.name: f"sha256:{path.name[7:]}" for path in model.weights}
    shop.create("from-what-is-shown", files=blobs)
    assert shop.store.catalog.get(Name.parse("from-what-is-shown")).weights == model.weights


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x.gguf": shards(0)["big-00001-of-00002.gguf"]}, "must use llama.cpp split filename pattern"),
        ({"x-00000-of-00002.gguf": shards(0)["big-00001-of-00002.gguf"]}, "must use llama.cpp split filename pattern"),
        (
            {"x-00001-of-00003.gguf": shards(0)["big-00001-of-00002.gguf"]},
            "filename count 3 does not match metadata count 2",
        ),
        (
            {"x-00002-of-00002.gguf": shards(0)["big-00001-of-00002.gguf"]},
            "filename index 1 does not match metadata index 0",
        ),
        (shards(0, marked=False), "is missing split.no metadata"),
        (shards(0), "has 1 shards, expected 2"),
        (shards(1), "split GGUF is missing first shard"),
        ({"x-٠٠٠٠١-of-٠٠٠٠٢.gguf": shards(0)["big-00001-of-00002.gguf"]}, "must use llama.cpp split filename pattern"),
        (shards(0, count=65535), "has 1 shards, expected 65535"),
        (shards(0) | {"big-00002-of-00002.gguf": tinygguf.model()}, "has 1 shards, expected 2"),
        (shards(0, 1, name="same"), 'has tensor "same", as another shard has'),
        (shards(0, 1, total=3), "states 3 tensors, its shards have 2"),
    ],
)
def test_incomplete_or_misnamed_shards_are_refused(shop: Shop, files: dict[str, bytes], words: str) -> None:
    refusal, status = shop.refused("m", files={name: shop.upload(data) for name, data in files.items()})
    assert refusal.startswith("split GGUF")
    assert refusal.endswith(words)
    assert status == 400


def test_an_adapter_has_to_be_one_and_to_fit(shop: Shop) -> None:
    shop.create("base", files={"b.gguf": shop.upload(FILES["bare.gguf"])})
    shop.create("embed", files={"e.gguf": shop.upload(FILES["tinyembed-random-f16.gguf"])})
    lora, weights = shop.upload(FILES["tinylora-f16.gguf"]), shop.upload(FILES["bare.gguf"])
    shop.create("ok", **{"from": "base", "adapters": {"l.gguf": lora}})
    assert shop.layers("ok") == [("model", "base:latest"), ("adapter", "l.gguf")]
    assert shop.refused("m", **{"from": "base", "adapters": {"w.gguf": weights}}) == ('"w.gguf" is not an adapter', 400)
    words = 'the adapter is made for architecture "llama", the model has "bert"'
    assert shop.refused("m", **{"from": "embed", "adapters": {"l.gguf": lora}}) == (words, 400)


def test_a_draft_model_stands_behind_adapters_and_in_the_config(shop: Shop) -> None:
    shop.create("base", files={"b.gguf": shop.upload(FILES["bare.gguf"])})
    body = {
        "adapters": {"l.gguf": shop.upload(FILES["tinylora-f16.gguf"])},
        "draft_files": {"d.gguf": shop.upload(FILES["tinychat-f16.gguf"])},
    }
    assert shop.create("m", **{"from": "base", **body})[:2] == ["parsing GGUF"] * 2
    model = shop.store.catalog.get(Name.parse("m"))
    assert [layer.media_type for layer in model.manifest.layers] == [MODEL_TYPE, ADAPTER_TYPE, DRAFT_TYPE]
    assert model.config.draft is not None
    assert (model.config.draft.model_format, model.config.draft.architecture) == ("gguf", "llama")
    shop.create("n", **{"from": "m", "system": "x"})
    assert shop.store.catalog.get(Name.parse("n")).config == model.config


def test_a_known_chat_template_brings_its_go_template(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def known(text: str) -> NamedTemplate | None:
        return NamedTemplate("known", "{{ .Prompt }}!", ("<end>",)) if text == THINKING_TOOLS else None

    monkeypatch.setattr("modelstore.create.detection.detect", known)
    digest = shop.upload(FILES["tinychat-q8_0.gguf"])
    events = shop.create("m", files={"t.gguf": digest}, parameters={"seed": 1})
    model = shop.store.catalog.get(Name.parse("m"))
    assert events[3] == "using autodetected template known"
    assert [layer.media_type for layer in model.manifest.layers] == [MODEL_TYPE, TEMPLATE_TYPE, PARAMS_TYPE]
    assert (model.template, model.params) == ("{{ .Prompt }}!", {"stop": ["<end>"], "seed": 1})
    shop.create("other", files={"t.gguf": digest}, template="{{ .System }}", parameters={"stop": ["x"]})
    other = shop.store.catalog.get(Name.parse("other"))
    assert (other.template, other.params) == ("{{ .System }}", {"stop": ["x"]})


def test_an_old_projector_gets_the_type_that_it_lacks(shop: Shop) -> None:
    kv: dict[str, Any] = {"general.architecture": "clip", "general.type": "mmproj", "clip.has_vision_encoder": True}
    kv |= {"general.name": "old", "clip.vision.image_size": 64}
    tensors = [("v.a", (3, 2), tinygguf.F32), ("mm.b", (32,), tinygguf.F16)]
    old, new = tinygguf.gguf(kv, tensors), tinygguf.gguf({**kv, "clip.projector_type": "mlp"}, tensors)
    files = {"mmproj.gguf": shop.upload(old), "w.gguf": shop.upload(FILES["bare.gguf"])}
    events = shop.create("m", files=files)
    assert events[2:5] == [
        "verifying conversion",
        "updating GGUF projector metadata",
        f"creating new layer {Digest.of(new)}",
    ]
    model = shop.store.catalog.get(Name.parse("m"))
    assert model.projectors[0].read_bytes() == new
    assert shop.layers("m") == [("projector", ""), ("model", "")]
    assert "updating GGUF projector metadata" not in shop.create("n", **{"from": "m"})


def test_a_completed_projector_goes_again_when_the_request_fails(shop: Shop) -> None:
    kv = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    digest = shop.upload(tinygguf.gguf(kv))
    before = shop.contents()
    words = ("parameters hold a number that JSON cannot hold", 400)
    assert shop.refused("m", files={"p.gguf": digest}, parameters={"temperature": float("nan")}) == words
    assert shop.contents() == before


def test_some_families_get_a_renderer_a_parser_and_a_stop_word(shop: Shop) -> None:
    digest = shop.upload(tinygguf.model("gemma4"))
    shop.create("m", files={"g.gguf": digest})
    model = shop.store.catalog.get(Name.parse("m"))
    assert (model.config.renderer, model.config.parser, model.params) == ("gemma4", "gemma4", {"stop": ["<turn|>"]})
    shop.create("own", files={"g.gguf": digest}, renderer="x", parser="y", parameters={"stop": ["z"]})
    own = shop.store.catalog.get(Name.parse("own"))
    assert (own.config.renderer, own.config.parser, own.params) == ("x", "y", {"stop": ["z"]})
    shop.create("both", files={"g.gguf": digest}, renderer="x", parser="y")
    assert shop.store.catalog.get(Name.parse("both")).params == {}
    shop.create("derived", **{"from": "own"})
    assert shop.store.catalog.get(Name.parse("derived")).params == {"stop": ["z"]}
