"""A word about the models of the system's service."""

from pathlib import Path

import pytest
import structlog

from modelstore.manifest import SYSTEM_TYPE, Layer, Manifest
from modelstore.names import Name
from modelstore.store import Store
from server.servicestore import mention
from server.settings import Settings


@pytest.fixture
def service(tmp_path: Path) -> Path:
    root = tmp_path / "service"
    add(Store.open(root))
    return root


def add(store: Store) -> None:
    digest = store.blobs.put(b"x")
    store.catalog.write(Name.parse("m"), Manifest((Layer(SYSTEM_TYPE, digest, 1),)))


def said(home: Path, service: Path, **environ: str) -> list[str]:
    settings = Settings.from_env({"HOME": str(home), **environ})
    store = Store.open(settings.models, extras=settings.models_extra)
    with structlog.testing.capture_logs() as log:
        mention(settings, store, service)
    return [entry["event"] for entry in log]


def test_who_has_none_is_told_how_to_use_them(tmp_path: Path, service: Path) -> None:
    (line,) = said(tmp_path, service)
    assert f"OLLAMA_MODELS_EXTRA={service}" in line
    assert f"OLLAMA_MODELS={service}" in line


def test_others_are_not(tmp_path: Path, service: Path) -> None:
    """Who chose a directory, who uses the service's already, who has models, and where there is no service."""
    assert said(tmp_path, service, OLLAMA_MODELS=str(tmp_path / "own")) == []
    assert said(tmp_path, service, OLLAMA_MODELS_EXTRA=str(service)) == []
    assert said(tmp_path, tmp_path / "nowhere") == []
    add(Store.open(tmp_path / ".ollama" / "models"))
    assert said(tmp_path, service) == []
