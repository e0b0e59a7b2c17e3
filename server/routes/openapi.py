"""GET /openapi.json: the application, described. Only this server has it."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.paths import Endpoint
from server.responses import BARE_JSON, JsonResponse


async def openapi(request: Request) -> Response:
    """The document that belongs to the application which serves the request."""
    return JsonResponse(request.app.openapi(), media_type=BARE_JSON)


ENDPOINTS: Final = (Endpoint("/openapi.json", openapi, ("GET",)),)
