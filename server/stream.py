"""Answers that take a while: they end when the client goes."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.responses import NDJSON, hang_up


class LiveResponse(Response):
    """A response sent piece by piece.

    `close` is called when all is sent, when the client leaves, and when anything goes wrong; it must make `pieces` end.
    """

    def __init__(self, pieces: AsyncIterator[bytes], close: Callable[[], None], *, media_type: str = NDJSON) -> None:
        super().__init__(media_type=media_type)
        self._pieces = pieces
        self._close = close
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # In a task of its own: each wakening goes down all awaits of a task, and around us there are some twenty.
            await asyncio.ensure_future(self._send_all(send))
        finally:
            gone.cancel()
            self._close()

    async def _send_all(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        await hang_up(receive)
        self._close()
