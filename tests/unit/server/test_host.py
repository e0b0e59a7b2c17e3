"""`OLLAMA_HOST`, for the daemon and for its clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.host import Host, parse_host


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("1.2.3.4:80", "http://1.2.3.4:80"),
        (":1234", "http://:1234"),
        (":0", "http://:0"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]", "http://[::]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("http://x", "http://x:80"),
        ("https://x:8443", "https://x:8443"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("https://example.com/", "https://example.com:443"),
        ("https://example.com:1/a/b/", "https://example.com:1/a/b"),
        ("ollama.com", "https://ollama.com:443"),
        ("http://ollama.com", "http://ollama.com:80"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        ("' 1.2.3.4 '", "http://1.2.3.4:11434"),
        (":66000", "http://:11434"),
        (":-1", "http://:11434"),
        (":abc", "http://:11434"),
        ("https://x:abc", "https://x:443"),
        ("x:", "http://x:11434"),
    ],
)
def test_every_spelling(text: str, url: str) -> None:
    assert str(parse_host(text)) == url


@pytest.mark.parametrize(
    ("text", "bad"), [(":66000", "66000"), (":-1", "-1"), ("x:abc", "abc"), ("x:1", ""), ("x", "")]
)
def test_a_port_that_was_replaced_is_remembered(text: str, bad: str) -> None:
    assert parse_host(text).bad_port == bad


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("0.0.0.0:1", "http://127.0.0.1:1"),
        ("[::]:1", "http://[::1]:1"),
        (":1", "http://127.0.0.1:1"),
        ("https://0.0.0.0/x", "https://127.0.0.1:443/x"),
        ("1.2.3.4:1", "http://1.2.3.4:1"),
    ],
)
def test_a_client_calls_this_machine_where_the_daemon_listens_everywhere(text: str, url: str) -> None:
    assert str(parse_host(text).for_client()) == url


@pytest.mark.parametrize(
    ("text", "loopback"), [("", True), ("localhost", True), ("[::1]", True), ("127.9.9.9", True), ("1.2.3.4", False)]
)
def test_loopback(text: str, loopback: bool) -> None:
    assert parse_host(text).is_loopback is loopback


@given(st.text())
def test_anything_has_a_usable_port(text: str) -> None:
    assert 0 <= parse_host(text).port <= 65535


@given(st.ip_addresses(), st.integers(0, 65535))
def test_addresses_read_back(address: object, port: int) -> None:
    host = Host(host=str(address), port=port)
    assert parse_host(str(host)) == host
