"""The Modelfiles that come as examples make the models that they describe."""

from pathlib import Path
from typing import Any

import pytest

from modelstore import bundled
from modelstore.modelfile import Modelfile
from modelstore.names import Name
from modelstore.options import check_json
from modelstore.template import Template
from tests.unit.modelstore.shop import FILES, Shop

EXAMPLES = Path(__file__).parents[3] / "Modelfile.examples"
NAMES = ["adapter", "base", "embedding", "messages", "system-parameters", "template"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    bundled.pull(shop.store, Name.parse("tinychat"), lambda event: None)
    return shop


def example(name: str) -> Modelfile:
    return Modelfile.parse((EXAMPLES / f"{name}.Modelfile").read_bytes())


def uploaded(shop: Shop, paths: list[str]) -> dict[str, str]:
    """What a client sends for paths of files beside the Modelfile."""
    files = [path.removeprefix("./") for path in paths if path.startswith("./")]
    return {file: shop.upload(FILES[file]) for file in files}


def made(shop: Shop, name: str) -> tuple[list[str], Any]:
    modelfile = example(name)
    body = modelfile.to_request()
    if files := uploaded(shop, modelfile.values("model")):
        body["files"] = files
        del body["from"]
    if adapters := uploaded(shop, modelfile.values("adapter")):
        body["adapters"] = adapters
    return shop.create("mine", **body), shop.store.catalog.get(Name.parse("mine"))


def test_every_example_is_tested() -> None:
    assert sorted(path.stem for path in EXAMPLES.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_makes_a_model(shop: Shop, name: str) -> None:
    events, model = made(shop, name)
    assert events[-1] == "success"
    assert check_json(model.params) == dict(model.params)
    assert example(name).deprecated() == []


def test_the_examples_have_the_feature_in_their_name(shop: Shop) -> None:
    assert len(made(shop, "adapter")[1].adapters) == 1
    assert made(shop, "base")[1].parent_model == "tinychat:latest"
    assert made(shop, "embedding")[1].capabilities == ["embedding"]
    assert len(made(shop, "messages")[1].messages) == 4
    with_parameters = made(shop, "system-parameters")[1]
    assert with_parameters.system == "You are Luna, a pirate."
    assert with_parameters.params["stop"] == ["<|im_end|>", "<|endoftext|>"]


def test_the_example_of_a_template_uses_system_text_and_messages(shop: Shop) -> None:
    template = Template.parse(made(shop, "template")[1].template)
    assert {"system", "messages", "role", "content"} <= template.variables
