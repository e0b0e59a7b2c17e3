"""The account at the hosted service, and what runs there; answered as by a server that has neither."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.bodies import receive
from server.errors import ApiError, CloudDisabled
from server.gojson.walk import DecodeError
from server.paths import Endpoint
from server.responses import JsonResponse


async def me(request: Request) -> Response:
    """POST /api/me"""
    raise ApiError(503, "account unavailable")


async def sign_out(request: Request) -> Response:
    """POST /api/signout"""
    raise ApiError(401, "you are not currently signed in")


async def web_search(request: Request) -> Response:
    """POST /api/experimental/web_search"""
    await _require_body(request)
    raise CloudDisabled("web search is unavailable")


async def web_fetch(request: Request) -> Response:
    """POST /api/experimental/web_fetch"""
    await _require_body(request)
    raise CloudDisabled("web fetch is unavailable")


async def recommendations(request: Request) -> Response:
    """GET /api/experimental/model-recommendations"""
    return JsonResponse({"recommendations": []})


async def _require_body(request: Request) -> None:
    if not await receive(request):
        raise DecodeError("missing request body")


ENDPOINTS: Final = (
    Endpoint("/api/me", me, ("POST",)),
    Endpoint("/api/signout", sign_out, ("POST",)),
    Endpoint("/api/user/keys/{key}", sign_out, ("DELETE",)),
    Endpoint("/api/experimental/web_search", web_search, ("POST",)),
    Endpoint("/api/experimental/web_fetch", web_fetch, ("POST",)),
    Endpoint("/api/experimental/model-recommendations", recommendations, ("GET",)),
)
