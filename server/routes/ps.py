"""GET /api/ps: the models in memory."""

import math
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from scheduler.requests import LoadedModel
from server import jsonout
from server.paths import Endpoint
from server.responses import JsonResponse
from server.services import services_of


async def ps(request: Request) -> Response:
    """Those that stay longest come first."""
    loaded = services_of(request).scheduler.loaded()
    return JsonResponse({"models": [_row(row) for row in sorted(loaded, key=_seconds_left, reverse=True)]})


def _seconds_left(row: LoadedModel) -> float:
    return math.inf if row.expires_at is None else math.floor(row.expires_at)


def _row(row: LoadedModel) -> dict[str, Any]:
    return {
        "name": row.model.name,
        "model": row.model.name,
        "size": row.size,
        "digest": row.model.digest,
        "details": dict(row.model.details),
        "expires_at": jsonout.expiry(row.expires_at),
        "size_vram": row.size_vram,
        "context_length": row.context_length,
    }


ENDPOINTS: Final = (Endpoint("/api/ps", ps, ("GET",)),)
