"""What a request puts on top of its base: template, system text, licences, parameters, messages."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from modelstore.blobs import BlobStore
from modelstore.create.plan import Piece, Plan, messages_data, params_data, written, written_text
from modelstore.create.request import CreateRequest
from modelstore.errors import CreateError, InvalidManifest
from modelstore.manifest import (
    LICENSE_TYPE,
    MESSAGES_TYPE,
    PARAMS_TYPE,
    PROMPT_TYPE,
    SYSTEM_TYPE,
    TEMPLATE_TYPE,
)
from modelstore.template import Template, TemplateError

_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool"),
    (str, "string"),
    (int, "number"),
    (float, "number"),
    (dict, "object"),
    (list, "array"),
)
"""JSON's words for values, in the order in which they are told apart."""


def check_template(text: str) -> None:
    """Raises CreateError with the parser's words."""
    try:
        Template.parse(text)
    except TemplateError as error:
        raise CreateError(f"template error: {error}") from error


def licenses(value: Any) -> list[str]:
    """The texts of the field `license`. Raises CreateError, as the reference does, with the decoder's words."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise _undecodable(value, "[]string")
    texts = cast("list[Any]", value)
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise _undecodable(text, "string")
    return [text or "" for text in texts]


def apply(plan: Plan, request: CreateRequest, blobs: BlobStore, parameters: Mapping[str, Any]) -> None:
    """Lay the request's own layers over the plan; `parameters` are the request's with any defaults of the family."""
    if request.template:
        plan.replace(written_text(TEMPLATE_TYPE, request.template), PROMPT_TYPE)
    if request.system:
        plan.replace(written_text(SYSTEM_TYPE, request.system))
    plan.add(*(written_text(LICENSE_TYPE, text) for text in licenses(request.license)))
    merged = _base_parameters(plan, blobs) | dict(parameters)
    if merged:
        plan.replace(written(PARAMS_TYPE, params_data(merged)))
    if request.messages:
        plan.replace(written(MESSAGES_TYPE, messages_data(request.messages)))


def _base_parameters(plan: Plan, blobs: BlobStore) -> dict[str, Any]:
    pieces = plan.of_type(PARAMS_TYPE)
    if not pieces:
        return {}
    try:
        value = json.loads(_content(pieces[-1], blobs))
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"params: {error}") from error
    if not isinstance(value, dict):
        raise InvalidManifest("params: not an object")
    return cast("dict[str, Any]", value)


def _content(piece: Piece, blobs: BlobStore) -> bytes:
    return piece.data if piece.data is not None else blobs.read(piece.layer.digest)


def _undecodable(value: Any, kind: str) -> CreateError:
    found = next((word for type_, word in _KINDS if isinstance(value, type_)), "null")
    return CreateError(f"json: cannot unmarshal {found} into Go value of type {kind}", status=500)
