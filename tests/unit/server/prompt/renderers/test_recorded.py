"""Prompts of built-in renderers as the reference wrote them (tests/replay/renderers.py asked it).

`renderers_known.json` lists what is meant to differ, in groups with the reason. `records`: a listed one that is equal
fails as much as an unlisted one that is not. `rewrite`: pairs of a regular expression and what takes its place in all
prompts recorded for the `renderers`.
"""

import gzip
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from server.gojson.decode import decode
from server.prompt.errors import PromptError
from server.prompt.renderers import RENDERERS
from server.schema.native import CHAT

_REPLAY: Final = Path(__file__).parents[4] / "replay"
_RECORDED: Final[dict[str, Any]] = json.loads(gzip.decompress((_REPLAY / "renderers.json.gz").read_bytes()))
_GROUPS: Final[list[dict[str, Any]]] = json.loads((_REPLAY / "renderers_known.json").read_bytes())
_KNOWN: Final = {
    (renderer, number): group["reason"]
    for group in _GROUPS
    for renderer, numbers in group.get("records", {}).items()
    for number in numbers
}
_BODIES: Final[list[bytes]] = [json.dumps(given).encode() for given in _RECORDED["conversations"]]


def _records() -> list[Any]:
    return [
        pytest.param(renderer, record, id=f"{renderer}-{record['conversation']}")
        for renderer, records in _RECORDED["renderers"].items()
        for record in records
    ]


def _rendered(renderer: str, record: dict[str, Any]) -> dict[str, str]:
    number: int = record["conversation"]
    asked = decode(_BODIES[number], CHAT)
    try:
        return {"prompt": RENDERERS[renderer](asked.messages, asked.tools, record["think"])}
    except PromptError as error:
        return {"error": error.message}


def _rewritten(renderer: str, text: str) -> str:
    for group in _GROUPS:
        for pattern, replacement in group["rewrite"] if renderer in group.get("renderers", ()) else ():
            text = re.sub(pattern, replacement, text)
    return text


def _significant(text: str, record: dict[str, Any]) -> list[str]:
    """The lines; in no order where the reference writes them in any."""
    lines = text.splitlines(keepends=True)
    return sorted(lines) if record.get("varies") else lines


@pytest.mark.parametrize(("renderer", "record"), _records())
def test_the_prompt_is_the_recorded_one(renderer: str, record: dict[str, Any]) -> None:
    kind = "error" if "error" in record else "prompt"
    expected = _significant(_rewritten(renderer, record[kind]), record)
    found = _significant(_rendered(renderer, record).get(kind, ""), record)
    if reason := _KNOWN.get((renderer, record["conversation"])):
        assert found != expected, f"no difference any more: {reason}"
    else:
        assert found == expected


def test_what_is_known_to_differ_was_recorded() -> None:
    recorded = {(name, record["conversation"]) for name, each in _RECORDED["renderers"].items() for record in each}
    assert set(_KNOWN) <= recorded
