"""Bodies of inference requests as files, when the operator asks for them."""

import tempfile
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from server.app import create_app
from server.paths import Endpoint
from server.services import Services
from server.settings import Settings

pytestmark = pytest.mark.anyio


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def test_a_body_and_a_script_for_the_owner_only(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = Settings.from_env({"HOME": str(tmp_path), "OLLAMA_DEBUG_LOG_REQUESTS": "1"})
    endpoints = [Endpoint("/api/chat", echo, ("POST",)), Endpoint("/api/embed", echo, ("POST",))]
    app = create_app(Services(settings, services.store, services.scheduler, services.transfers), endpoints=endpoints)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:1") as client:
        assert (await client.post("/api/chat", content=b"a body")).content == b"a body"
        await client.post("/api/embed", content=b"not this one")
    body, script = sorted(tmp_path.glob("ollama-request-logs-*/*"))  # noqa: ASYNC240  (nothing else runs)
    assert body.name.endswith("Z-000001_api_chat_body.json")
    assert body.read_bytes() == b"a body"
    assert body.name in script.read_text()
    assert {oct(file.stat().st_mode & 0o777) for file in (body, script)} == {"0o600"}
