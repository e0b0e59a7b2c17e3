"""The use of a model for something else than text: find it, load it."""

import asyncio
from typing import Any, Protocol

from modelstore.model import StoredModel
from scheduler.errors import WeightsMissing
from scheduler.lease import Lease
from scheduler.requests import LeaseRequest
from server.errors import ApiError
from server.inference import models, options
from server.inference.reference import known, refer
from server.services import Services


class Wish(Protocol):
    """What requests for a loaded model have in common."""

    @property
    def keep_alive(self) -> float | None: ...
    @property
    def options(self) -> dict[str, Any]: ...


async def stored(services: Services, raw: str) -> StoredModel:
    """The installed model of this name, in whatever case it is written. Raises `ApiError`."""
    model = models.recall(services.store, raw) or await asyncio.to_thread(models.find, services.store, raw)
    models.check_here(model)
    return model


async def lease(services: Services, model: StoredModel, wish: Wish, *, as_loaded: bool = False) -> Lease:
    """The model, loaded; `as_loaded`: in whatever way it already is.

    Raises what `server.errors.describe` knows.
    """
    chosen = options.resolve(model.params, wish.options)
    reference = known(model) or await asyncio.to_thread(refer, model)
    asked = LeaseRequest(reference, chosen.load, wish.keep_alive, as_loaded=as_loaded)
    try:
        return await services.scheduler.lease(asked)
    except WeightsMissing:
        raise ApiError(404, f"model '{model.name.short}' not found") from None
