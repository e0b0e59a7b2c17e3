"""JSON inside what a model writes."""

from typing import Any

import pytest

from server.parse.scan import load, load_object


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"b": 1, "a": [1.5, null]}', {"b": 1, "a": [1.5, None]}), ("[1]", [1]), ("7", 7), ("", None), ("{", None),
        ('{"a": NaN}', None), ('{"a": Infinity}', None), ('{"a": 1e999}', None), ("[" * 100_000, None),
    ],
)  # fmt: skip
def test_values_that_json_can_hold(text: str, value: Any) -> None:
    assert load(text) == value


def test_objects_and_nothing_else() -> None:
    assert load_object('{"a": 1}') == {"a": 1}
    assert load_object("[1]") is None
