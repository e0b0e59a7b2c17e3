"""Quoted text."""

import pytest

from modelstore.quoting import quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a b", '"a b"'),
        ('say "x" \\', r'"say \"x\" \\"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\0\x7f", r'"\x00\x7f"'),
        ("é 日 😀", '"é 日 😀"'),
        ("\u00a0\u200b", r'"\u00a0\u200b"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("\ud800", '"\ufffd"'),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    """Printable text stays, everything else becomes an escape."""
    assert quote(text) == quoted
