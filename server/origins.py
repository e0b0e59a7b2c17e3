"""Which web pages may call the server (CORS), and under which names it may be called (DNS rebinding).

Both are pure: header values in, a decision out.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from server.errors import InvalidOrigin

BUILT_IN: Final = (
    *(
        f"{scheme}://{host}{port}"
        for host in ("localhost", "127.0.0.1", "0.0.0.0")
        for port in ("", ":*")
        for scheme in ("http", "https")
    ),
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
)
_SCHEMES: Final = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)
_PRIVATE: Final = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal")


class Origins:
    """The allowed values of the header `Origin`. Raises `InvalidOrigin` for a pattern that cannot be one."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._exact: set[str] = set()
        self._wild: list[tuple[str, str]] = []
        self.everyone = False
        """Whether `*` is among the patterns."""
        for pattern in (*patterns, *BUILT_IN):
            self._add(pattern)

    def _add(self, pattern: str) -> None:
        match pattern.count("*"):
            case 0 if pattern.startswith(_SCHEMES) or pattern in BUILT_IN:
                self._exact.add(pattern.strip().lower())
            case 0:
                raise InvalidOrigin(pattern, "it must begin with one of " + ", ".join(_SCHEMES))
            case 1 if pattern == "*":
                self.everyone = True
            case 1:
                head, _, tail = pattern.partition("*")
                self._wild.append((head, tail))
            case _:
                raise InvalidOrigin(pattern, "only one * is allowed")

    def allow(self, origin: str) -> bool:
        """Whether a page of this origin may call."""
        if self.everyone or origin in self._exact:
            return True
        return any(
            len(origin) >= len(head) + len(tail) and origin.startswith(head) and origin.endswith(tail)
            for head, tail in self._wild
        )


class Caller(Enum):
    """Why a Host header is accepted, or that it is not."""

    ADDRESS = "address"
    NAME = "name"
    FOREIGN = "foreign"


def judge_host(header: str, hostname: str, interfaces: Callable[[], Iterable[str]]) -> Caller:
    """Whether a Host header names this machine or its network. `interfaces` lists the machine's own addresses."""
    host = _without_port(header)
    address = _address(host)
    if address is not None and (_is_near(address) or str(address) in set(interfaces())):
        return Caller.ADDRESS
    name = host.lower()
    if name in ("", "localhost", hostname.lower()) or name.endswith(_LOCAL_SUFFIXES):
        return Caller.NAME
    return Caller.FOREIGN


def interface_addresses() -> list[str]:
    """The addresses of this machine."""
    import psutil  # only a request under a public address gets here

    return [
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    ]


def _without_port(header: str) -> str:
    """The host of `host:port`; the whole text if it is not of that form."""
    if header.startswith("["):
        host, bracket, port = header[1:].partition("]:")
        return host if bracket and ":" not in port else header
    host, colon, port = header.rpartition(":")
    return host if colon and ":" not in host else header


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_near(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.is_loopback or address.is_unspecified:
        return True
    return any(address.version == network.version and address in network for network in _PRIVATE)
