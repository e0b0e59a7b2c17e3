"""The Modelfiles that come as examples make the models that they describe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelstore import bundled
from modelstore.model import StoredModel
from modelstore.modelfile import COMMANDS, Modelfile
from modelstore.names import Name
from modelstore.options import OPTIONS, Kind, check_json
from modelstore.template import Template
from tests.unit.modelstore import examples
from tests.unit.modelstore.shop import Shop


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples.lay_out(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    bundled.pull(shop.store, Name.parse("tinychat"), lambda event: None)
    return shop


def example(name: str) -> Modelfile:
    return Modelfile.parse((examples.FOLDER / f"{name}.Modelfile").read_bytes())


def uploaded(shop: Shop, folder: Path, paths: list[str]) -> dict[str, str]:
    """What a client sends for arguments that are files or folders beside the Modelfile."""
    found = [folder / path for path in paths if (folder / path).exists()]
    files = [file for path in found for file in (path.iterdir() if path.is_dir() else [path])]
    return {file.name: shop.upload(file.read_bytes()) for file in files}


def made(shop: Shop, folder: Path, name: str) -> StoredModel:
    modelfile = example(name)
    body: dict[str, Any] = modelfile.to_request()
    for field, command in (("files", "model"), ("adapters", "adapter"), ("draft_files", "draft")):
        if files := uploaded(shop, folder, modelfile.values(command)):
            body[field] = files
    if "files" in body:
        del body["from"]
    assert shop.create("mine", **body)[-1] == "success"
    return shop.store.catalog.get(Name.parse("mine"))


def has_kinds(model: StoredModel) -> bool:
    kinds = {OPTIONS[name].kind for name in model.params}
    return kinds == {Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.STRINGS} and model.params["stop"] == ["<|im_end|>", " END "]


FEATURES: dict[str, Callable[[StoredModel], bool]] = {
    "adapter": lambda model: len(model.adapters) == 1,
    "base": lambda model: model.parent_model == "tinychat:latest",
    "draft": lambda model: model.draft is not None and model.config.draft is not None,
    "embedding": lambda model: model.capabilities == ["embedding"],
    "gguf": lambda model: model.config.model_family == "llama" and model.parent_model == "",
    "license": lambda model: model.licenses[-2:-1] == ["MIT"] and "\nCreative" in model.licenses[-1],
    "messages": lambda model: [m["role"] for m in model.messages] == ["system", *["user", "assistant"] * 2],
    "parameters": has_kinds,
    "renderer": lambda model: (model.config.renderer, model.config.parser) == ("qwen3-coder", "qwen3-coder"),
    "requires": lambda model: model.config.requires == "0.14.0",
    "split": lambda model: len(model.weights) == 3,
    "system": lambda model: model.system == 'You are "Luna", a pirate.\nYou answer in one sentence.',
    "template": lambda model: Template.parse(model.template or "").variables >= {"system", "messages", "role"},
    "vision": lambda model: len(model.projectors) == 1 and "vision" in model.capabilities,
}  # fmt: skip
"""What shows that a model has what its example is named for."""


def test_every_example_has_a_feature_and_every_command_an_example() -> None:
    assert sorted(FEATURES) == examples.NAMES
    words = {line.split(" ")[0].lower() for name in examples.NAMES for line in str(example(name)).splitlines()}
    assert set(COMMANDS) <= words


@pytest.mark.parametrize("name", examples.NAMES)
def test_an_example_makes_the_model_that_it_describes(shop: Shop, folder: Path, name: str) -> None:
    model = made(shop, folder, name)
    assert FEATURES[name](model)
    assert check_json(model.params) == dict(model.params)
    assert example(name).deprecated() == []


@pytest.mark.parametrize("name", examples.NAMES)
def test_an_example_says_what_it_is_for_and_reads_the_same_when_printed(name: str) -> None:
    text = (examples.FOLDER / f"{name}.Modelfile").read_text()
    assert text.startswith("# ")
    assert f"-f Modelfile.examples/{name}.Modelfile" in text
    assert Modelfile.parse(str(example(name))) == example(name)
