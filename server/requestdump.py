"""OLLAMA_DEBUG_LOG_REQUESTS: the body of each inference request as a file, with a script that sends it again.

    <directory>/<UTC time>-<number>_<route>_body.json
    <directory>/<UTC time>-<number>_<route>_request.sh

Only the owner may read them.
"""

import asyncio
import itertools
import os
import re
import shlex
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger(__name__)

_WORD_BREAKS = re.compile(r"[^A-Za-z0-9]+")


class RequestDump:
    """Copies the bodies of requests for some paths into a new temporary directory, once their handler is done."""

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self.app = app
        self._paths = frozenset(paths)
        self._numbers = itertools.count(1)
        self._directory = Path(tempfile.mkdtemp(prefix="ollama-request-logs-"))
        _log.info("request bodies are written to files", directory=self._directory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in self._paths:
            await self.app(scope, receive, send)
            return
        body = bytearray()

        async def copying_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b""))
            return message

        try:
            await self.app(scope, copying_receive, send)
        finally:
            await asyncio.to_thread(self._write, scope, bytes(body))

    def _write(self, scope: Scope, body: bytes) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
        route = _WORD_BREAKS.sub("_", scope["path"]).strip("_")
        stem = f"{moment}.{nanoseconds:09d}Z-{next(self._numbers):06d}_{route}"
        host, port = scope["server"]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}{scope['path']}"
        script = (
            "#!/bin/sh\n"
            f"curl -X {scope['method']} {shlex.quote(url)} -H 'Content-Type: application/json' "
            f'--data-binary "@$(dirname "$0")/{stem}_body.json"\n'
        )
        try:
            _write_private(self._directory / f"{stem}_body.json", body)
            _write_private(self._directory / f"{stem}_request.sh", script.encode())
        except OSError as error:
            _log.warning("cannot write a request body", error=error)


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
