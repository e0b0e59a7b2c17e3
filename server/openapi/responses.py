"""What each endpoint takes and answers, by method and path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from server.gojson.walk import Decoder, Schema
from server.openapi.requests import reference
from server.schema import native
from server.schema.rerank import RERANK
from server.schema.tokens import DETOKENIZE, TOKENIZE

Content: TypeAlias = dict[str, Schema]
"""A schema for each media type; of a line, where the type is that of a stream."""

_JSON: Final = "application/json"
_LINES: Final = "application/x-ndjson"
_TEXT: Final = "text/plain"
_ERROR: Final = reference("Error")
_NO_PAGE: Final[Content] = {_TEXT: {"const": "404 page not found"}}


@dataclass(frozen=True)
class Answer:
    """One status of an endpoint. Without content the body is empty."""

    what: str
    content: Content = field(default_factory=Content)


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    summary: str
    answers: Mapping[int, Answer]
    body: Decoder[Any] | Content | None = None
    body_required: bool = True
    parameters: Sequence[Schema] = ()


def _ok(schema: Schema, what: str = "Success.") -> Answer:
    return Answer(what, {_JSON: schema})


def _live(line: str, whole: str = "") -> Answer:
    """A stream of such objects that can end with an error, and for those who do not want it one object."""
    alone = {_JSON: reference(whole or line)}
    return Answer(
        "One object, or a stream of lines with an object each; an error can be the last of them.",
        {**alone, _LINES: {"anyOf": [reference(line), _ERROR]}},
    )


def _refused(what: str) -> Answer:
    return Answer(what, {_JSON: _ERROR})


_EMPTY: Final = Answer("Done; there is nothing to tell.")
_BAD: Final = _refused("The body cannot be read, or something in it cannot be.")
_NOT_FOUND: Final = _refused("There is no such model.")
_FAILED: Final = _refused("It did not work; the text says why.")
_FORBIDDEN: Final = _refused(
    "What was asked for is not offered here; or, without a body, the page or the host is foreign."
)
_FOREIGN: Final = Answer("The page or the host is foreign.")
_CANCELED: Final = _refused("The model was unloaded before there was an answer.")
_NO_EMBEDDINGS: Final = _refused("The engine cannot do that with this model.")
_DRAINING: Final = _refused("The server is shutting down.")
_BUSY: Final = _refused("The queue is full, or the server is shutting down.")
_MISSPELT: Final = Answer("To the right spelling of the path.")

_ALWAYS: Final = {403: _FOREIGN, 503: _DRAINING}
_BODY: Final = {400: _BAD, 413: _refused("The body is too large.")}
_ELSEWHERE: Final = {307: _MISSPELT, 404: Answer("There is no such path.", _NO_PAGE)}
"""Of a path with a parameter, if that has a slash in it or is one of `.` and `..`."""
_MODEL: Final = {**_BODY, 403: _FORBIDDEN, 404: _NOT_FOUND, 500: _FAILED}
_ENGINE: Final = {**_MODEL, 499: _CANCELED, 503: _BUSY}
_JOB: Final = {**_BODY, 404: _NOT_FOUND, 500: _FAILED}

_DIGEST: Final[Schema] = {
    "name": "digest",
    "in": "path",
    "required": True,
    "description": "SHA-256 of the blob.",
    "schema": {"type": "string", "pattern": "^sha256[:-][0-9A-Fa-f]{64}$"},
}
_KEY: Final[Schema] = {"name": "key", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_VERIFIED: Final[Schema] = {
    "name": "model",
    "in": "query",
    "description": "Check this one only.",
    "schema": {"type": "string"},
}
_ANYTHING: Final[Content] = {_JSON: {}}
_BYTES: Final[Content] = {"application/octet-stream": {"type": "string", "format": "binary"}}

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/"): Operation("Is it there?", {200: Answer("It is.", {_TEXT: {"const": "Ollama is running"}})}),
    ("HEAD", "/"): Operation("Is it there?", {200: _EMPTY}),
    ("GET", "/api/version"): Operation("The release that is spoken here", {200: _ok(reference("VersionResponse"))}),
    ("HEAD", "/api/version"): Operation("The release that is spoken here", {200: _EMPTY}),
    ("GET", "/api/status"): Operation("Whether there is a hosted service", {200: _ok(reference("StatusResponse"))}),
    ("POST", "/api/generate"): Operation(
        "Complete a prompt", {200: _live("GenerateResponse"), **_ENGINE}, native.GENERATE
    ),
    ("POST", "/api/chat"): Operation("Continue a conversation", {200: _live("ChatResponse"), **_ENGINE}, native.CHAT),
    ("POST", "/api/embed"): Operation(
        "Vectors of texts", {200: _ok(reference("EmbedResponse")), **_ENGINE, 501: _NO_EMBEDDINGS}, native.EMBED
    ),
    ("POST", "/api/embeddings"): Operation(
        "The vector of one text, in an older form",
        {200: _ok(reference("EmbeddingResponse")), **_ENGINE, 501: _NO_EMBEDDINGS},
        native.EMBEDDINGS,
    ),
    **{
        ("POST", path): Operation(
            "Documents in the order in which they answer a query",
            {200: _ok(reference("RerankResponse")), **_ENGINE, 501: _NO_EMBEDDINGS},
            RERANK,
        )
        for path in ("/api/rerank", "/v1/rerank", "/v2/rerank")
    },
    ("POST", "/api/tokenize"): Operation(
        "The tokens of a text", {200: _ok(reference("TokenizeResponse")), **_ENGINE}, TOKENIZE
    ),
    ("POST", "/api/detokenize"): Operation(
        "The text of tokens", {200: _ok(reference("DetokenizeResponse")), **_ENGINE}, DETOKENIZE
    ),
    ("GET", "/api/tags"): Operation("The models", {200: _ok(reference("TagsResponse")), 500: _FAILED}),
    ("HEAD", "/api/tags"): Operation("The models", {200: _EMPTY, 500: Answer("It did not work.")}),
    ("POST", "/api/show"): Operation("All about a model", {200: _ok(reference("ShowResponse")), **_MODEL}, native.SHOW),
    ("POST", "/api/copy"): Operation("Give a model another name", {200: _EMPTY, **_JOB}, native.COPY),
    ("DELETE", "/api/delete"): Operation("Remove a model", {200: _EMPTY, **_MODEL}, native.DELETE),
    ("GET", "/api/ps"): Operation("The models in memory", {200: _ok(reference("PsResponse"))}),
    ("POST", "/api/create"): Operation(
        "Make a model",
        {200: _live("ProgressResponse"), **_JOB, 501: _refused("Only GGUF files can be read.")},
        native.CREATE,
    ),
    ("HEAD", "/api/blobs/{digest}"): Operation(
        "Is the blob there?",
        {
            200: Answer("It is."),
            307: _MISSPELT,
            400: Answer("That is no digest."),
            404: Answer("It is not, or there is no such path."),
        },
        parameters=[_DIGEST],
    ),
    ("POST", "/api/blobs/{digest}"): Operation(
        "Store a blob, which `/api/create` can use then",
        {
            200: Answer("It was there already."),
            201: Answer("It is there now."),
            **_ELSEWHERE,
            400: _refused("That is no digest, or not that of the content."),
            500: _FAILED,
        },
        _BYTES,
        body_required=False,
        parameters=[_DIGEST],
    ),
    ("POST", "/api/pull"): Operation("Bring a model", {200: _live("ProgressResponse"), **_JOB}, native.PULL),
    ("POST", "/api/push"): Operation("Send a model", {200: _live("ProgressResponse"), **_JOB}, native.PUSH),
    ("GET", "/api/verify"): Operation(
        "Check every blob against its digest",
        {
            200: Answer(
                "A line for each blob, an error perhaps, and the sums.",
                {_LINES: {"anyOf": [reference("Finding"), _ERROR]}},
            ),
            400: _refused("That is no name of a model."),
            404: _NOT_FOUND,
            500: _FAILED,
        },
        parameters=[_VERIFIED],
    ),
    ("POST", "/api/prune"): Operation(
        "Remove what no model needs",
        {
            200: _ok(reference("PruneResponse")),
            **_BODY,
            409: _refused("A manifest cannot be read, so that nobody knows what is needed."),
            500: _FAILED,
        },
        native.PRUNE,
        body_required=False,
    ),
    ("POST", "/api/me"): Operation("The account at the hosted service", {503: _refused("There is none.")}),
    ("POST", "/api/signout"): Operation("Leave the hosted service", {401: _refused("Nobody is signed in.")}),
    ("DELETE", "/api/user/keys/{key}"): Operation(
        "Leave the hosted service, in an older form",
        {401: _refused("Nobody is signed in."), **_ELSEWHERE},
        parameters=[_KEY],
    ),
    ("POST", "/api/experimental/web_search"): Operation(
        "Search the web, as the hosted service does", {**_BODY, 403: _FORBIDDEN}, _ANYTHING
    ),
    ("POST", "/api/experimental/web_fetch"): Operation(
        "Fetch a page, as the hosted service does", {**_BODY, 403: _FORBIDDEN}, _ANYTHING
    ),
    ("GET", "/api/experimental/model-recommendations"): Operation(
        "Models that the hosted service recommends", {200: _ok(reference("RecommendationsResponse"))}
    ),
    ("GET", "/openapi.json"): Operation("This document", {200: _ok({"type": "object", "required": ["openapi"]})}),
}


def answers(operation: Operation) -> dict[int, Answer]:
    """All statuses in order, with those that every endpoint has."""
    return dict(sorted({**_ALWAYS, **operation.answers}.items()))
