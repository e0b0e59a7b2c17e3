"""The application: every endpoint, inside of the middleware that gives it the reference's manners."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware import Middleware

from server.middleware import AccessLog, Cors, Dispatch, Drain, Errors, HostCheck, Redirects
from server.openapi.document import document
from server.origins import Origins
from server.paths import Endpoint, RouteTable
from server.requestdump import RequestDump
from server.routes import ENDPOINTS
from server.services import Services
from server.version import PROGRAM, PROGRAM_VERSION

_DUMPED: Final = (
    "/api/generate",
    "/api/chat",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)


def create_app(services: Services, *, check_hosts: bool = True, endpoints: Sequence[Endpoint] = ENDPOINTS) -> FastAPI:
    """The application of a running daemon. `check_hosts` where only this machine is to call. Raises `InvalidOrigin`.

    Endpoints are plain routes: bodies, parameters and errors have Go's rules here, not FastAPI's.
    """
    layers = [
        Middleware(AccessLog),
        Middleware(Drain, activity=services.activity),
        Middleware(Redirects, table=RouteTable(endpoints)),
        Middleware(Cors, origins=Origins(services.settings.origins)),
        *([Middleware(HostCheck)] if check_hosts else []),
        Middleware(Dispatch),
        *([Middleware(RequestDump, paths=_DUMPED)] if services.settings.log_requests else []),
        Middleware(Errors),
    ]
    app = FastAPI(
        title=PROGRAM,
        version=PROGRAM_VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asking whether they are on costs every request
        middleware=layers,
    )
    app.state.services = services
    for endpoint in endpoints:
        app.add_route(endpoint.path, endpoint.handler, methods=list(endpoint.methods), include_in_schema=False)

    def openapi() -> dict[str, Any]:
        app.openapi_schema = app.openapi_schema or document(endpoints)
        return app.openapi_schema

    app.openapi = openapi
    return app
