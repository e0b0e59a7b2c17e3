"""`/api/generate`"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.bodies import read
from server.dialects.native import GenerateEncoder, completion_request
from server.paths import Endpoint
from server.routes.text import check_top_logprobs, respond
from server.schema import native


async def generate(request: Request) -> Response:
    """Complete a prompt."""
    body = await read(request, native.GENERATE)
    check_top_logprobs(body.top_logprobs)
    return await respond(request, completion_request(body), GenerateEncoder(body.model), stream=body.stream)


ENDPOINTS: Final = (Endpoint("/api/generate", generate, ("POST",)),)
