"""Create requests and stores made to do harm: each is refused with a reason, and nothing is opened, kept or lost."""

import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelstore.errors import CreateError
from modelstore.manifest import MAX_LAYERS
from modelstore.model import MAX_TEXT
from modelstore.names import Name
from tests.unit.modelstore.shop import FILES, MINIMAL, Shop

OUTSIDE = (
    "../x.gguf", "a/../../x.gguf", "..", ".", "", "/etc/passwd", "//x.gguf", "a//b.gguf", "a/", "./x.gguf",
    "C:\\x.gguf", "C:x.gguf", "c:/x.gguf", "..\\x.gguf", "a\\b.gguf", "\\\\host\\x.gguf", "x\0.gguf", "\0",
)  # fmt: skip
"""Names that leave the folder they are put in, on one system or another."""
BAD_DIGESTS = (
    "x", "sha256:", "sha256:../../etc/passwd", f"sha256:{'0' * 63}", f"sha256:{'0' * 65}", f"sha256:{'٠' * 64}",
    f"sha256:{'0' * 63}\n", f"sha256:{'0' * 64}\n", f"SHA256:{'0' * 64}", f"md5:{'0' * 64}", f"../sha256:{'0' * 64}",
    f"sha256-{'0' * 62}/.", "\ud800",
)  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "models")
    shop.create("base", files={"b.gguf": shop.upload(FILES["bare.gguf"])})
    return shop


def unchanged(shop: Shop, *words: str, **body: Any) -> None:
    """The request is refused with one of these texts, and the store is as it was."""
    before = shop.contents()
    refusal, status = shop.refused("m", **body)
    assert refusal in words, refusal
    assert status == 400
    assert shop.contents() == before


# -- names and digests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", OUTSIDE)
@pytest.mark.parametrize("field", ["files", "draft_files", "adapters"])
def test_a_file_name_that_leads_outside_is_refused_before_any_blob_is_looked_at(
    shop: Shop, field: str, key: str
) -> None:
    digest = shop.upload(FILES["tinylora-f16.gguf"])
    base = {} if field == "files" else {"from": "base"}
    unchanged(
        shop, "file path must be relative", f"file path must be relative: {key}", **base, **{field: {key: digest}}
    )
    assert shop.events == []


@pytest.mark.parametrize("digest", BAD_DIGESTS)
@pytest.mark.parametrize("field", ["files", "draft_files", "adapters"])
def test_a_digest_that_is_none_is_refused(shop: Shop, field: str, digest: str) -> None:
    base = {} if field == "files" else {"from": "base"}
    unchanged(shop, "invalid digest format", **base, **{field: {"x.gguf": digest}})
    if field == "files":
        unchanged(shop, "unknown type", files={"x": digest})


def test_half_a_character_in_a_file_name_is_stored_as_the_replacement_character(shop: Shop) -> None:
    shop.create("m", **{"from": "base", "adapters": {"a\ud800.gguf": shop.upload(FILES["tinylora-f16.gguf"])}})
    assert shop.layers("m")[-1] == ("adapter", "a\ufffd.gguf")


# -- what lies in the place of a blob ---------------------------------------------------------------------------------

DIGEST = f"sha256:{'7' * 64}"


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_link_to_a_model(path: Path) -> None:
    target = path.parent.parent / "elsewhere.gguf"
    target.write_bytes(FILES["bare.gguf"])
    path.symlink_to(target)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        here = Path.cwd()
        os.chdir(path.parent)  # an address is short
        try:
            end.bind(path.name)
        finally:
            os.chdir(here)


PLACED: dict[str, Callable[[Path], None]] = {
    "a link": a_link,
    "a link to a model": a_link_to_a_model,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
    "a socket": a_socket,
}


@pytest.mark.parametrize("kind", PLACED)
def test_what_is_no_file_is_no_blob_and_is_not_opened(shop: Shop, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.store.layout.blobs / DIGEST.replace(":", "-")
    PLACED[kind](path)
    opened: list[Any] = []
    real = os.open

    def noted(file: Any, *more: Any, **named: Any) -> int:
        opened.append(file)
        return real(file, *more, **named)

    monkeypatch.setattr(os, "open", noted)
    missing = f'blob "{DIGEST}" not found'
    for body in ({"files": {"x.gguf": DIGEST}}, {"from": "base", "adapters": {"x.gguf": DIGEST}}):
        assert shop.refused("m", **body) == (missing, 400)
    assert shop.refused("m", files={"x": DIGEST}) == ("unknown type", 400)
    assert str(path) not in map(str, opened)
    assert os.path.lexists(path)


@pytest.mark.parametrize("opening", [1, 2])
def test_a_blob_that_somebody_deletes_between_two_looks_is_not_there(
    shop: Shop, opening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = shop.upload(MINIMAL)
    path = shop.store.layout.blobs / digest.replace(":", "-")
    real, looks = os.open, itertools.count(1)

    def deleting(file: Any, *more: Any, **named: Any) -> int:
        if str(file) == str(path) and next(looks) == opening:
            path.unlink()
        return real(file, *more, **named)

    monkeypatch.setattr(os, "open", deleting)
    assert shop.refused("m", files={"x.gguf": digest}) == (f'blob "{digest}" not found', 400)


def test_a_link_in_the_place_of_a_text_is_replaced_and_its_target_stays(shop: Shop, tmp_path: Path) -> None:
    """Whoever puts a link where a text is going to be written cannot have its target overwritten or removed."""
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    digest = shop.upload(b"Be brief.")
    path = shop.store.layout.blobs / digest.replace(":", "-")
    path.unlink()
    path.symlink_to(target)
    shop.create("m", **{"from": "base", "system": "Be brief."})
    assert path.read_bytes() == b"Be brief."
    assert not path.is_symlink()
    path.unlink()
    path.symlink_to(target)
    shop.store.catalog.delete(Name.parse("m"))
    assert not os.path.lexists(path)
    assert target.read_bytes() == b"precious"


# -- too much ---------------------------------------------------------------------------------------------------------

TOO_LONG = "x" * (MAX_TEXT + 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"system": "x" * (64 << 20)}, f"system of {64 << 20} bytes exceeds maximum {MAX_TEXT}"),
        ({"template": TOO_LONG}, f"template of {MAX_TEXT + 1} bytes exceeds maximum {MAX_TEXT}"),
        ({"license": ["a", TOO_LONG]}, f"license of {MAX_TEXT + 1} bytes exceeds maximum {MAX_TEXT}"),
        ({"parameters": {"stop": [TOO_LONG]}}, f"parameters of {MAX_TEXT + 15} bytes exceeds maximum {MAX_TEXT}"),
        (
            {"messages": [{"role": "user", "content": TOO_LONG}]},
            f"messages of {MAX_TEXT + 32} bytes exceeds maximum {MAX_TEXT}",
        ),
        ({"info": {"base_name": TOO_LONG}}, f"config of {MAX_TEXT + 167} bytes exceeds maximum {MAX_TEXT}"),
        ({"license": ["x"] * MAX_LAYERS}, f"the model would have {MAX_LAYERS + 1} layers, more than {MAX_LAYERS}"),
    ],
    ids=["system", "template", "license", "parameters", "messages", "info", "licenses"],
)
def test_what_could_not_be_read_again_is_not_written(shop: Shop, body: dict[str, Any], words: str) -> None:
    unchanged(shop, words, **{"from": "base", **body})


def test_a_long_file_name_does_not_make_a_manifest_that_cannot_be_read(shop: Shop) -> None:
    before = shop.contents()
    body: dict[str, Any] = {"from": "base", "adapters": {"x" * (5 << 20): shop.upload(FILES["tinylora-f16.gguf"])}}
    words, status = shop.refused("m", **body)
    assert words.startswith("manifest of ")
    assert status == 400
    assert len(shop.contents()) == len(before) + 1


def test_ten_thousand_messages_and_parameters_are_kept(shop: Shop) -> None:
    messages = [{"role": "user", "content": f"{number}"} for number in range(10_000)]
    parameters = {f"x{number}": number for number in range(10_000)}
    shop.create("m", **{"from": "base", "messages": messages, "parameters": parameters})
    model = shop.store.catalog.get(Name.parse("m"))
    assert len(model.messages) == 10_000
    assert model.params == parameters


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"parameters": {"x": nested(50_000)}}, "parameters are nested too deeply"),
        (
            {"messages": [{"role": "user", "tool_calls": [{"function": {"name": "f", "arguments": nested(50_000)}}]}]},
            "messages are nested too deeply",
        ),
        *(
            ({"parameters": {"temperature": number}}, "parameters hold a number that JSON cannot hold")
            for number in (float("nan"), float("inf"), float("-inf"), 10**400)
        ),
    ],
    ids=["parameters", "messages", "nan", "inf", "-inf", "10**400"],
)
def test_what_json_cannot_hold_is_refused(shop: Shop, body: dict[str, Any], words: str) -> None:
    unchanged(shop, words, **{"from": "base", **body})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", f"1{'0' * 400}"])
def test_a_number_of_the_base_that_is_none_is_refused(shop: Shop, number: str) -> None:
    """Another program has written the base."""
    shop.create("odd", **{"from": "base", "parameters": {"seed": 1}})
    model = shop.store.catalog.get(Name.parse("odd"))
    (layer,) = [layer for layer in model.manifest.layers if layer.media_type.endswith("params")]
    shop.store.blobs.path(layer.digest).write_text(f'{{"seed":{number}}}')
    assert shop.refused("m", **{"from": "odd"}) == ("parameters hold a number that JSON cannot hold", 400)


@pytest.mark.parametrize(
    "template",
    [
        "{{if 1}}" * 100_000,
        "{{range .Messages}}" * 5_000,
        "(" * 100_000,
        "{{" + "(" * 100_000,
        "{{ .A" + ".A" * 100_000,
    ],
    ids=["if", "range", "text", "parentheses", "fields"],
)
def test_a_template_that_nests_without_end_parses_or_is_refused(shop: Shop, template: str) -> None:
    refusal = "template error: "
    try:
        shop.create("m", **{"from": "base", "template": template})
    except CreateError as error:
        refusal = str(error)
    assert refusal.startswith("template error: ")


# -- files that lie ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["files", "draft_files", "adapters"])
def test_a_file_cut_anywhere_is_refused(shop: Shop, field: str) -> None:
    """At every eighth byte; the reader of headers has a test of its own for each."""
    sound = FILES["tinylora-f16.gguf" if field == "adapters" else "bare.gguf"]
    base = {} if field == "files" else {"from": "base"}
    before = len(shop.contents())
    for length in range(4, len(sound) - 32, 8):
        digest = shop.upload(sound[:length])
        words, status = shop.refused("m", **base, **{field: {"x.gguf": digest}})
        assert words.startswith('"x.gguf" cannot be used: ')
        assert status == 400
        assert len(shop.contents()) == before + 1
        (shop.store.layout.blobs / digest.replace(":", "-")).unlink()


def test_safetensors_are_refused_without_being_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of 2^63 bytes, or no JSON in it: nobody looks."""
    files = {"config.json": shop.upload(b"{"), "model.safetensors": shop.upload(b"\xff" * 7 + b"\x7f" + b"{")}
    opened: list[str] = []
    real = os.open

    def noted(file: Any, *more: Any, **named: Any) -> int:
        opened.append(str(file))
        return real(file, *more, **named)

    monkeypatch.setattr(os, "open", noted)
    words = ("converting safetensors is not available in this version", 501)
    assert shop.refused("m", files=files) == words
    assert shop.refused("m", **{"from": "base", "adapters": files}) == words
    assert shop.refused("m", **{"from": "base", "draft_files": files}) == words
    assert not any(files["model.safetensors"][7:] in path for path in opened)


def test_one_file_may_be_weights_and_draft_but_weights_are_no_adapter(shop: Shop) -> None:
    digest = shop.upload(MINIMAL)
    shop.create("m", files={"a.gguf": digest}, draft_files={"a.gguf": digest})
    words = ('"a.gguf" is not an adapter', 400)
    assert shop.refused("n", files={"a.gguf": digest}, adapters={"a.gguf": digest}) == words
