"""What surrounds every handler, from the outside in:

    AccessLog → Drain → Redirects → Cors → HostCheck → Dispatch → Errors → the application

Plain ASGI, so that streams flow and disconnects arrive without a detour.
"""

import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelstore.quoting import quote
from server.errors import ApiError, describe
from server.gojson.duration import format_nanoseconds
from server.origins import Caller, Origins, interface_addresses, judge_host
from server.paths import NOWHERE, Resolution, RouteTable, clean_path, location
from server.responses import ErrorResponse, PlainResponse, RedirectResponse

_log = structlog.get_logger(__name__)

CLIENT_GONE: Final = 499
_RESOLUTION: Final = "llamad.resolution"
_EXPOSED_METHODS: Final = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_EXPOSED_HEADERS: Final = (
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,"
    "X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
    "X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    "X-Stainless-Runtime-Version,X-Stainless-Timeout"
)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """The header `Date`; its text changes once a second."""
    return formatdate(second, usegmt=True).encode()


def write_access_line(line: str) -> None:
    """One line on standard output, at once. Requests are served whether or not somebody reads it."""
    with suppress(OSError, ValueError):
        sys.stdout.write(line)
        sys.stdout.flush()


class AccessLog:
    """One line a request, when it is over. Says nothing of bodies."""

    def __init__(self, app: ASGIApp, write: Callable[[str], None] = write_access_line) -> None:
        self.app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter_ns()
        status = CLIENT_GONE

        async def dated_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"date", _date(int(time.time())))]
            await send(message)

        try:
            await self.app(scope, receive, dated_send)
        finally:
            self._write(_access_line(scope, status, time.perf_counter_ns() - start))


def _access_line(scope: Scope, status: int, nanoseconds: int) -> str:
    moment = time.strftime("%Y/%m/%d - %H:%M:%S")
    client = scope["client"][0] if scope.get("client") else ""
    query = scope["query_string"].decode("latin-1")
    target = quote(scope["path"] + (f"?{query}" if query else ""))
    latency = format_nanoseconds(nanoseconds)
    return f"[GIN] {moment} | {status:3d} | {latency:>13} | {client:>15} | {scope['method']:<7}  {target}\n"


class Activity:
    """How many requests are being served, and whether new ones still may come."""

    def __init__(self) -> None:
        self.draining = False
        self.active = 0
        self._when_idle: Callable[[], None] | None = None

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, once, when no request is left; at once if that is so already."""
        self._when_idle = callback
        self._notify()

    def enter(self) -> None:
        """A request begins."""
        self.active += 1

    def leave(self) -> None:
        """A request is over."""
        self.active -= 1
        self._notify()

    def _notify(self) -> None:
        if not self.active and self._when_idle is not None:
            callback, self._when_idle = self._when_idle, None
            callback()


class Drain:
    """Counts requests, and refuses new ones once the daemon is on its way out."""

    def __init__(self, app: ASGIApp, activity: Activity) -> None:
        self.app = app
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._activity.draining:
            response = ErrorResponse(ApiError(503, "server is shutting down"))
            response.headers["connection"] = "close"
            await response(scope, receive, send)
            return
        self._activity.enter()
        try:
            await self.app(scope, receive, send)
        finally:
            self._activity.leave()


class Errors:
    """The one place where an exception becomes an answer: a known one its own, any other 500 without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = describe(error)
            if answer is None or started:
                _log.exception("request failed", path=scope["path"])
            if started:
                raise
            response = Response(status_code=500) if answer is None else ErrorResponse(answer)
            await response(scope, receive, send)


class Redirects:
    """Finds out where the path leads, and sends misspelt ones to the right place before anything else looks at them."""

    def __init__(self, app: ASGIApp, table: RouteTable) -> None:
        self.app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        cleaned = clean_path(path)
        if cleaned != path and path != "*":  # that one is about the server as a whole
            target = location(cleaned, scope["query_string"])
            await RedirectResponse(method, target, permanent=False)(scope, receive, send)
            return
        resolution = self._table.resolve(method, path)
        if resolution.redirect:
            target = location(resolution.redirect, scope["query_string"])
            await RedirectResponse(method, target, permanent=method == "GET")(scope, receive, send)
            return
        scope[_RESOLUTION] = resolution
        await self.app(scope, receive, _with_headers(send, ("allow", resolution.allow)) if resolution.allow else send)


class Cors:
    """Lets in pages of allowed origins, and tells their browsers so."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self.app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin, host = headers.get("origin", ""), headers.get("host", "")
        if not origin or origin in (f"http://{host}", f"https://{host}"):
            await self.app(scope, receive, send)
        elif not self._origins.allow(origin):
            await _empty(403)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _empty(204)(scope, receive, _with_headers(send, *self._preflight(origin)))
        else:
            await self.app(scope, receive, _with_headers(send, *self._normal(origin)))

    def _normal(self, origin: str) -> tuple[tuple[str, str], ...]:
        if self._origins.everyone:
            return (("access-control-allow-origin", "*"),)
        return (("access-control-allow-origin", origin), ("vary", "Origin"))

    def _preflight(self, origin: str) -> tuple[tuple[str, str], ...]:
        asked = ("Access-Control-Request-Method", "Access-Control-Request-Headers")
        return (
            *self._normal(origin),
            ("access-control-allow-methods", _EXPOSED_METHODS),
            ("access-control-allow-headers", _EXPOSED_HEADERS),
            ("access-control-max-age", "43200"),
            *(() if self._origins.everyone else tuple(("vary", name) for name in asked)),
        )


class HostCheck:
    """Refuses names that are not this machine's: a page may have had a name of its own point here."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._hostname = socket.gethostname()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = judge_host(Headers(scope=scope).get("host", ""), self._hostname, interface_addresses)
        if caller is Caller.FOREIGN:
            await _empty(403)(scope, receive, send)
        elif caller is Caller.NAME and scope["method"] == "OPTIONS":
            await _empty(204)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Dispatch:
    """Lets found requests through to the application, and answers the others."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        resolution: Resolution = scope.get(_RESOLUTION, NOWHERE)
        if resolution.found:
            await self.app(scope, receive, send)
        elif resolution.allow:
            await PlainResponse("405 method not allowed", 405)(scope, receive, send)
        else:
            await PlainResponse("404 page not found", 404)(scope, receive, send)


def _empty(status: int) -> Response:
    return Response(status_code=status)


def _with_headers(send: Send, *headers: tuple[str, str]) -> Send:
    extra = [(name.encode(), value.encode("latin-1")) for name, value in headers]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *extra]
        await send(message)

    return sending
