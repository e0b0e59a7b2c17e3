"""Modelfiles: what parses, what is refused with which words, what is printed, what request they make."""

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.errors import ModelfileError, OptionError, StoreError
from modelstore.modelfile import Modelfile, quoted

VECTORS: list[dict[str, Any]] = json.loads(
    gzip.decompress((Path(__file__).parents[2] / "vectors" / "modelfile.json.gz").read_bytes())
)
LOCAL = {"bare.gguf", "./bare.gguf", ""}
"""FROM arguments that are files or folders beside the recorded Modelfiles."""

CMD = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)
ROLE = 'message role must be one of "system", "user", or "assistant"'

WORKED = '''# comment
FROM llama3.2
PARAMETER temperature 1
PARAMETER num_ctx 4096
PARAMETER stop "<|user|>"
PARAMETER stop <|end|>
TEMPLATE """{{ .System }}
{{ .Prompt }}"""
SYSTEM You are Mario.
LICENSE """
MIT
"""
MESSAGE user "Hi: there "
MESSAGE assistant Hello
REQUIRES v0.14.0
RENDERER qwen3-coder
PARSER qwen3-coder
'''


def args_of(text: str, name: str) -> str:
    (value,) = Modelfile.parse(text).values(name)
    return value


# -- the worked example -----------------------------------------------------------------------------------------------


def test_worked_example_parses_into_its_commands() -> None:
    assert [(c.name, c.args) for c in Modelfile.parse(WORKED).commands] == [
        ("model", "llama3.2"),
        ("temperature", "1"),
        ("num_ctx", "4096"),
        ("stop", "<|user|>"),
        ("stop", "<|end|>"),
        ("template", "{{ .System }}\n{{ .Prompt }}"),
        ("system", "You are Mario."),
        ("license", "\nMIT\n"),
        ("message", "user: Hi: there "),
        ("message", "assistant: Hello"),
        ("requires", "v0.14.0"),
        ("renderer", "qwen3-coder"),
        ("parser", "qwen3-coder"),
    ]


def test_worked_example_is_printed_canonically() -> None:
    assert str(Modelfile.parse(WORKED)) == (
        "FROM llama3.2\nPARAMETER temperature 1\nPARAMETER num_ctx 4096\nPARAMETER stop <|user|>\n"
        'PARAMETER stop <|end|>\nTEMPLATE "{{ .System }}\n{{ .Prompt }}"\nSYSTEM You are Mario.\n'
        'LICENSE "\nMIT\n"\nMESSAGE user "Hi: there "\nMESSAGE assistant Hello\nREQUIRES v0.14.0\n'
        "RENDERER qwen3-coder\nPARSER qwen3-coder\n"
    )


def test_worked_example_makes_the_request_in_its_order() -> None:
    request = Modelfile.parse(WORKED).to_request()
    assert json.dumps(request, separators=(",", ":")) == (
        '{"from":"llama3.2","template":"{{ .System }}\\n{{ .Prompt }}","license":["\\nMIT\\n"],'
        '"system":"You are Mario.","parameters":{"num_ctx":4096,"stop":["<|user|>","<|end|>"],"temperature":1.0},'
        '"messages":[{"role":"user","content":"Hi: there "},{"role":"assistant","content":"Hello"}],'
        '"renderer":"qwen3-coder","parser":"qwen3-coder","requires":"0.14.0"}'
    )


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no FROM line"),
        ("PARAMETER top_k 1\n", "no FROM line"),
        ("FROM", "unexpected EOF"),
        ("FROM\n", f"(line 2): {CMD}"),
        ("FROM foo\n\nBADCOMMAND x\n", f"(line 3): {CMD}"),
        ("FROM foo\r\nBADCOMMAND x\r\n", f"(line 3): {CMD}"),
        ("FROM foo\nPARAMETER temperature\n", "unexpected EOF: temperature"),
        ("FROM foo\nPARAMETER temp-x 1\n", "unexpected EOF: temp"),
        ("FROM foo\nMESSAGE badguy hi\n", f"(line 2): {ROLE}"),
        ("FROM foo\nMESSAGE user: hi\n", "unexpected EOF: user"),
        ("FROM foo\nMESSAGE \n", "unexpected EOF: "),
        ('FROM foo\nSYSTEM """abc\n', "unexpected EOF"),
        ("FROM foo\nSYSTEM\n", f"(line 3): {CMD}"),
        ("FROM1 foo\n", f"(line 1): {CMD}"),
        ("1FROM x", f"(line 1): {CMD}"),
        ("FROM foo\n1", "unexpected EOF"),
        ("FROM foo\n1\n", f"(line 3): {CMD}"),
        ("FROM foo\n-x y", f"(line 2): {CMD}"),
        ("FROM foo\r\n\r\n\u200b1 x", f"(line 5): {CMD}"),
        ("FROM foo\nfrom-x\n", f"(line 2): {CMD}"),
        ("\n# c\n\tNOPE x", f"(line 3): {CMD}"),
        ("FROM foo\nMESSAGE  user hi\n", f"(line 2): {ROLE}"),
        ("FROM foo\nMESSAGE User hi\n", f"(line 2): {ROLE}"),
        ("FROM foo\nPARAMETER \n", "unexpected EOF: "),
        ("FROM foo\nPARAMETER ", "unexpected EOF"),
        ("FROM foo\nMESSAGE ", "unexpected EOF"),
        ("FROM foo\nx", "unexpected EOF"),
        ("FROM foo\nMESSAGE use", "unexpected EOF"),
        ("FROM foo\nPARAMETER num", "unexpected EOF"),
        ('FROM foo\nSYSTEM "', "unexpected EOF"),
        ('FROM foo\nSYSTEM """""', "unexpected EOF"),
    ],
)
def test_text_that_is_no_modelfile_is_refused_with_these_words(text: str, reason: str) -> None:
    with pytest.raises(ModelfileError) as caught:
        Modelfile.parse(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("PARAMETER temperature abc", "invalid float value [abc]"),
        ("PARAMETER num_ctx 1.5", "invalid int value [1.5]"),
        ("PARAMETER use_mmap maybe", "invalid bool value [maybe]"),
        ("PARAMETER num_gqa 1", "unknown parameter 'num_gqa'"),
        ("PARAMETER Temperature 1", "unknown parameter 'Temperature'"),
        ("PARAMETER  temperature 1", "unknown parameter ''"),
        ("PARAMETER num_ctx 4096 # note", "invalid int value [4096 # note]"),
    ],
)
def test_a_parameter_is_judged_when_the_request_is_built(line: str, reason: str) -> None:
    modelfile = Modelfile.parse(f"FROM foo\n{line}\n")
    with pytest.raises(OptionError) as caught:
        modelfile.to_request()
    assert str(caught.value) == reason


@pytest.mark.parametrize("version", ["0.14", "0.14.0", "v0.14.0-rc1", "1", "v1.2.3-a.1+b.7", "1.2.3+x"])
def test_requires_takes_a_version_and_sends_it_without_its_v(version: str) -> None:
    request = Modelfile.parse(f"FROM foo\nREQUIRES {version}\n").to_request()
    assert request["requires"] == version.removeprefix("v")


@pytest.mark.parametrize(
    "version", ["0.14.0.1", "01.2.3", "", "soon", "1.2-rc1", "1.2.3-", "1.2.3-01", "1.2.3+", "vv1"]
)
def test_requires_refuses_what_is_no_version(version: str) -> None:
    with pytest.raises(ModelfileError, match="requires must be a valid semver"):
        Modelfile.parse(f"FROM foo\nREQUIRES {version}\n").to_request()


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"a" b "c"', 'a" b "c'),
        ('"it\'s \\"x\\""', 'it\'s \\"x\\"'),
        ("'x'", "'x'"),
        ('""', ""),
        ('""""""', ""),
        ('"""a"b"""', 'a"b'),
        ('"a\n  b  "  ', "a\n  b  "),
        ('"\n""', '\n"'),
        ('"""\n\n"""', "\n\n"),
        ("a # b", "a # b"),
        ("  spaced \t", "spaced"),
    ],
)
def test_quotes_keep_what_is_between_them(written: str, value: str) -> None:
    assert args_of(f"FROM foo\nSYSTEM {written}\n", "system") == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "bom-be"])
def test_a_byte_order_mark_selects_the_encoding(encoding: str) -> None:
    text = "FROM foo\nSYSTEM Zoë 日本\n"
    source = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "bom-be" else text.encode(encoding)
    parsed = Modelfile.parse(source)
    assert parsed.values("system") == ["Zoë 日本"]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert Modelfile.parse(b"FROM foo\nSYSTEM a\xffb\n").values("system") == ["a\ufffdb"]
    cut = "FROM foo\nSYSTEM ab".encode("utf-16")[:-1]
    assert Modelfile.parse(cut).values("system") == ["a\ufffd"]


def test_invisible_characters_are_dropped() -> None:
    assert args_of("\x07FROM foo\nSYSTEM a\u200b\u00a0\u00ad\ue000b\u200d\x1b\n", "system") == "ab"


def test_a_long_quoted_value_is_read_in_linear_time() -> None:
    text = "line\n" * 200_000
    assert args_of(f'FROM foo\nTEMPLATE """{text}"""\n', "template") == text


def test_what_is_empty_is_not_sent() -> None:
    text = 'FROM a\nSYSTEM x\nSYSTEM ""\nTEMPLATE \nPARAMETER stop ""\nLICENSE ""\nMESSAGE user ""\nRENDERER \n'
    assert Modelfile.parse(text).to_request() == {
        "from": "a",
        "license": [""],
        "parameters": {"stop": [""]},
        "messages": [{"role": "user", "content": ""}],
    }


def test_a_number_of_any_kind_has_its_type() -> None:
    lines = ["num_ctx 4096", "seed -1", "top_k +7", "temperature 1e-05", "top_p 0x1p-1", "use_mmap F", "min_p 0.1"]
    text = "FROM a\n" + "".join(f"PARAMETER {line}\n" for line in lines)
    parameters = Modelfile.parse(text).to_request()["parameters"]
    assert json.dumps(parameters) == (
        '{"min_p": 0.1, "num_ctx": 4096, "seed": -1, "temperature": 1e-05, "top_k": 7, "top_p": 0.5, "use_mmap": false}'
    )


def test_repeated_commands_keep_their_order_and_the_last_one_wins() -> None:
    parsed = Modelfile.parse("FROM a\nFROM b\nSYSTEM 1\nSYSTEM 2\nADAPTER x\nADAPTER y\nDRAFT d\n")
    assert parsed.values("model") == ["a", "b"]
    assert parsed.values("adapter") == ["x", "y"]
    assert parsed.values("draft") == ["d"]
    assert parsed.to_request() == {"from": "b", "system": "2"}


# -- recorded runs ----------------------------------------------------------------------------------------------------


def outcome(vector: dict[str, Any]) -> dict[str, Any] | str:
    """The request without files, or the words of the refusal."""
    try:
        modelfile = Modelfile.parse(vector["modelfile"])
        request = modelfile.to_request()
    except StoreError as error:
        return f"Error: {error}"
    assert "".join(f"warning: parameter {n} is deprecated\n" for n in modelfile.deprecated()) == vector["stdout"]
    names = [base for base in modelfile.values("model") if base not in LOCAL]
    request = {key: value for key, value in request.items() if value and key != "from"}
    return request | ({"from": names[-1]} if names else {})


@pytest.mark.parametrize("vector", [v for v in VECTORS if "create" in v], ids=lambda v: v["name"])
def test_recorded_modelfile_makes_the_recorded_request(vector: dict[str, Any]) -> None:
    client_side = ("model", "name", "files", "adapters", "draft_files")
    assert outcome(vector) == {k: v for k, v in vector["create"].items() if k not in client_side}


CLIENT_ONLY = ("Error: stat ", "Error: 400 Bad Request: ")
"""Refusals that need the file system or a server."""


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if v["exit_code"] and not v["stderr"][0].startswith(CLIENT_ONLY)],
    ids=lambda v: v["name"],
)
def test_recorded_refusal_has_the_recorded_words(vector: dict[str, Any]) -> None:
    assert outcome(vector) == vector["stderr"][0]


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v["exit_code"] and v["stderr"][0].startswith(CLIENT_ONLY)], ids=lambda v: v["name"]
)
def test_what_only_a_file_or_a_server_refuses_parses(vector: dict[str, Any]) -> None:
    assert isinstance(outcome(vector), dict)


# -- properties -------------------------------------------------------------------------------------------------------


@given(st.text() | st.binary())
def test_any_input_parses_or_is_refused(source: str | bytes) -> None:
    with contextlib.suppress(ModelfileError):
        Modelfile.parse(source)


@given(st.text(st.sampled_from('FROMfrom SYSTEMsyte"\n\r\t#:PARAMETER MESSAGE user x1-'), max_size=60))
def test_text_near_the_grammar_parses_or_is_refused(source: str) -> None:
    try:
        modelfile = Modelfile.parse(source)
    except ModelfileError:
        return
    assert modelfile.values("model")


@given(st.text())
def test_only_lines_and_outer_blanks_are_quoted(text: str) -> None:
    needs = "\n" in text or text.startswith(" ") or text.endswith(" ")
    assert (quoted(text) != text) == needs
