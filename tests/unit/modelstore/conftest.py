"""What the tests of the store share."""

from pathlib import Path

import pytest
from hypothesis import settings

from modelstore.store import Store

settings.register_profile("modelstore", deadline=None)
settings.load_profile("modelstore")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store.open(tmp_path / "models")
