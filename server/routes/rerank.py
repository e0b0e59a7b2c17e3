"""`/api/rerank`, at the paths of Cohere's clients, too: documents in the order in which they answer a query."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore.model import StoredModel
from scheduler.frames import Ranked
from server.bodies import read
from server.dialects.rerank import answer, documents
from server.errors import ApiError
from server.inference import models, tenancy
from server.paths import Endpoint
from server.presence import unless_gone
from server.responses import JsonResponse
from server.schema.rerank import RERANK, RerankRequest
from server.services import Services, services_of

_POOLING_RANK: Final = 4
"""`<architecture>.pooling_type` of weights that end in a score."""


async def rerank(request: Request) -> Response:
    """How well each document answers the query."""
    body = await read(request, RERANK)
    models.named(body.model)
    texts = documents(body)
    return await unless_gone(request, _rerank(services_of(request), body, texts))


async def _rerank(services: Services, body: RerankRequest, texts: list[str]) -> Response:
    model = await tenancy.stored(services, body.model)
    if not _may_rank(model):
        raise _unable(body)
    async with await tenancy.lease(services, model, body) as lease:
        if not lease.info.ranks:
            raise _unable(body)
        ranked = await lease.rank(body.query, texts) if texts else Ranked(0, [], 0)
    return JsonResponse(answer(body, texts, ranked))


def _may_rank(model: StoredModel) -> bool:
    """Whether the weights call themselves a ranker; nothing else is loaded to find out. Whether they have the head for
    it, the runner knows."""
    header = model.header
    return header is None or header.kv.get(f"{header.architecture}.pooling_type") == _POOLING_RANK


def _unable(body: RerankRequest) -> ApiError:
    return ApiError(400, f'"{body.model}" does not support rerank')


ENDPOINTS: Final = tuple(Endpoint(path, rerank, ("POST",)) for path in ("/api/rerank", "/v1/rerank", "/v2/rerank"))
