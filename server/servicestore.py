"""The models of the system's service: a word about them to who starts a daemon of his own and has none."""

from pathlib import Path
from typing import Final

import structlog

from modelstore.extras import Extra
from modelstore.store import Store
from server.settings import Settings

_log = structlog.get_logger(__name__)

SERVICE: Final = Path("/usr/share/ollama/.ollama/models")
"""Where the service that the reference's installer sets up on Linux keeps its models."""


def mention(settings: Settings, store: Store, service: Path = SERVICE) -> None:
    """Log one line if the default store is empty and the service's, which can be read, is not. Reads both."""
    if settings.models != settings.home / ".ollama" / "models" or store.catalog.names():
        return
    if models := len(Extra.at(service).catalog.names()):
        _log.info(
            "no models here, but the system's service has some; to use them: "
            f"OLLAMA_MODELS_EXTRA={service} (read only) or OLLAMA_MODELS={service}",
            models=models,
        )
