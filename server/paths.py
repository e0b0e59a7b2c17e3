"""Which path and method lead where: found, elsewhere, another method, nowhere."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

ALLOW_ORDER: Final = ("HEAD", "GET", "POST", "DELETE")
_UNESCAPED: Final = "$&+,/:;=@-_.~"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route. A part of the path in braces stands for any text without a slash."""

    path: str
    handler: Handler
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a path and a method; at most one of the two says something."""

    found: bool
    allow: str = ""
    """Methods of a path that does not take the one asked for."""
    redirect: str = ""
    """The registered form of a path that differs by its last slash."""


FOUND: Final = Resolution(found=True)
NOWHERE: Final = Resolution(found=False)


class RouteTable:
    """All paths of the server."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._fixed: dict[str, set[str]] = {}
        self._prefixed: dict[str, set[str]] = {}
        """Paths that end in a parameter, without it."""
        for endpoint in endpoints:
            head, brace, _ = endpoint.path.partition("{")
            table = self._prefixed if brace else self._fixed
            table.setdefault(head, set()).update(endpoint.methods)

    def resolve(self, method: str, path: str) -> Resolution:
        """Where a cleaned path leads."""
        methods = self._methods(path)
        if method in methods:
            return FOUND
        twin = path[:-1] if path.endswith("/") else path + "/"
        if method in self._methods(twin):
            return Resolution(found=False, redirect=twin)
        if not methods:
            return NOWHERE
        return Resolution(found=False, allow=", ".join(name for name in ALLOW_ORDER if name in methods))

    def _methods(self, path: str) -> set[str]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        head, slash, parameter = path.rpartition("/")
        return self._prefixed.get(head + slash, set()) if parameter else set()


def clean_path(path: str) -> str:
    """Without empty, `.` and `..` elements; a slash at the end stays."""
    if "//" not in path and "/." not in path and path.startswith("/"):
        return path
    kept: list[str] = []
    for element in path.split("/"):
        if element == "..":
            del kept[-1:]
        elif element not in ("", "."):
            kept.append(element)
    end = "/" if kept and path.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(kept) + end


def location(path: str, query: bytes) -> str:
    """A path as a Location header has it."""
    escaped = quote(path, safe=_UNESCAPED)
    return f"{escaped}?{query.decode('latin-1')}" if query else escaped
