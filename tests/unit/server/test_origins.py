"""Who may call, and under which name."""

import pytest

from server.errors import InvalidOrigin
from server.origins import Caller, Origins, interface_addresses, judge_host


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "https://localhost:8443", "http://127.0.0.1:5173", "http://0.0.0.0:1", "app://obsidian.md",
     "file://", "tauri://localhost", "vscode-webview://abc", "vscode-file://vscode-app"],
)  # fmt: skip
def test_local_pages_may_call(origin: str) -> None:
    assert Origins().allow(origin)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost.evil.example", "chrome-extension://abc", "null", "localhost",
     "http://LOCALHOST:3000"],
)  # fmt: skip
def test_others_may_not(origin: str) -> None:
    assert not Origins().allow(origin)


def test_patterns_of_the_operator() -> None:
    origins = Origins(["https://Good.example ", "https://*.wild.example", "*.end", "http://a*a"])
    assert origins.allow("https://good.example")
    assert origins.allow("https://x.wild.example")
    assert origins.allow("foo.end")
    assert origins.allow("http://aba")
    assert not origins.allow("http://a")
    assert not origins.allow("https://Good.example")
    assert not origins.everyone


def test_a_star_lets_everyone_in() -> None:
    assert Origins(["*"]).everyone
    assert Origins(["*"]).allow("null")


@pytest.mark.parametrize("pattern", ["http://*.a.*", "good.example", " https://x.example", "ftp://x"])
def test_a_bad_pattern_stops_the_start(pattern: str) -> None:
    with pytest.raises(InvalidOrigin, match="OLLAMA_ORIGINS"):
        Origins([pattern])


@pytest.mark.parametrize(
    ("header", "caller"),
    [
        ("127.0.0.1", Caller.ADDRESS),
        ("127.1.2.3:80", Caller.ADDRESS),
        ("[::1]:11434", Caller.ADDRESS),
        ("::1", Caller.ADDRESS),
        ("10.0.0.1", Caller.ADDRESS),
        ("172.16.0.1", Caller.ADDRESS),
        ("192.168.1.5:80", Caller.ADDRESS),
        ("[fd00::1]:1", Caller.ADDRESS),
        ("[::ffff:127.0.0.1]:1", Caller.ADDRESS),
        ("0.0.0.0", Caller.ADDRESS),
        ("93.184.216.34", Caller.ADDRESS),
        ("", Caller.NAME),
        ("localhost", Caller.NAME),
        ("LOCALHOST:1234", Caller.NAME),
        ("box", Caller.NAME),
        ("box.LOCAL", Caller.NAME),
        ("a.localhost", Caller.NAME),
        ("host.docker.internal", Caller.NAME),
        ("[::1]", Caller.FOREIGN),
        ("8.8.8.8", Caller.FOREIGN),
        ("169.254.1.1", Caller.FOREIGN),
        ("172.32.0.1", Caller.FOREIGN),
        ("evil.example:11434", Caller.FOREIGN),
        ("localhost.", Caller.FOREIGN),
        ("my-localhost", Caller.FOREIGN),
        ("x.internal.example", Caller.FOREIGN),
    ],
)
def test_names_of_this_machine(header: str, caller: Caller) -> None:
    assert judge_host(header, "Box", lambda: ["93.184.216.34"]) is caller


def test_the_machine_has_a_loopback_address() -> None:
    assert "127.0.0.1" in interface_addresses()
