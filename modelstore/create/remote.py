"""Models that run elsewhere: the address that a stub's config keeps."""

import posixpath
from typing import Final
from urllib.parse import SplitResult, urlsplit

from modelstore.errors import CreateError

CLOUD: Final = "https://ollama.com:443"
_LOCAL: Final = "localhost"
_PORT: Final = "11434"


def remote_url(text: str) -> str:
    """The address in full: scheme, host, port and a path without dots. Raises CreateError."""
    if text.startswith("/"):
        return f"http://{_LOCAL}:{_PORT}{_clean(text)}"
    if text in ("ollama.com", "http://ollama.com"):
        return CLOUD
    parts = _parsed(text if "://" in text else f"http://{text}")
    host = parts.hostname or _LOCAL
    if ":" in host:
        host = f"[{host}]"
    port = parts.port if parts.port is not None else _PORT
    return f"{parts.scheme}://{host}:{port}{_clean(parts.path)}"


def _parsed(url: str) -> SplitResult:
    if any(char.isspace() or not char.isprintable() for char in url):
        raise CreateError("bad remote")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise CreateError("bad remote") from None
    if parts.scheme not in ("http", "https"):
        raise CreateError("bad remote")
    return parts


def _clean(path: str) -> str:
    """Without dot segments and doubled slashes; nothing for the root."""
    clean = posixpath.normpath("/" + path.lstrip("/")) if path else ""
    return "" if clean == "/" else clean
