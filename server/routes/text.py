"""Sending an answer, whole or as a stream: what /api/generate and /api/chat share."""

import logging
from collections.abc import AsyncIterator
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from server import jsonout
from server.dialects.native import Said
from server.errors import ApiError, describe
from server.inference.answer import Answer, Outcome, Piece, clock
from server.inference.begin import Rendered, Shortcut, begin
from server.inference.request import ChatRequest, CompletionRequest
from server.presence import unless_gone
from server.responses import BARE_JSON, JSON, ErrorResponse, JsonResponse
from server.services import services_of
from server.stream import LiveResponse

logger = logging.getLogger(__name__)


class Encoder(Protocol):
    """Turns parts of an answer into objects of a dialect."""

    def piece(self, piece: Piece, /) -> dict[str, Any]: ...
    def final(self, outcome: Outcome, total: int, said: Said | None = None, /) -> dict[str, Any]: ...
    def shortcut(self, reason: str, /) -> dict[str, Any]: ...
    def rendered(self, prompt: str, images: int, /) -> dict[str, Any]: ...


def check_top_logprobs(top: int) -> None:
    """Raises `ApiError` for a number that nobody can be given."""
    if not 0 <= top <= 20:
        raise ApiError(400, "top_logprobs must be between 0 and 20")


async def respond(
    request: Request, wish: ChatRequest | CompletionRequest, encoder: Encoder, *, stream: bool
) -> Response:
    """The answer to a request for text."""
    started = clock()
    begun = await unless_gone(request, begin(services_of(request), wish, started))
    if isinstance(begun, Shortcut):
        return JsonResponse(encoder.shortcut(begun.reason))
    if isinstance(begun, Rendered):
        return JsonResponse(encoder.rendered(begun.prompt, begun.images))
    try:
        if not stream:
            said = Said.of(await unless_gone(request, _collect(begun)))
            return JsonResponse(encoder.final(_outcome(begun), clock() - started, said))
        first = await unless_gone(request, _first(begun))
        return LiveResponse(_lines(begun, first, encoder, started), begun.close)
    except Exception as error:  # nothing has been sent: the status can still tell
        begun.close()
        if answer := describe(error):
            return ErrorResponse(answer, BARE_JSON if stream and not begun.full_header else JSON)
        raise
    except BaseException:
        begun.close()
        raise


async def _first(answer: Answer) -> list[Piece]:
    """The first pieces; none when the answer is empty."""
    return await anext(answer, list[Piece]())


async def _collect(answer: Answer) -> list[Piece]:
    return [piece async for pieces in answer for piece in pieces]


async def _lines(answer: Answer, first: list[Piece], encoder: Encoder, started: int) -> AsyncIterator[bytes]:
    """NDJSON: a line for each piece, then the final object; or a line with the error that ended it."""
    try:
        if first:
            yield _encode(first, encoder)
        async for pieces in answer:
            yield _encode(pieces, encoder)
        if answer.outcome is not None:
            yield jsonout.dumps(encoder.final(answer.outcome, clock() - started)) + b"\n"
    except Exception as error:
        known = describe(error)
        if known is None:
            logger.exception("generation failed")
        yield jsonout.dumps({"error": known.message if known else "internal server error"}) + b"\n"


def _encode(pieces: list[Piece], encoder: Encoder) -> bytes:
    return jsonout.lines([encoder.piece(piece) for piece in pieces])


def _outcome(answer: Answer) -> Outcome:
    if answer.outcome is None:  # closed from outside: the model was unloaded, or the daemon is stopping
        raise ApiError(500, "the answer was cut off")
    return answer.outcome
