"""The Modelfile of a stored model: as it was recorded, and good for making the model again."""

import re
from pathlib import Path
from typing import Any

import pytest

from modelstore.modelfile import Modelfile
from modelstore.names import Name
from modelstore.recipe import recipe
from tests.unit.modelstore.shop import FILES, MINIMAL, Recorded, Shop, recorded

SHOWN = [v for v in recorded("create") if v["request"]["path"] == "/api/show"]
SAFER = {"modelfile/system-tab-around", "modelfile/system-leading-quote"}
"""Shown with quotes here, so that they can be read again."""
MODELFILES = [v for v in recorded("modelfile") if v["exit_code"] == 0 and v["name"] not in SAFER]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def recording(original: Recorded, tmp_path: Path) -> Recorded:
    return original.copied(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def parameters_sorted(text: str) -> list[str]:
    """The order of parameters is random in the recordings."""
    lines = text.split("\n")
    rest = [line for line in lines if not line.startswith("PARAMETER ")]
    return rest + sorted(line for line in lines if line.startswith("PARAMETER "))


def shown(recording: Recorded, name: str) -> list[str]:
    text = recipe(recording.shop.store.catalog.get(Name.parse(name)))
    for digest, word in recording.placeholders.items():
        text = text.replace(digest, word)
    return parameters_sorted(re.sub(r"(?<= )/\S*/blobs/", "<blobs>/", text))


@pytest.mark.parametrize("vector", SHOWN, ids=lambda v: v["name"])
def test_created_model_is_shown_as_recorded(vector: dict[str, Any], recording: Recorded) -> None:
    for step in vector["before"]:
        recording.answer(step["json"])
    wanted = vector["response"]["json"]["modelfile"]
    assert shown(recording, vector["request"]["json"]["model"]) == parameters_sorted(wanted)


@pytest.mark.parametrize("vector", MODELFILES, ids=lambda v: v["name"])
def test_recorded_modelfile_is_shown_as_recorded(vector: dict[str, Any], recording: Recorded) -> None:
    files = {"bare.gguf", "lora.gguf"} & set(vector["create"].get("files", {}))
    body = vector["create"] | ({"files": {n: digest_of(recording, n) for n in files}} if files else {})
    recording.answer(body)
    assert shown(recording, "tmp-mf") == parameters_sorted(vector["show"]["modelfile"])


def digest_of(recording: Recorded, file: str) -> str:
    return recording.shop.upload(FILES["bare.gguf" if file == "bare.gguf" else "tinylora-f16.gguf"])


def test_request_values_stand_in_for_the_models_own(shop: Shop) -> None:
    files = {"b.gguf": shop.upload(MINIMAL)}
    shop.create("m", files=files, system="old", parameters={"seed": 1, "top_k": 2})
    model = shop.store.catalog.get(Name.parse("m"))
    lines = recipe(model, system="new", options={"top_k": None, "stop": ["a", "b"], "use_mmap": True}).split("\n")
    assert [line for line in lines if line.startswith(("SYSTEM", "PARAMETER"))] == [
        "SYSTEM new",
        "PARAMETER seed 1",
        "PARAMETER stop a",
        "PARAMETER stop b",
        "PARAMETER top_k <nil>",
        "PARAMETER use_mmap true",
    ]


def test_drafts_and_shards_are_shown_and_a_stub_has_an_empty_from(shop: Shop) -> None:
    shop.create("base", files={"b.gguf": shop.upload(FILES["bare.gguf"])})
    draft = shop.upload(FILES["tinychat-f16.gguf"])
    shop.create("m", **{"from": "base", "draft_files": {"d.gguf": draft}})
    assert f"/{draft.replace(':', '-')}\n" in recipe(shop.store.catalog.get(Name.parse("m"))).partition("\nDRAFT ")[2]
    shop.create("stub", **{"from": "x:cloud"})
    assert "\nFROM \nTEMPLATE {{ .Prompt }}\n" in recipe(shop.store.catalog.get(Name.parse("stub")))


def test_what_is_shown_makes_the_same_model_again(shop: Shop) -> None:
    body: dict[str, Any] = {
        "template": "{{ .System }}\n{{ .Prompt }}",
        "system": 'Be "brief".\nAlways.',
        "license": ["MIT\n\nCopyright", "Other"],
        "parameters": {"temperature": 0.5, "stop": ["<|a|>", "b c"], "num_ctx": 4096},
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo\nyo"}],
        "renderer": "qwen3-coder",
        "parser": "qwen3-coder",
    }
    shop.create("m", files={"b.gguf": shop.upload(MINIMAL)}, **body)
    request = Modelfile.parse(recipe(shop.store.catalog.get(Name.parse("m")))).to_request()
    del request["from"]
    assert request == body
