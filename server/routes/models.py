"""The models that are there: list, show, copy, delete."""

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore.errors import BlobNotFound, InvalidName, MissingName, ModelNotFound
from modelstore.model import StoredModel
from modelstore.names import Name, stored_text
from modelstore.quoting import quote
from modelstore.store import Store
from server import jsonout, naming, show
from server.bodies import read
from server.details import details
from server.errors import ApiError
from server.paths import Endpoint
from server.responses import JsonResponse
from server.schema.native import COPY, DELETE, SHOW, ShowRequest
from server.services import services_of


async def tags(request: Request) -> Response:
    """GET /api/tags"""
    store = services_of(request).store
    return JsonResponse({"models": await asyncio.to_thread(_listing, store)})


def _listing(store: Store) -> list[dict[str, Any]]:
    return [_listed(model) for model in store.catalog.list()]


def _listed(model: StoredModel) -> dict[str, Any]:
    name = model.name.short
    return {
        "name": name,
        "model": name,
        **jsonout.omit_empty(remote_model=model.config.remote_model, remote_host=model.config.remote_host),
        "modified_at": jsonout.local_time(model.modified_at),
        "size": model.size,
        "digest": model.digest,
        "details": details(model, lengths=True),
        **jsonout.omit_empty(capabilities=model.listed_capabilities),
    }


async def show_model(request: Request) -> Response:
    """POST /api/show"""
    asked = await read(request, SHOW)
    asked.model = asked.model or asked.name
    name = naming.local_name(asked.model, naming.REMOTE_DETAILS)
    answer = await asyncio.to_thread(_shown, services_of(request).store, name, asked)
    if request.headers.get("user-agent", "").startswith("GitHubCopilotChat/"):
        info = answer["model_info"] | {"general.basename": asked.model}
        answer["model_info"] = dict(sorted(info.items(), key=lambda member: member[0].encode()))
    return JsonResponse(answer)


def _shown(store: Store, name: Name, asked: ShowRequest) -> dict[str, Any]:
    model = naming.find_shown(store, name)
    if model.config.remote_host:
        raise naming.CloudDisabled(naming.REMOTE_DETAILS)
    try:
        return show.describe(model, asked)
    except BlobNotFound:
        raise ApiError(404, f"model '{name.short}' not found") from None


async def copy(request: Request) -> Response:
    """POST /api/copy"""
    asked = await read(request, COPY)
    source = _parsed("source", asked.source)
    destination = _parsed("destination", asked.destination)
    store = services_of(request).store

    def work() -> None:
        try:
            store.copy(store.catalog.resolve(source), store.catalog.resolve(destination))
        except ModelNotFound:
            raise ApiError(404, f"model {quote(asked.source)} not found") from None

    await asyncio.to_thread(work)
    return Response()


def _parsed(field: str, text: str) -> Name:
    try:
        return Name.parse(text)
    except InvalidName:
        raise ApiError(400, f"{field} {quote(text)} is invalid") from None


async def delete(request: Request) -> Response:
    """DELETE /api/delete"""
    asked = await read(request, DELETE)
    raw = asked.model or asked.name
    try:
        name = Name.parse(stored_text(raw))
    except MissingName:
        raise
    except InvalidName:
        raise ApiError(400, f"name {quote(raw)} is invalid") from None
    catalog = services_of(request).store.catalog

    def work() -> None:
        try:
            catalog.delete(catalog.resolve(name))
        except ModelNotFound:
            raise ApiError(404, f"model '{raw}' not found") from None

    await asyncio.to_thread(work)
    return Response()


ENDPOINTS: Final = (
    Endpoint("/api/tags", tags, ("GET", "HEAD")),
    Endpoint("/api/show", show_model, ("POST",)),
    Endpoint("/api/copy", copy, ("POST",)),
    Endpoint("/api/delete", delete, ("DELETE",)),
)
