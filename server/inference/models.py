"""The model a request names, and whether it may be asked that."""

from modelstore.capabilities import TemplateMode
from modelstore.errors import InvalidName, ModelNotFound
from modelstore.model import StoredModel
from modelstore.names import Name
from modelstore.store import Store
from server.errors import ApiError
from server.inference import reference
from server.inference.request import ChatRequest, CompletionRequest, TextRequest
from server.naming import local_name


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
    model = installed(store, store.catalog.resolve(named(raw)), f"model '{raw}' not found")
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


def decide_thinking(model: StoredModel, request: TextRequest) -> None:
    """Fill in `think` where it was not said. Raises `ApiError` when a model that cannot think is told to."""
    if "thinking" in model.capabilities:
        if request.think is None:
            request.think = True
        elif request.think == "max" and _speaks_harmony(model):
            request.think = "high"  # the most that gpt-oss knows
    elif request.think:
        message = f'"{request.model}" does not support thinking'
        raise ApiError(400, message)


def _speaks_harmony(model: StoredModel) -> bool:
    return model.config.parser == "harmony" or model.template_mode is TemplateMode.HARMONY


def check_capabilities(model: StoredModel, request: ChatRequest | CompletionRequest) -> None:
    """Raises `ApiError` for what the model cannot do at all."""
    can = model.capabilities
    verb = "chat" if isinstance(request, ChatRequest) else "generate"
    if "completion" not in can:
        raise ApiError(400, f'"{request.model}" does not support {verb}')
    if isinstance(request, ChatRequest):
        if request.tools and "tools" not in can:
            raise ApiError(400, f"{model.name} does not support tools")
    elif request.suffix and "insert" not in can:
        raise ApiError(400, f"{model.name} does not support insert")
