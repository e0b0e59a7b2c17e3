"""The document, put together from endpoints, decoders and answers."""

import re
from collections.abc import Iterable
from typing import Any, Final

from server.gojson.walk import Schema
from server.openapi import members
from server.openapi.objects import OBJECTS
from server.openapi.requests import Requests
from server.openapi.responses import OPERATIONS, Answer, Operation, answers
from server.paths import Endpoint
from server.version import PROGRAM, PROGRAM_VERSION

_ABOUT: Final = (
    "Bodies are read as JSON whatever their type is said to be. Names of members may differ in case, unknown members"
    " are ignored, null counts as absent, and what follows the first value does not matter. The schema of a stream"
    " (`application/x-ndjson`) is that of each of its lines. Paths that are not listed are answered with 404, other"
    " methods with 405 and a header `Allow`, both as `text/plain`."
)


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of these endpoints. Raises `KeyError` for one that nobody has described."""
    requests = Requests()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for method in endpoint.methods:
            operation = OPERATIONS[method, endpoint.path]
            told = {"operationId": _identifier(method, endpoint.path), **_operation(operation, requests)}
            paths.setdefault(endpoint.path, {})[method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": PROGRAM, "version": PROGRAM_VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {**requests.components, **members.COMPONENTS, **OBJECTS}},
    }


def _identifier(method: str, path: str) -> str:
    """`post_api_chat`"""
    return "_".join((method.lower(), *re.findall("[A-Za-z0-9]+", path)))


def _operation(operation: Operation, requests: Requests) -> Schema:
    told: Schema = {
        "summary": operation.summary,
        "responses": {str(status): _answer(answer) for status, answer in answers(operation).items()},
    }
    if operation.parameters:
        told["parameters"] = list(operation.parameters)
    if operation.body is not None:
        body = operation.body
        content = body if isinstance(body, dict) else {"application/json": requests.schema(body)}
        told["requestBody"] = {"required": operation.body_required, "content": _content(content)}
    return told


def _answer(answer: Answer) -> Schema:
    told: Schema = {"description": answer.what}
    return {**told, "content": _content(answer.content)} if answer.content else told


def _content(content: dict[str, Schema]) -> Schema:
    return {media_type: {"schema": schema} for media_type, schema in content.items()}
