"""Model names as requests write them: which model is meant, and what each endpoint says when there is none."""

from modelstore.errors import ModelNotFound
from modelstore.model import StoredModel
from modelstore.names import Name, Source, split_source
from modelstore.store import Store
from server.errors import ApiError, CloudDisabled

REMOTE_MODEL = "remote model is unavailable"
REMOTE_DETAILS = "remote model details are unavailable"


def local_name(raw: str, cloud: str = REMOTE_MODEL) -> Name:
    """The name, if it is one of this machine. Raises `InvalidName`, `SourceConflict`, `CloudDisabled`."""
    base, source = split_source(raw)
    if source is Source.CLOUD:
        raise CloudDisabled(cloud)
    return Name.parse(base)


def find(store: Store, name: Name) -> StoredModel:
    """The model with this name in any spelling. Blocks. Raises `ModelNotFound`, other errors of the store."""
    return store.catalog.get(store.catalog.resolve(name))


def find_shown(store: Store, name: Name) -> StoredModel:
    """Like `find`, with the words of `/api/show`: the display form stands in the error."""
    try:
        return find(store, name)
    except ModelNotFound:
        raise ApiError(404, f"model '{name.short}' not found") from None
