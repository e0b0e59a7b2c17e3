"""What a model is made upon: other models, pulled ones, addresses; and what a request may override."""

from pathlib import Path

import pytest

from modelstore.bundled import PullError
from modelstore.create import CreateRequest, create
from modelstore.create.remote import remote_url
from modelstore.errors import CreateError
from modelstore.names import Name
from modelstore.progress import Progress, Report
from modelstore.store import Store
from tests.unit.modelstore.shop import FILES, MINIMAL, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# -- bases ------------------------------------------------------------------------------------------------------------


def test_renderer_parser_requires_and_capabilities_are_inherited_and_the_rest_is_not(shop: Shop) -> None:
    info = {"capabilities": ["vision"], "context_length": 7, "base_name": "x", "parameter_size": "9B"}
    files = {"b.gguf": shop.upload(FILES["bare.gguf"])}
    shop.create("base", files=files, renderer="r", parser="p", requires="0.1.0", info=info)
    shop.create("m", **{"from": "base", "parser": "q"})
    config = shop.store.catalog.get(Name.parse("m")).config
    assert (config.renderer, config.parser, config.requires, config.capabilities) == ("r", "q", "0.1.0", ["vision"])
    assert (config.context_length, config.base_name, config.model_type) == (0, "", "160")


def test_a_base_that_is_not_there_is_pulled_and_its_end_is_not_the_end(shop: Shop) -> None:
    def pull(store: Store, name: Name, report: Report) -> None:
        report(Progress("pulling manifest"))
        other = Shop(store.layout.root)
        other.create(name.short, files={"b.gguf": other.upload(MINIMAL)})
        report(Progress("success"))

    shop.pull = pull
    events = shop.create("m", **{"from": "far", "system": "x"})
    assert events[0] == "pulling manifest"
    assert events.count("success") == 1
    assert shop.layers("m") == [("model", "far:latest"), ("system", "")]


def test_a_failing_pull_ends_the_request_and_writes_nothing(shop: Shop) -> None:
    before = shop.contents()
    with pytest.raises(PullError, match="pull model manifest: file does not exist"):
        shop.create("m", **{"from": "Far", "system": "x"})
    assert shop.contents() == before


def test_the_bundled_model_is_the_default_for_a_missing_base(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    events: list[Progress] = []
    create(store, CreateRequest(model="mine", base="tinychat", system="Be brief."), events.append)
    assert events[0] == Progress("pulling manifest")
    assert [name.short for name in store.catalog.names()] == ["mine:latest", "tinychat:latest"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("example.com", "http://example.com:11434"),
        ("https://x.y", "https://x.y:11434"),
        ("https://x.y:1", "https://x.y:1"),
        ("ollama.com", "https://ollama.com:443"),
        ("http://ollama.com", "https://ollama.com:443"),
        ("/a/../b", "http://localhost:11434/b"),
        ("http://:80", "http://localhost:80"),
        ("h/a//b/./", "http://h:11434/a/b"),
        ("http://[::1]", "http://[::1]:11434"),
    ],
)
def test_addresses_of_remote_models_are_written_in_full(text: str, url: str) -> None:
    assert remote_url(text) == url


@pytest.mark.parametrize("text", ["http://x:y", "ftp://x", "a b", "http://[x", "h:99999"])
def test_bad_addresses_of_remote_models_are_refused(text: str) -> None:
    with pytest.raises(CreateError, match="bad remote"):
        remote_url(text)


def test_a_remote_model_is_a_stub_and_has_no_draft(shop: Shop) -> None:
    shop.create("m", **{"from": "far", "remote_host": "example.com", "system": "x"})
    config = shop.store.catalog.get(Name.parse("m")).config
    assert (config.remote_host, config.remote_model, config.model_format) == ("http://example.com:11434", "far", "")
    adapters = {"l.gguf": shop.upload(FILES["tinylora-f16.gguf"])}
    shop.create("nothing-over-it", **{"from": "far:cloud", "adapters": adapters})
    assert shop.layers("nothing-over-it") == []
    drafts = {"d.gguf": shop.upload(FILES["bare.gguf"])}
    words = ("DRAFT cannot be used with remote models", 400)
    assert shop.refused("n", **{"from": "far:cloud", "draft_files": drafts}) == words


def test_half_a_surrogate_pair_is_stored_as_the_replacement_character(shop: Shop) -> None:
    shop.create("m", files={"b.gguf": shop.upload(FILES["bare.gguf"])}, system="a\ud800b")
    assert shop.store.catalog.get(Name.parse("m")).system == "a\ufffdb"
