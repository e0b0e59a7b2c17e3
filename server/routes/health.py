"""Is it there, what is it: `/`, `/api/version`, `/api/status`."""

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server.paths import Endpoint
from server.responses import JsonResponse
from server.services import services_of
from server.version import REFERENCE_VERSION


async def root(request: Request) -> Response:
    """What clients look for before anything else."""
    return PlainTextResponse("Ollama is running")


async def version(request: Request) -> Response:
    """The release that is spoken here."""
    return JsonResponse({"version": REFERENCE_VERSION})


async def status(request: Request) -> Response:
    """There is no hosted service behind this server, so it is always disabled."""
    source = services_of(request).settings.cloud_source
    return JsonResponse({"cloud": {"disabled": True, "source": "env" if source == "none" else source}})


ENDPOINTS: Final = (
    Endpoint("/", root, ("GET", "HEAD")),
    Endpoint("/api/version", version, ("GET", "HEAD")),
    Endpoint("/api/status", status, ("GET",)),
)
