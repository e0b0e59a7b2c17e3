"""What Go itself made of some thousand templates, made again.

`go.json` was recorded with text/template of Go 1.26 and the option missingkey=zero: formats of `printf`, programs put
together at random from every construct, literals, and mistakes of each kind with their places.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from modelstore.template import Limits, TemplateExecutionError, TemplateSyntaxError
from modelstore.template.functions import BUILTINS
from modelstore.template.parser import parse
from modelstore.template.program import Program

RECORDED = json.loads(Path(__file__).with_name("go.json").read_text(encoding="utf-8"))
CASES: dict[str, list[tuple[str, str, str]]] = RECORDED["cases"]


def _made(text: str, values: dict[str, Any]) -> tuple[str, str]:
    try:
        root, definitions = parse(text, BUILTINS.keys())
    except TemplateSyntaxError as error:
        return "parse", error.message
    try:
        return "out", Program(text, root, definitions, BUILTINS).run(values, Limits())
    except TemplateExecutionError as error:
        return "exec", error.message


@pytest.mark.parametrize("group", CASES)
def test_templates_do_what_go_does(group: str) -> None:
    """Output, mistakes found by parsing, and failures with line and column, to the letter."""
    differing = {text: _made(text, RECORDED["values"]) for text, kind, told in CASES[group]
                 if _made(text, RECORDED["values"]) != (kind, told)}  # fmt: skip
    assert not differing


def test_every_kind_of_case_is_recorded() -> None:
    kinds = {group: {kind for _, kind, _ in cases} for group, cases in CASES.items()}
    assert kinds["failing"] == {"exec"}
    assert kinds["syntax"] == {"parse"}
    assert kinds["language"] == kinds["literals"] == {"out"}
    assert sum(map(len, CASES.values())) > 1000
