"""The sockets: which addresses, and what the operator is told when there are none to be had."""

import errno
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from server import listening
from server.errors import CannotListen
from server.host import Host, parse_host
from server.listening import address_of, bind, is_loopback, refused


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture
def version_server() -> Iterator[int]:
    """Something that answers GET /api/version; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"version":"9.9.9"}')

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_loopback_address_has_its_twin(name: str) -> None:
    sockets = bind(Host(host=name, port=0))
    try:
        assert sockets[0].family == socket.AF_INET
        assert all(is_loopback(sock) for sock in sockets)
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        if has_ipv6():
            assert address_of(sockets[1]) == f"[::1]:{sockets[0].getsockname()[1]}"
    finally:
        for sock in sockets:
            sock.close()


def test_a_twin_that_cannot_be_had_is_done_without() -> None:
    real = listening._bound  # pyright: ignore[reportPrivateUsage]

    def refuse_ipv6(family: int, address: tuple[object, ...], *, dual: bool = False) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(family, address, dual=dual)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "_bound", refuse_ipv6)
        (only,) = bind(Host(port=0))
    with closing(only):
        assert only.family == socket.AF_INET


@pytest.mark.parametrize("text", [":0", "0.0.0.0:0", "[::]:0"])
def test_all_interfaces(text: str) -> None:
    if text == "[::]:0" and not has_ipv6():
        return
    (only,) = bind(parse_host(text))
    with closing(only):
        assert not is_loopback(only)
        assert address_of(only).rpartition(":")[0] in ("[::]", "0.0.0.0")


def test_a_taken_port_tells_who_has_it_and_where_to_go(version_server: int) -> None:
    with pytest.raises(CannotListen) as caught:
        bind(Host(port=version_server))
    assert str(caught.value) == f"listen tcp 127.0.0.1:{version_server}: bind: address already in use"
    who, beside = caught.value.advice.split("; ")
    assert who == f"a server that speaks Ollama's API (version 9.9.9) answers on 127.0.0.1:{version_server}"
    command, _, port = beside.rpartition(":")
    assert command == "to start beside it: OLLAMA_HOST=127.0.0.1"
    assert int(port) > version_server


def test_other_reasons_have_no_advice() -> None:
    error = refused(Host(host="192.0.2.1", port=1), OSError(errno.EADDRNOTAVAIL, ""))
    assert str(error) == "listen tcp 192.0.2.1:1: bind: cannot assign requested address"
    assert error.advice == ""


def test_a_name_that_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CannotListen, match=r"listen tcp nowhere\.invalid:1: lookup nowhere\.invalid: Name or service"):
        bind(Host(host="nowhere.invalid", port=1))
