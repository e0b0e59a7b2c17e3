"""JSON as Go writes it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import jsonout

WEST, EAST = timezone(timedelta(hours=-8)), timezone(timedelta(hours=5, minutes=30))
WHOLE_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | WHOLE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WHOLE_TEXT, inner),
    max_leaves=20,
)


@given(JSON)
def test_reads_back_as_what_was_written(value: Any) -> None:
    assert json.loads(jsonout.dumps(value)) == value
    floats = json.loads(jsonout.dumps(jsonout.free(value)), parse_int=float)
    assert floats == json.loads(json.dumps(value), parse_int=float)


@given(st.lists(JSON | st.text()))
def test_lines_are_the_values_one_by_one(values: list[Any]) -> None:
    assert jsonout.lines(values) == b"".join(jsonout.dumps(value) + b"\n" for value in values)


@given(st.text())
def test_no_text_can_close_a_script_or_break_a_line(text: str) -> None:
    written = jsonout.dumps({"a": text})
    assert not any(char.encode() in written for char in "<>&\u2028\u2029\n")


def test_escapes() -> None:
    assert jsonout.dumps("<a>&\u2028\u2029é\t") == '"\\u003ca\\u003e\\u0026\\u2028\\u2029é\\t"'.encode()


@pytest.mark.parametrize("members", [{}, {"model": "<m>"}])
@pytest.mark.parametrize("rows", [[], [b"[1,2]"], [b"[1]", b"[2]"]])
@pytest.mark.parametrize("more", [{}, {"count": 3}])
def test_rows_are_taken_as_they_are(members: dict[str, Any], rows: list[bytes], more: dict[str, Any]) -> None:
    plain = {**members, "rows": [json.loads(row) for row in rows], **more}
    assert jsonout.with_rows(members, "rows", rows, more) == jsonout.dumps(plain)


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    assert jsonout.dumps({"a\ud800": ["\udc00x"]}) == '{"a\ufffd":["\ufffdx"]}'.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.1, "0.1"), (1e-5, "0.00001"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1e20, "1" + "0" * 20),
     (1e21, "1e+21"), (-2.5, "-2.5"), (0.10000000149011612, "0.10000000149011612")],
)  # fmt: skip
def test_floats_print_as_in_go(value: float, text: str) -> None:
    assert jsonout.dumps(jsonout.free([value])) == f"[{text}]".encode()


def test_free_sorts_keys_by_their_bytes_but_can_leave_the_first_level() -> None:
    value = {"é": {"b": 1, "a": 2}, "z": 1, "Z": 2}
    assert jsonout.dumps(jsonout.free(value)) == '{"Z":2,"z":1,"é":{"a":2,"b":1}}'.encode()
    assert jsonout.dumps(jsonout.free(value, keep_order=True)) == '{"é":{"a":2,"b":1},"z":1,"Z":2}'.encode()


def test_omit_empty_keeps_what_says_something() -> None:
    members = jsonout.omit_empty(a="", b=0, c=False, d=None, e=[], f={}, g="x", h=1, i=[0], j=True)
    assert members == {"g": "x", "h": 1, "i": [0], "j": True}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2025, 11, 21, 5, 35, tzinfo=UTC), "2025-11-21T05:35:00Z"),
        (datetime(2025, 11, 21, 5, 35, 0, 120000, tzinfo=UTC), "2025-11-21T05:35:00.12Z"),
        (
            datetime(2025, 11, 20, 18, 2, 11, 500000, tzinfo=WEST),
            "2025-11-20T18:02:11.5-08:00",
        ),
        (datetime(2025, 11, 20, 18, 2, tzinfo=EAST), "2025-11-20T18:02:00+05:30"),
    ],
)
def test_times_drop_trailing_zeros(moment: datetime, text: str) -> None:
    assert jsonout.local_time(moment) == text


def test_the_present_is_in_utc() -> None:
    text = jsonout.utc_now()
    assert text.endswith("Z")
    assert abs(datetime.fromisoformat(text) - datetime.now(UTC)) < timedelta(minutes=1)


def test_never_lies_in_the_24th_century() -> None:
    assert jsonout.expiry(None)[:2] == "23"
    assert datetime.fromisoformat(jsonout.expiry(1_700_000_000.25)).timestamp() == 1_700_000_000.25
