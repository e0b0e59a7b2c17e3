"""A path in a Modelfile → the files that it stands for."""

import hashlib
from pathlib import Path

import pytest

from server.cli import files
from server.cli.errors import BadInput

TENSORS = b"\x10\x00\x00\x00\x00\x00\x00\x00{}"
GGUF = b"GGUF\x03\x00\x00\x00"
ZIP = b"PK\x03\x04...."


def make(folder: Path, **contents: bytes) -> list[str]:
    """Write files (`__` stands for `/`, `_` before the ending for a dot); what the folder stands for."""
    for name, content in contents.items():
        file = folder / name.replace("__", "/").replace("_DOT_", ".").replace("_DASH_", "-")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return [file.relative_to(folder).as_posix() for file in files.expand(folder)]


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(GGUF)
    assert files.expand(file) == [file]


def test_safetensors_come_before_everything_else_and_bring_their_descriptions(tmp_path: Path) -> None:
    found = make(
        tmp_path,
        model_DASH_1_DOT_safetensors=TENSORS,
        model_DASH_2_DOT_safetensors=TENSORS,
        sub__model_DOT_safetensors=TENSORS,
        pytorch_model_DOT_bin=ZIP,
        x_DOT_gguf=GGUF,
        config_DOT_json=b"{}",
        sub__extra_DOT_json=b"{}",
        tokenizer_DOT_model=b"\x00\x01",
        chat_template_DOT_jinja=b"{{ messages }}",
        README_DOT_md=b"# x",
    )
    assert found == [
        "model-1.safetensors",
        "model-2.safetensors",
        "sub/model.safetensors",
        "config.json",
        "sub/extra.json",
        "chat_template.jinja",
        "tokenizer.model",
    ]


def test_adapters_are_weights_too(tmp_path: Path) -> None:
    assert make(tmp_path, adapter_model_DOT_safetensors=TENSORS, adapter_config_DOT_json=b"{}") == [
        "adapter_model.safetensors",
        "adapter_config.json",
    ]


def test_weights_of_the_wrong_type_give_way_to_the_next_kind(tmp_path: Path) -> None:
    assert make(tmp_path, pytorch_model_DOT_bin=b"\x00\x01", x_DOT_gguf=GGUF) == ["x.gguf"]


def test_every_gguf_counts(tmp_path: Path) -> None:
    assert make(tmp_path, b_DOT_gguf=GGUF, a_DOT_gguf=GGUF) == ["a.gguf", "b.gguf"]


def test_a_text_vocabulary_is_left_out(tmp_path: Path) -> None:
    assert make(tmp_path, x_DOT_gguf=GGUF, tokenizer_DOT_model=b"text") == ["x.gguf"]


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^no Modelfile or safetensors files found$"):
        make(tmp_path, config_DOT_json=b"{}")


def test_a_binary_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        make(tmp_path, x_DOT_gguf=GGUF, config_DOT_json=b"\x00\x01")
    assert str(caught.value) == f"invalid content type: expected application/octet-stream for {tmp_path}/config.json"


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.gguf").write_bytes(GGUF)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "x.gguf").symlink_to(tmp_path / "secret.gguf")
    with pytest.raises(BadInput, match=r"^insecure path: \.\./secret\.gguf$"):
        files.expand(folder)


def test_a_link_into_a_download_cache_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "blob").write_bytes(GGUF)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "x.gguf").symlink_to(tmp_path / ".cache" / "blob")
    with pytest.raises(BadInput, match=r"\n\nUse --local-dir <dir>"):
        files.expand(folder)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.gguf").write_bytes(GGUF)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert files.expand(tmp_path / "link") == [tmp_path / "link" / "x.gguf"]


def test_keys_are_paths_below_the_shared_folder() -> None:
    assert files.keys([Path("/a/b/x.gguf")]) == ["x.gguf"]
    assert files.keys([Path("/a/b/x"), Path("/a/b/c/y")]) == ["x", "c/y"]


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"abc")
    assert files.digests([file, file]) == {file: f"sha256:{hashlib.sha256(b'abc').hexdigest()}"}


def test_paths_are_relative_to_the_modelfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.located("./x.gguf", tmp_path) == tmp_path / "x.gguf"
    assert files.located("../x", tmp_path / "a") == tmp_path / "x"
    assert files.located("/x", tmp_path) == Path("/x")
    assert files.located("", tmp_path) == tmp_path
    assert files.located("~/x", tmp_path) == tmp_path / "home" / "x"
    with pytest.raises(BadInput, match="failed to find user 'no-such-user'"):
        files.located("~no-such-user/x", tmp_path)
