"""The model a request names, and whether it may be asked that."""

from typing import Final

from modelstore.capabilities import TemplateMode
from modelstore.errors import InvalidName, ModelNotFound
from modelstore.model import StoredModel
from modelstore.names import Name, Source, split_source
from modelstore.quoting import quote
from modelstore.store import Store
from server.errors import ApiError, CloudDisabled
from server.inference import reference
from server.inference.request import ChatRequest, CompletionRequest, TextRequest
from server.naming import REMOTE_MODEL, local_name

_REPLACED: Final = (
    "'llama3.2-vision' is no longer compatible with your version of Ollama and has been replaced by a newer version. "
    "To re-download, run 'ollama pull llama3.2-vision'"
)


def named(raw: str) -> Name:
    """The name in a request for text. Raises `ApiError` 404 for an empty one, else as `naming.local_name`."""
    if not raw.strip():
        raise ApiError(404, f"model '{raw}' not found")
    try:
        return local_name(raw)
    except InvalidName:
        raise ApiError(400, "invalid model name") from None


def find(store: Store, raw: str) -> StoredModel:
    """The installed model, in whatever case it is written; its capabilities are known afterwards. Reads files.

    Raises `ApiError`, 404 when it is not there.
    """
    missing = f"model '{raw}' not found"
    model = installed(store, store.catalog.resolve(named(raw)), missing)
    if model.config.remote_host and split_source(raw)[1] is Source.LOCAL:
        raise ApiError(404, missing)
    _ = model.capabilities
    return model


def recall(store: Store, raw: str) -> StoredModel | None:
    """What `find` returns, if nothing needs to be read for it: fit for an event loop. Raises `ApiError` as `named`."""
    model = store.catalog.known(named(raw))
    return model if model is not None and reference.known(model) is not None else None


def installed(store: Store, name: Name, otherwise: str) -> StoredModel:
    """The model with exactly this name. Raises `ApiError` 404 with the text `otherwise`. Reads files."""
    try:
        return store.catalog.get(name)
    except ModelNotFound:
        raise ApiError(404, otherwise) from None


def check_here(model: StoredModel) -> None:
    """Raises `CloudDisabled` for a stub of a model that runs elsewhere."""
    if model.config.remote_host:
        raise CloudDisabled(REMOTE_MODEL)


def check_writes(model: StoredModel) -> None:
    """Raises `ApiError` for a model that makes pictures of prompts."""
    if "image" in model.capabilities:
        raise ApiError(400, "image generation models are not currently supported")


def decide_thinking(model: StoredModel, request: TextRequest) -> None:
    """Fill in `think` where it was not said. Raises `ApiError` when a model that cannot think is told to."""
    if "thinking" in model.capabilities:
        if request.think is None:
            request.think = True
        elif request.think == "max" and _speaks_harmony(model):
            request.think = "high"  # the most that gpt-oss knows
    elif request.think:
        raise ApiError(400, f"{quote(request.model)} does not support thinking")


def _speaks_harmony(model: StoredModel) -> bool:
    return model.config.parser == "harmony" or model.template_mode is TemplateMode.HARMONY


def check_capabilities(model: StoredModel, request: ChatRequest | CompletionRequest) -> None:
    """Raises `ApiError` for what the model cannot do at all."""
    if _sees_one(model) and model.projectors:
        raise ApiError(500, _REPLACED)
    can = model.capabilities
    if "completion" not in can:
        raise incapable(request)
    if isinstance(request, ChatRequest):
        if request.tools and "tools" not in can:
            raise ApiError(400, f"{model.name} does not support tools")
    elif request.suffix and "insert" not in can:
        raise ApiError(400, f"{model.name} does not support insert")


def incapable(request: ChatRequest | CompletionRequest) -> ApiError:
    """What is said of a model that writes no text."""
    verb = "chat" if isinstance(request, ChatRequest) else "generate"
    return ApiError(400, f"{quote(request.model)} does not support {verb}")


def check_images(model: StoredModel, request: ChatRequest | CompletionRequest) -> None:
    """Raises `ApiError` for more pictures than the model can look at."""
    if not _sees_one(model):
        return
    chat = isinstance(request, ChatRequest)
    most = max((len(message.images) for message in request.messages), default=0) if chat else len(request.images)
    if most > 1:
        raise ApiError(500 if chat else 400, "this model only supports one image while more than one image requested")


def _sees_one(model: StoredModel) -> bool:
    """Whether it takes one picture at a time."""
    return "mllama" in (model.config.model_families or ())
