"""The sockets of the daemon: bound before anything else happens, so that a taken port costs nothing."""

import errno
import os
import socket
from typing import Final

import structlog

from server.errors import CannotListen
from server.host import Host

_log = structlog.get_logger(__name__)

ASK_TIMEOUT: Final = 1.0
"""Seconds for whoever has the port to say what it is."""
_NEIGHBOURS: Final = 50
_TWINS: Final = {"127.0.0.1": "::1", "localhost": "::1"}
"""Loopback addresses under which clients may look for the same daemon."""


def bind(host: Host) -> list[socket.socket]:
    """Sockets that are bound, but do not listen yet. Raises `CannotListen`.

    An IPv4 loopback address has its IPv6 twin beside it, where that can be had.
    """
    first = _bind_first(host)
    sockets = [first]
    twin = _TWINS.get(host.host)
    if twin is not None and first.family == socket.AF_INET:
        port = first.getsockname()[1]
        try:
            sockets.append(_bound(socket.AF_INET6, (twin, port)))
        except OSError as error:
            _log.info("not listening on the IPv6 loopback address", address=f"[{twin}]:{port}", reason=error.strerror)
    return sockets


def address_of(sock: socket.socket) -> str:
    """`127.0.0.1:11434`, `[::]:11434`"""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine can reach the socket."""
    host: str = sock.getsockname()[0]
    return host == "::1" or host.startswith("127.")


def refused(host: Host, error: OSError) -> CannotListen:
    """What to tell the operator when the address cannot be had."""
    reason = "bind: " + (os.strerror(error.errno).lower() if error.errno else str(error))
    if error.errno != errno.EADDRINUSE:
        return CannotListen(host.netloc, reason)
    return CannotListen(host.netloc, reason, _advice(host))


def _bind_first(host: Host) -> socket.socket:
    if not host.host:
        return _bind_everywhere(host)
    try:
        found = socket.getaddrinfo(host.host, host.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotListen(host.netloc, f"lookup {host.host}: {error.strerror}") from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    try:
        return _bound(family, address)
    except OSError as error:
        raise refused(host, error) from error


def _bind_everywhere(host: Host) -> socket.socket:
    """One socket for all addresses of both families; of IPv4 where there is no IPv6."""
    try:
        return _bound(socket.AF_INET6, ("::", host.port), dual=True)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise refused(host, error) from error
    try:
        return _bound(socket.AF_INET, ("0.0.0.0", host.port))
    except OSError as error:
        raise refused(host, error) from error


def _bound(family: int, address: tuple[object, ...], *, dual: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _advice(host: Host) -> str:
    there = host.for_client()
    version = _version_at(there)
    who = f"a server that speaks Ollama's API (version {version})" if version else "another program"
    port = _free_port(there)
    beside = f"; to start beside it: OLLAMA_HOST={there.host}:{port}" if port else ""
    return f"{who} answers on {there.netloc}{beside}"


def _version_at(host: Host) -> str:
    """What answers there says of its version; empty if it says nothing of the kind in time."""
    import http.client  # only a daemon that cannot start gets here
    import json

    connection = http.client.HTTPConnection(host.host, host.port, timeout=ASK_TIMEOUT)
    try:
        connection.request("GET", "/api/version")
        answer = json.loads(connection.getresponse().read(4096))
        return str(answer["version"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""
    finally:
        connection.close()


def _free_port(host: Host) -> int | None:
    """A port after the taken one that nobody has now."""
    family = socket.AF_INET6 if ":" in host.host else socket.AF_INET
    for port in range(host.port + 1, min(host.port + _NEIGHBOURS, 65536)):
        try:
            _bound(family, (host.host, port)).close()
        except OSError:
            continue
        return port
    return None
