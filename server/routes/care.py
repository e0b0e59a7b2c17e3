"""Care of the store: check every blob, remove what no model needs. Only this server has these endpoints.

GET /api/verify streams what `modelstore.verify` finds: a line a blob (`ok`, `unused`, `missing`, `corrupt`,
`unreadable`) and a manifest that cannot be read (`invalid`), `verifying` lines while a large blob is read, and in the
end `success` or `damaged` with the sums. `?model=` checks one model.

POST /api/prune answers `{"removed": [{"digest" | "file", "size"}], "freed": bytes, "dry_run": bool}`.
"""

import asyncio
import time
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore import prune, verify
from modelstore.names import Name
from modelstore.progress import Report
from modelstore.store import Store
from server.bodies import receive
from server.gojson.decode import decode
from server.paths import Endpoint
from server.responses import JsonResponse
from server.schema.native import PRUNE, PruneRequest
from server.services import services_of


async def verify_blobs(request: Request) -> Response:
    """GET /api/verify"""
    services = services_of(request)
    raw = request.query_params.get("model", "").strip()
    name = Name.parse(raw) if raw else None

    def work(report: Report) -> None:
        verify.verify(services.store, report, services.store.catalog.resolve(name) if name else None)

    return await services.jobs.respond(request, work, stream=True)


async def prune_store(request: Request) -> Response:
    """POST /api/prune"""
    body = await receive(request)
    asked = decode(body, PRUNE) if body else PruneRequest()
    return JsonResponse(await asyncio.to_thread(_pruned, services_of(request).store, asked.dry_run))


def _pruned(store: Store, dry_run: bool) -> dict[str, Any]:
    removed = prune.prune(store, time.time(), dry_run=dry_run)
    return {
        "removed": [_removed(each) for each in removed],
        "freed": sum(each.size for each in removed),
        "dry_run": dry_run,
    }


def _removed(each: prune.Removed) -> dict[str, Any]:
    what = {"digest": str(each.digest)} if each.digest else {"file": each.place}
    return {**what, "size": each.size}


ENDPOINTS: Final = (
    Endpoint("/api/verify", verify_blobs, ("GET",)),
    Endpoint("/api/prune", prune_store, ("POST",)),
)
