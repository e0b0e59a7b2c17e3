"""POST /api/pull and POST /api/push: models from and to other places, as streams of events."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore.errors import InvalidName, MissingName
from modelstore.names import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, Name, stored_text
from modelstore.progress import Progress, Report
from server.bodies import read
from server.errors import ApiError
from server.paths import Endpoint
from server.schema.native import PULL, PUSH
from server.services import Services, services_of


async def pull(request: Request) -> Response:
    """Bring a model."""
    asked = await read(request, PULL)
    try:
        name = Name.parse(stored_text(asked.model or asked.name))
    except MissingName as error:
        raise InvalidName(error.name) from None
    services = services_of(request)

    def work(report: Report) -> None:
        target = services.store.catalog.resolve(name)
        services.transfers.pull(services.store, target, report, insecure=asked.insecure)

    return await services.jobs.respond(request, work, stream=asked.stream)


async def push(request: Request) -> Response:
    """Send a model."""
    asked = await read(request, PUSH)
    raw = asked.model or asked.name
    if not raw:
        raise MissingName
    services = services_of(request)

    def work(report: Report) -> None:
        report(Progress("retrieving manifest"))
        try:
            name = _installed(services, raw)
        except (ApiError, OSError):
            report(Progress("couldn't retrieve manifest"))
            raise
        services.transfers.push(services.store, name, report, insecure=asked.insecure)

    return await services.jobs.respond(request, work, stream=asked.stream)


def _installed(services: Services, raw: str) -> Name:
    """The name if a manifest of it is there. Raises `ApiError`, `OSError`."""
    try:
        name = Name.parse(raw)
    except InvalidName:
        raise ApiError(500, f"unqualified name: {_full_text(raw)}") from None
    name = services.store.catalog.resolve(name)
    path = services.store.layout.manifest(name)
    try:
        path.open("rb").close()
    except OSError as error:  # these words with the path are the reference's
        raise ApiError(500, f"open {path}: {str(error.strerror).lower()}") from None
    return name


def _full_text(raw: str) -> str:
    """Text that is no name, with the defaults of its missing parts."""
    tag = DEFAULT_TAG
    if raw.rfind(":") > raw.rfind("/"):
        raw, _, tag = raw.rpartition(":")
    *front, model = raw.split("/")
    namespace = front.pop() if front else DEFAULT_NAMESPACE
    host = "/".join(front) or DEFAULT_HOST
    return f"{host}/{namespace}/{model}:{tag}"


ENDPOINTS: Final = (
    Endpoint("/api/pull", pull, ("POST",)),
    Endpoint("/api/push", push, ("POST",)),
)
