"""Answers with the headers of the reference."""

from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive

from server import jsonout
from server.errors import ApiError

JSON: Final = "application/json; charset=utf-8"
BARE_JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_STATED_LENGTH: Final = 2048
"""The longest body whose length is sent ahead; a longer one goes out in chunks."""


class EncodedResponse(Response):
    """One JSON text."""

    def __init__(self, body: bytes, status: int = 200, media_type: str = JSON) -> None:
        super().__init__(body, status, media_type=media_type)
        if len(body) > _STATED_LENGTH:
            self.raw_headers = [header for header in self.raw_headers if header[0] != b"content-length"]


class JsonResponse(EncodedResponse):
    """One JSON value."""

    def __init__(self, value: Any, status: int = 200, media_type: str = JSON) -> None:
        super().__init__(jsonout.dumps(value), status, media_type)


class ErrorResponse(JsonResponse):
    """`{"error": …}`"""

    def __init__(self, error: ApiError, media_type: str = JSON) -> None:
        super().__init__({"error": error.message}, error.status, media_type)


class PlainResponse(Response):
    """Text without a charset, as of requests that lead nowhere."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, status, {"content-type": "text/plain"})


class RedirectResponse(Response):
    """To the right spelling of a path. A page is only sent to a GET; a HEAD gets its type, anything else neither."""

    def __init__(self, method: str, target: str, *, permanent: bool) -> None:
        status, phrase = (301, "Moved Permanently") if permanent else (307, "Temporary Redirect")
        headers = {"location": target}
        if method in ("GET", "HEAD"):
            headers["content-type"] = "text/html; charset=utf-8"
        escaped = target.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
        body = f'<a href="{escaped}">{phrase}</a>.\n\n' if method == "GET" else ""
        super().__init__(body, status, headers)
        if method == "HEAD":
            self.raw_headers = [header for header in self.raw_headers if header[0] != b"content-length"]


async def hang_up(receive: Receive) -> None:
    """Return when the client has gone. To be awaited once the body has been read: what is left of it is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
