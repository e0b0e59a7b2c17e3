"""The way from a request to the first token: find the model, check, lease, assemble the prompt."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final

from modelstore.model import StoredModel
from scheduler.errors import WeightsMissing
from scheduler.lease import Lease
from scheduler.ports import GenerateFields
from scheduler.requests import LeaseRequest
from server.errors import ApiError
from server.inference import models, options
from server.inference.answer import Answer, Plan, clock
from server.inference.assemble import Prompt, assemble
from server.inference.calling import Calling, calling
from server.inference.options import Options
from server.inference.reference import key_of, known, refer
from server.inference.request import ChatRequest, CompletionRequest
from server.prompt import images
from server.services import Services

_NO_IMAGES: Final = (
    '{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, '
    'you may need to provide the mmproj","type":"server_error"}}'
)
"""The engine's own error object, which the reference hands on as the text of the error."""
_MEDIA_MARKER: Final = f"<__ollama_media_{secrets.token_hex(16)}__>"
RAW_CONFLICT: Final = "raw mode does not support template, system, or context"


@dataclass(frozen=True, slots=True)
class Shortcut:
    """There was nothing to say: the model was only loaded or unloaded."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The prompt, because that is what was asked for."""

    prompt: str
    images: int


async def begin(
    services: Services, request: ChatRequest | CompletionRequest, started: int
) -> Answer | Shortcut | Rendered:
    """Everything up to generating; `started` is the clock when the request arrived.

    Raises what `server.errors.describe` knows. Whoever gets an `Answer` must close it.
    """
    store = services.store
    model = models.recall(store, request.model) or await asyncio.to_thread(models.find, store, request.model)
    empty = is_empty(request)
    unload = empty and request.keep_alive == 0
    _admit(model, request, unload=unload)
    if unload:
        services.scheduler.expire(key_of(model))
        return Shortcut("unload")
    chosen = options.resolve(model.params, request.options)
    lease = await _lease(services, model, request, chosen)
    try:
        loaded = clock() - started
        if empty:
            lease.release()
            return Shortcut("load")
        models.check_images(model, request)
        prompt = await assemble(model, request, lease)
        if request.render_only:
            lease.release()
            return Rendered(_shown(prompt), prompt.image_count)
        if prompt.whole and prompt.images and "vision" not in model.capabilities:
            raise ApiError(500, _NO_IMAGES)
        bound = await _bound(model, request)
        return _answer(lease, request, prompt, chosen, loaded, bound)
    except BaseException:
        lease.release()
        raise


def _shown(prompt: Prompt) -> str:
    """The prompt for people; the reference writes its engine's marker where a chat template has an image."""
    text = images.renamed(prompt.text, prompt.image_count, _MEDIA_MARKER) if prompt.whole else prompt.text
    return images.unguarded(text)


def is_empty(request: ChatRequest | CompletionRequest) -> bool:
    """Whether there is nothing to continue: the request is about loading."""
    return not (request.messages if isinstance(request, ChatRequest) else request.prompt)


async def _lease(
    services: Services, model: StoredModel, request: ChatRequest | CompletionRequest, chosen: Options
) -> Lease:
    """Weights that went away after they were looked at make a model that can do nothing, as if they never were."""
    reference = known(model) or await asyncio.to_thread(refer, model)
    try:
        return await services.scheduler.lease(LeaseRequest(reference, chosen.load, request.keep_alive, request.shift))
    except WeightsMissing as error:
        if error.path in reference.weights:
            raise models.incapable(request) from None
        raise


def _admit(model: StoredModel, request: ChatRequest | CompletionRequest, *, unload: bool) -> None:
    """The checks in their order; a chat may unload whatever is installed. Raises `ApiError`."""
    completion = isinstance(request, CompletionRequest)
    if completion or not unload:
        models.check_here(model)
    if unload:
        return
    if completion:
        models.check_writes(model)
        _check_raw(request)
    models.decide_thinking(model, request)
    models.check_capabilities(model, request)


def _check_raw(request: CompletionRequest) -> None:
    if request.raw and (request.template or request.system or request.context):
        raise ApiError(400, RAW_CONFLICT)


async def _bound(model: StoredModel, request: ChatRequest | CompletionRequest) -> Calling | None:
    """What binds the calls of tools; a template is tried out for it, once."""
    if not isinstance(request, ChatRequest) or not request.tools:
        return None
    return await asyncio.to_thread(calling, model, request)


def _answer(
    lease: Lease,
    request: ChatRequest | CompletionRequest,
    prompt: Prompt,
    chosen: Options,
    loaded: int,
    bound: Calling | None,
) -> Answer:
    fields: GenerateFields = {
        "prompt": prompt.text,
        "sampling": chosen.sampling,
        "num_predict": chosen.num_predict,
        "num_keep": chosen.num_keep,
        "stop": list(chosen.stop),
        "shift": lease.shift,
        "truncate": request.truncate and not prompt.whole,
        "logprobs": request.logprobs,
        "images": prompt.images,
        "preserved": prompt.parser.preserved,
        "want_context": isinstance(request, CompletionRequest) and not request.raw,
    }
    grammar = request.grammar
    later = isinstance(request, ChatRequest) or grammar is not None  # the format of a prompt binds its thoughts, too
    plan = Plan(
        fields,
        prompt.parser,
        loaded,
        prompt.dropped,
        request.format,
        grammar,
        prompt.parser.thoughts(request.think) if later else None,
        thoughts_count_as_prompt=grammar is None and not prompt.whole,
        bound=bound,
        full_header=prompt.full_header,
    )
    return Answer(lease, plan)
