"""`/api/chat`"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.bodies import read
from server.dialects.native import ChatEncoder, chat_request
from server.errors import ApiError
from server.paths import Endpoint
from server.routes.text import check_top_logprobs, respond
from server.schema import native


async def chat(request: Request) -> Response:
    """Continue a conversation."""
    body = await read(request, native.CHAT)
    check_top_logprobs(body.top_logprobs)
    if not body.model.strip():
        raise ApiError(400, "model is required")
    return await respond(request, chat_request(body), ChatEncoder(body.model), stream=body.stream)


ENDPOINTS: Final = (Endpoint("/api/chat", chat, ("POST",)),)
