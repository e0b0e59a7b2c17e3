"""A prompt's `context`: only of tokens that the model has."""

import httpx
import pytest

from server.services import Services
from tests.unit.server.fakes import FakeScheduler, install

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("token", [-1, 256, 2**40])
async def test_a_context_of_another_model_is_refused(
    http: httpx.AsyncClient, services: Services, scheduler: FakeScheduler, token: int
) -> None:
    install(services.store, "m")
    answer = await http.post("/api/generate", json={"model": "m", "prompt": "hi", "context": [65, token]})
    assert (answer.status_code, answer.json()) == (400, {"error": f"token {token} is not in the vocabulary of 256"})
    assert scheduler.balanced
