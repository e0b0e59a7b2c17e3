"""The document at /openapi.json: valid, complete, and true of what the reference was seen to answer."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, cast

import httpx
import jsonschema
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from server import schema
from server.app import create_app
from server.gojson.types import Object
from server.openapi import members
from server.openapi.document import document
from server.openapi.responses import OPERATIONS, answers
from server.routes import ENDPOINTS
from server.services import Services

pytestmark = pytest.mark.anyio

RECORDED = Path(__file__).parents[2] / "replay" / "areas"
DOCUMENT = document(ENDPOINTS)
COMPONENTS: dict[str, Any] = DOCUMENT["components"]["schemas"]
BODIES = {key: each.body for key, each in OPERATIONS.items() if each.body is not None}
PLACEHOLDERS = {
    '"<duration>"': "1",
    '"<size>"': "1",
    '"<timestamp>"': '"2026-01-02T03:04:05.6Z"',
    '"<timestamp:forever>"': '"2318-01-02T03:04:05+01:00"',
}
"""Values that differ from one recording to the next, and what stands for them."""
REDIRECTED = (301, 307)


def validator(media: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(
        {**media["schema"], "components": DOCUMENT["components"]}, format_checker=jsonschema.FormatChecker()
    )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in cast("dict[str, Any]", value).items():
            if key == "$ref":
                yield member
            yield from references(member)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from references(item)


def test_every_schema_is_one() -> None:
    for name, component in COMPONENTS.items():
        Draft202012Validator.check_schema(component)
        assert component, name


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    assert {f"#/components/schemas/{name}" for name in COMPONENTS} == set(references(DOCUMENT))


async def test_every_route_is_in_it_and_nothing_else(services: Services, http: httpx.AsyncClient) -> None:
    app = create_app(services)
    routes = {
        (method, route.path) for route in app.routes if isinstance(route, Route) for method in route.methods or ()
    }
    refused = {(method, path) for method, path in routes if (await http.request(method, path)).status_code == 405}
    answer = await http.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json()
    assert {(method.upper(), path) for path, methods in told["paths"].items() for method in methods} == routes - refused
    assert {method for method, _ in refused} == {"HEAD"}
    assert set(OPERATIONS) == routes - refused
    assert told == app.openapi() == DOCUMENT


async def test_it_is_an_addition_only(http: httpx.AsyncClient) -> None:
    """Its path takes nothing else, and no page shows it."""
    wrong = await http.post("/openapi.json")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect", "/openapi.yaml"):
        assert (await http.get(path)).status_code == 404


def structs() -> Iterator[Object[Any]]:
    for module in iter_modules(schema.__path__):
        for value in vars(import_module(f"{schema.__name__}.{module.name}")).values():
            if isinstance(value, Object):
                yield cast("Object[Any]", value)


@pytest.mark.parametrize("struct", [one for one in structs() if one.struct.endswith("Request")], ids=lambda one: one.go)
def test_every_member_of_a_request_is_in_it(struct: Object[Any]) -> None:
    """The decoder builds a dataclass; each field of that is a property under its name in JSON."""
    names = set(struct.schema()["properties"])
    assert set(COMPONENTS[struct.struct]["properties"]) == names
    assert len(names) == len(fields(struct.zero()))


@pytest.mark.parametrize("key", [key for key, body in BODIES.items() if not isinstance(body, dict)], ids=" ".join)
async def test_a_body_is_decoded_as_what_is_documented(http: httpx.AsyncClient, key: tuple[str, str]) -> None:
    """The error names the type that the handler decodes into."""
    answer = await http.request(*key, content=b"5")
    content: Any = DOCUMENT["paths"][key[1]][key[0].lower()]["requestBody"]["content"]
    component = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert answer.json()["error"] == f"json: cannot unmarshal number into Go value of type api.{component}"


@pytest.mark.parametrize("path", DOCUMENT["paths"])
async def test_other_methods_are_refused(http: httpx.AsyncClient, path: str) -> None:
    allowed = {method.upper() for method in DOCUMENT["paths"][path]}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed:
        answer = await http.request(method, re.sub(r"{\w+}", "x", path))
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, allowed)


@pytest.mark.parametrize("key", OPERATIONS, ids=" ".join)
async def test_what_any_request_can_meet(http: httpx.AsyncClient, services: Services, key: tuple[str, str]) -> None:
    """A foreign page, and a server that is going."""
    foreign = await http.request(*key, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.content) == (403, b"")
    services.activity.draining = True
    late = await http.request(*key)
    assert late.status_code == 503
    assert {403, 503} <= set(answers(OPERATIONS[key]))


def test_what_is_said_about_members_is_about_members_there_are() -> None:
    known = {f"{name}.{member}" for name, component in COMPONENTS.items() for member in component.get("properties", {})}
    assert known | {name.partition(".")[2] for name in known} >= members.STATED


def recorded() -> Iterator[Any]:
    for area in sorted(RECORDED.glob("*.json.gz")):
        text = gzip.decompress(area.read_bytes()).decode()
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        told: Any = json.loads(text)
        vectors: list[dict[str, Any]] = [] if isinstance(told, list) else told["vectors"]
        yield from (vector for vector in vectors if "response" in vector)


def operation_of(request: dict[str, Any]) -> dict[str, Any] | None:
    """What the document says of the endpoint that the request is for."""
    path = request["path"].partition("?")[0]
    for template, methods in cast("dict[str, Any]", DOCUMENT["paths"]).items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path):
            return methods.get(request["method"].lower())
    return None


def bodies_of(response: dict[str, Any]) -> list[Any]:
    """One for each line of a stream."""
    if "events" in response:
        return response["events"]
    return [response[key] for key in ("json", "text") if key in response]


def test_every_recorded_answer_is_as_documented() -> None:
    """Status, type and body of some thousand answers of the reference to requests that have an endpoint."""
    checked, wrong = 0, list[Any]()
    for vector in recorded():
        operation = operation_of(vector["request"])
        status = vector["response"]["status"]
        if operation is None:
            assert status in (204, 403, 404, 405, *REDIRECTED), vector["name"]
            continue
        checked += 1
        wrong += [(vector["name"], fault) for fault in faults(operation, status, vector["response"])]
    assert not wrong
    assert checked > 1000


def faults(operation: dict[str, Any], status: int, response: dict[str, Any]) -> list[str]:
    """What the document does not say of a recorded answer."""
    answer = operation["responses"].get(str(status))
    if answer is None:
        return [f"status {status}"]
    bodies = bodies_of(response)
    if not bodies:
        return []
    kind = response["headers"]["content-type"].partition(";")[0]
    if kind not in answer.get("content", {}):
        return [kind]
    judge: Any = validator(answer["content"][kind])
    return [error.message for body in bodies for error in judge.iter_errors(body)]
