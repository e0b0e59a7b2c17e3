"""`/api/embed`, and `/api/embeddings` as it was before."""

import asyncio
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from modelstore.errors import BlobNotFound
from modelstore.model import StoredModel
from modelstore.names import Name
from modelstore.quoting import quote
from scheduler.errors import RunnerDied, RunnerFailed, WeightsMissing
from scheduler.frames import Embedded
from scheduler.lease import Lease
from scheduler.requests import LeaseRequest
from server import jsonout
from server.bodies import read
from server.errors import ApiError
from server.inference import models, options
from server.inference.answer import clock
from server.inference.reference import known, refer
from server.paths import Endpoint
from server.presence import unless_gone
from server.responses import EncodedResponse, JsonResponse
from server.schema import native
from server.services import Services, services_of


async def embed(request: Request) -> Response:
    """Vectors of one or several texts, normalised."""
    body = await read(request, native.EMBED)
    name = models.named(body.model)
    inputs = _inputs(body.input)
    return await unless_gone(request, _embed(services_of(request), body, name, inputs))


async def _embed(services: Services, body: native.EmbedRequest, name: Name, inputs: list[str]) -> Response:
    started = clock()
    async with await _lease(services, body, name) as lease:
        loaded = clock()
        if not inputs:
            return JsonResponse({"model": body.model, "embeddings": []})
        found = await _vectors(lease, inputs, body)
    figures = jsonout.omit_empty(
        total_duration=clock() - started, load_duration=loaded - started, prompt_eval_count=found.prompt_tokens
    )
    return EncodedResponse(jsonout.with_rows({"model": body.model}, "embeddings", found.vectors, figures))


async def _vectors(lease: Lease, inputs: list[str], body: native.EmbedRequest) -> Embedded:
    """A failure without a status of its own is the request's fault here."""
    try:
        return await lease.embed(inputs, truncate=body.truncate is not False, dimensions=body.dimensions)
    except RunnerFailed as error:
        raise ApiError(error.status, error.message.strip()) from error
    except RunnerDied as error:
        raise ApiError(400, str(error).strip()) from error


def _inputs(value: Any) -> list[str]:
    """The texts; none for nothing to embed. Raises `ApiError` for anything else."""
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        return value  # pyright: ignore[reportUnknownVariableType]
    raise ApiError(400, "invalid input type")


async def embeddings(request: Request) -> Response:
    """The vector of one text, as the model gives it."""
    body = await read(request, native.EMBEDDINGS)
    if not body.model.strip():
        raise ApiError(400, "model is required")
    name = models.named(body.model)
    return await unless_gone(request, _embeddings(services_of(request), body, name))


async def _embeddings(services: Services, body: native.EmbeddingsRequest, name: Name) -> Response:
    async with await _lease(services, body, name) as lease:
        if not body.prompt:
            return JsonResponse({"embedding": []})
        found = await _one_vector(lease, body.prompt)
    return JsonResponse({"embedding": orjson.Fragment(found.vectors[0])})


async def _one_vector(lease: Lease, text: str) -> Embedded:
    """Every failure of the engine is a 500 here."""
    try:
        return await lease.embed([text], truncate=False, normalize=False, encoding="json64")
    except RunnerFailed as error:
        raise ApiError(500, error.message.strip()) from error


async def _lease(services: Services, body: native.EmbedRequest | native.EmbeddingsRequest, name: Name) -> Lease:
    model = services.store.catalog.known(name) or await asyncio.to_thread(_find, services, body, name)
    if model.config.remote_host:
        raise ApiError(404, _missing(body.model))
    chosen = options.resolve(model.params, body.options)
    try:
        reference = known(model) or await asyncio.to_thread(refer, model)
        return await services.scheduler.lease(LeaseRequest(reference, chosen.load, body.keep_alive))
    except (BlobNotFound, WeightsMissing):
        raise ApiError(404, _missing(body.model)) from None


def _find(services: Services, body: native.EmbedRequest | native.EmbeddingsRequest, name: Name) -> StoredModel:
    """Here a missing model is reported in other words, and the older endpoint minds the case of the name."""
    if isinstance(body, native.EmbedRequest):
        name = services.store.catalog.resolve(name)
    return models.installed(services.store, name, _missing(body.model))


def _missing(name: str) -> str:
    return f"model {quote(name)} not found, try pulling it first"


ENDPOINTS: Final = (
    Endpoint("/api/embed", embed, ("POST",)),
    Endpoint("/api/embeddings", embeddings, ("POST",)),
)
