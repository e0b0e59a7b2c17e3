"""JSON inside what a model writes."""

from typing import Any

import pytest

from server.parse.scan import load, load_object, objects_in

VALUES: list[tuple[str, Any]] = [
    ('{"b": 1, "a": [1.5, null]}', {"b": 1, "a": [1.5, None]}), ("[1]", [1]), ("7", 7), ("", None), ("{", None),
    ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("9223372036854775808", 2.0**63),
    ("9" * 400, None), ("-" + "9" * 30, -1e30), ("[" * 128 + "]" * 128, ...), ("[" * 129 + "]" * 129, None),
    ('["' + "[" * 999 + '"]', ["[" * 999]), ("[" + "[], " * 999 + "[]]", [[]] * 1000),
    ('{"a": NaN}', None), ('{"a": Infinity}', None), ('{"a": 1e999}', None), ("[" * 100_000, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values_that_json_can_hold(text: str, value: Any) -> None:
    """Those that can be sent again: no integers beyond 64 bits, and not too deep."""
    found = load(text)
    assert found is not None if value is ... else (found == value and type(found) is type(value))


def test_objects_and_nothing_else() -> None:
    assert load_object('{"a": 1}') == {"a": 1}
    assert load_object("[1]") is None


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ('a {"b": "}"} c {d} e', ['{"b": "}"}', "{d}"]), ("a", []), ("a {b", ["{b"]), ("{a} b {c", ["{a}", "{c"]),
        ('5" {a}', ["{a}"]),
    ],
)  # fmt: skip
def test_what_looks_like_objects(text: str, objects: list[str]) -> None:
    assert objects_in(text) == objects
