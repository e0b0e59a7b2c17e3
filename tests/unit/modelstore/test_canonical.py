"""JSON with digests that other programs get too."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelstore.canonical import encode, encode_map

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "size", "sha256"),
    [
        (
            {"temperature": 1, "top_k": 10, "stop": ["USER:", "ASSISTANT:"]},
            59,
            "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37",
        ),
        (
            {"top_p": 0.7, "temperature": 0.6, "stop": ["USER:", "ASSISTANT:"], "top_k": 10.0},
            73,
            "e29a7b3c47287a2489c895d21fe413c20f859a85d20e749492f52a838e36e1ba",
        ),
        (
            {"stop": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]},
            96,
            "56bb8bd477a519ffa694fc449c2413c6f0e1d3b1c88fa7e3c9d88d3ae49d4dcb",
        ),
    ],
)
def test_published_parameters(value: dict[str, Any], size: int, sha256: str) -> None:
    """Parameters get the digests that the reference gives them."""
    data = encode_map(value) + b"\n"
    assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)


def test_published_messages() -> None:
    """So do messages, whose members keep their order."""
    turns = [("assistant", "What is my purpose?"), ("user", "You run tests."), ("assistant", "Oh, my god.")]
    data = encode([{"role": role, "content": content} for role, content in turns]) + b"\n"
    assert hashlib.sha256(data).hexdigest() == "298baeaf6928a60cf666d88d64a1ba606feb43a2865687c39e40652e407bffc4"


def test_escapes() -> None:
    """Characters that are dangerous in HTML or JavaScript are escaped, nothing else that needs not be."""
    assert encode('<>&\u2028\u2029"\\/\b\f\n\r\t\x01\x7fé') == (
        rb'"\u003c\u003e\u0026\u2028\u2029\"\\/\b\f\n\r\t\u0001' + b"\x7f\xc3\xa9" + b'"'
    )
    assert encode("\ud800") == rb'"\ufffd"'


def test_integers_of_structs_are_exact_and_of_maps_are_doubles() -> None:
    """A size keeps all its digits; a parameter went through a double in the reference."""
    assert encode(2**53 + 1) == b"9007199254740993"
    assert encode_map({"b": 2**53 + 1, "a": {"d": 1e-7, "c": []}}) == b'{"a":{"c":[],"d":1e-7},"b":9007199254740992}'


@given(JSON)
def test_reads_back(value: Any) -> None:
    """It is JSON, and of the same value."""
    assert json.loads(encode(value), parse_int=float) == value


def test_refuses_what_is_not_json() -> None:
    """Neither NaN nor foreign objects get into a file."""
    with pytest.raises(ValueError):
        encode([float("nan")])
    with pytest.raises(TypeError):
        encode({1, 2})
