"""Names: grammar, defaults, string forms, source suffixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.errors import InvalidName, MissingName, SourceConflict
from modelstore.names import Name, Source, split_source, stored_text


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("llama3.2", "registry.ollama.ai/library/llama3.2:latest"),
        ("user/m:v1", "registry.ollama.ai/user/m:v1"),
        ("host:5000/ns/m", "host:5000/ns/m:latest"),
        ("http://host:5000/ns/m:t", "host:5000/ns/m:t"),
        ("http:///ns/m", "registry.ollama.ai/ns/m:latest"),
        ("hf.co/bartowski/X-GGUF:Q4_K_M", "hf.co/bartowski/X-GGUF:Q4_K_M"),
        ("hf.co/u/r:Model-Q4_K_M.gguf", "hf.co/u/r:Model-Q4_K_M.gguf"),
        ("_why/_the/_lucky:_stiff", "_why/_the/_lucky:_stiff"),
        ("a-", "registry.ollama.ai/library/a-:latest"),
        ("a..b", "registry.ollama.ai/library/a..b:latest"),
        ("m" * 80, f"registry.ollama.ai/library/{'m' * 80}:latest"),
    ],
)
def test_parses(text: str, full: str) -> None:
    """What is missing comes from the defaults; case is kept."""
    assert str(Name.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "m:",
        "/n/m",
        "//m",
        "n/m:",
        "@",
        "^",
        "",
        "a.b/m",
        "host/name:space/model:tag",
        "./file.gguf",
        "/abs/file.gguf",
        "..\\x",
        "localhost:5000/b",
        "a/b/c/d",
        "m:t:u",
        "a@b",
        "a b",
        "-a",
        "..",
        ":t",
        "m/",
        "é",
        " m",
        "m\n",
        "m:é",
        "m" * 81,
        "../../x",
        "h/../m",
        "h/n/..",
        "h/n/m:..",
        "x\0y",
    ],
)
def test_refuses(text: str) -> None:
    """The error carries the text as it came."""
    with pytest.raises(InvalidName) as caught:
        Name.parse(text)
    assert caught.value.name == text
    assert str(caught.value) == "invalid model name"


def test_cannot_be_built_unvalidated() -> None:
    """The parts are checked however a name is made."""
    with pytest.raises(InvalidName):
        Name("host", "..", "m", "t")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("m", "m:latest"),
        ("Registry.Ollama.AI/Library/m:t", "m:t"),
        ("registry.ollama.ai/foo/bar:x", "foo/bar:x"),
        ("other/library/m:t", "other/library/m:t"),
    ],
)
def test_display_form(text: str, short: str) -> None:
    """The default host and namespace vanish, the tag never does."""
    assert Name.parse(text).short == short


def test_scheme_is_no_part_of_the_identity() -> None:
    """A scheme is remembered, but two names that differ in it are one."""
    assert Name.parse("http://h/n/m").scheme == "http"
    assert Name.parse("http://h/n/m") == Name.parse("h/n/m")


@given(st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Whatever is accepted gives parts that are safe in a path, and reads back as itself."""
    try:
        name = Name.parse(text)
    except InvalidName:
        return
    assert all(part[0] != "." and "/" not in part and "\\" not in part for part in name.parts)
    assert Name.parse(str(name)) == name


@pytest.mark.parametrize(
    ("raw", "base", "source", "stored"),
    [
        ("gpt-oss:20b:cloud", "gpt-oss:20b", Source.CLOUD, "gpt-oss:20b-cloud"),
        ("gpt-oss:20b-cloud", "gpt-oss:20b", Source.CLOUD, "gpt-oss:20b-cloud"),
        ("qwen3:Cloud", "qwen3", Source.CLOUD, "qwen3:cloud"),
        ("qwen3:8b:local", "qwen3:8b", Source.LOCAL, "qwen3:8b"),
        (" m ", "m", Source.NONE, "m"),
        ("foo:bar-cloud/baz", "foo:bar-cloud/baz", Source.NONE, "foo:bar-cloud/baz"),
        ("my-cloud-model", "my-cloud-model", Source.NONE, "my-cloud-model"),
        ("h:1/n/m:cloud", "h:1/n/m", Source.CLOUD, "h:1/n/m:cloud"),
    ],
)
def test_source_suffix(raw: str, base: str, source: Source, stored: str) -> None:
    """The suffix says where the model runs; a stub's stored name has its own form."""
    assert split_source(raw) == (base, source)
    assert stored_text(raw) == stored


def test_two_source_suffixes() -> None:
    """They contradict each other, whichever they are."""
    with pytest.raises(SourceConflict) as caught:
        split_source("x-cloud:cloud:local")
    assert str(caught.value) == 'use either :local or :cloud, not both: "x-cloud:cloud:local"'


def test_no_name() -> None:
    """Blank is not invalid but missing."""
    with pytest.raises(MissingName, match=r"^model is required$"):
        split_source("  ")
