"""Work that is only done while the client is there."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from server.responses import hang_up

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up. Raises `ClientDisconnect` then.

    For answers that are sent in one piece, once the body has been read.
    """
    task = asyncio.current_task()
    assert task is not None, "called by a request"
    watch = asyncio.ensure_future(hang_up(request.receive))
    gone = over = False

    def leave(_: asyncio.Future[None]) -> None:
        nonlocal gone
        if not (over or watch.cancelled()):
            gone = True
            task.cancel()

    watch.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and not task.uncancel():  # nobody else wants it cancelled
            raise ClientDisconnect from None
        raise
    finally:
        over = True  # a callback that is on its way already cannot be taken back
        watch.cancel()
