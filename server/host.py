"""`OLLAMA_HOST`: the one parser for the address that the daemon binds and that clients call.

    [scheme "://"] [host] [":" port] ["/" path]        blanks and quotes around it do not count

The scheme decides the default port (http 80, https 443, none 11434). A port that is no number up to 65535 is replaced
by that default and remembered, so that the caller can warn.
"""

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 11434
HOSTED: Final = "ollama.com"

_SCHEME_PORTS: Final = {"http": 80, "https": 443}
_UNSPECIFIED: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Host:
    """Where the daemon listens, or is reached."""

    scheme: str = "http"
    host: str = DEFAULT_HOST
    """A name or an address without brackets; empty means every interface of this machine."""
    port: int = DEFAULT_PORT
    path: str = ""
    """Prefix of every path (behind a reverse proxy), with a leading and without a trailing slash."""
    bad_port: str = field(default="", compare=False)
    """The port as written when it was unusable and replaced by the default."""

    @property
    def netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def for_client(self) -> "Host":
        """The same daemon as a client on this machine reaches it: an address for "all interfaces" is no destination."""
        return replace(self, host=_UNSPECIFIED.get(self.host, self.host))


def parse_host(text: str) -> Host:
    """Read a value of `OLLAMA_HOST`. Never fails: what cannot be understood is taken as a host name."""
    text = text.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
        if rest == HOSTED:
            scheme, rest = "https", f"{HOSTED}:443"
    default = _SCHEME_PORTS.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    address, _, path = rest.partition("/")
    host, port_text = _split(address)
    port = _port(port_text)
    return Host(
        scheme=scheme,
        host=host,
        port=default if port is None else port,
        path=f"/{path}".rstrip("/"),
        bad_port=port_text if port is None and port_text is not None else "",
    )


def _split(address: str) -> tuple[str, str | None]:
    """Host and port text; no port text where there is no port."""
    bare = address.strip("[]")
    if not address:
        return DEFAULT_HOST, None
    if _is_ip(bare):
        return bare, None
    head, colon, port = address.rpartition(":")
    if not colon:
        return address, None
    return head.removeprefix("[").removesuffix("]"), port


def _port(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or int(text) > 65535:
        return None
    return int(text)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
