"""Real clients against a real daemon with a real model."""

from collections.abc import Iterator

import pytest

from tests.integration.daemon import Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that serves tinychat in half precision."""
    running = Daemon(tmp_path_factory.mktemp("home"))
    running.add("tinychat", "tinychat-f16.gguf")
    yield running
    assert running.stop() == 0
