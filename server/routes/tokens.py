"""`/api/tokenize` and `/api/detokenize`: a model's own tokens."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from modelstore.model import StoredModel
from scheduler.lease import Lease
from server import jsonout
from server.bodies import read
from server.errors import ApiError
from server.inference import models, tenancy, vocabulary
from server.inference.answer import clock
from server.paths import Endpoint
from server.presence import unless_gone
from server.responses import JsonResponse
from server.schema.tokens import DETOKENIZE, TOKENIZE, DetokenizeRequest, TokenizeRequest
from server.services import Services, services_of

_NO_TOKENIZER: Final = ("none", "no_vocab")


async def tokenize(request: Request) -> Response:
    """The tokens of a text, which no template is put around."""
    body = await read(request, TOKENIZE)

    async def tokens(lease: Lease) -> dict[str, Any]:
        (found,) = await lease.tokenize([body.prompt], add_special=body.add_special)
        return {"tokens": found}

    return await unless_gone(request, _asked(services_of(request), body, "tokenize", tokens))


async def detokenize(request: Request) -> Response:
    """The text of tokens, control tokens written out."""
    body = await read(request, DETOKENIZE)

    async def content(lease: Lease) -> dict[str, Any]:
        vocabulary.check(body.tokens, lease)
        return {"content": await lease.detokenize(body.tokens)}

    return await unless_gone(request, _asked(services_of(request), body, "detokenize", content))


async def _asked(
    services: Services,
    body: TokenizeRequest | DetokenizeRequest,
    verb: str,
    ask: Callable[[Lease], Awaitable[dict[str, Any]]],
) -> Response:
    """The answer of the model, however it is loaded: nobody wants it loaded anew for the sake of counting."""
    models.named(body.model)
    started = clock()
    model = await tenancy.stored(services, body.model)
    if not _has_tokenizer(model):
        raise ApiError(400, f'"{body.model}" does not support {verb}')
    async with await tenancy.lease(services, model, body, as_loaded=True) as lease:
        loaded = clock()
        found = await ask(lease)
    durations = jsonout.omit_empty(total_duration=clock() - started, load_duration=loaded - started)
    return JsonResponse({"model": body.model, **found, **durations})


def _has_tokenizer(model: StoredModel) -> bool:
    """False for weights without a vocabulary, which no runner takes."""
    return model.header is None or model.header.kv.get("tokenizer.ggml.model") not in _NO_TOKENIZER


ENDPOINTS: Final = (
    Endpoint("/api/tokenize", tokenize, ("POST",)),
    Endpoint("/api/detokenize", detokenize, ("POST",)),
)
