"""One daemon a module."""

from collections.abc import Iterator

import pytest

from tests.integration.daemon import Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with an empty store."""
    running = Daemon(tmp_path_factory.mktemp("home"))
    yield running
    assert running.stop() == 0
