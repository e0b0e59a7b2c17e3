"""What a long operation on the store tells its caller while it runs."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a stream of events; the fields behind `status` are left out when empty."""

    status: str
    digest: str = ""
    total: int = 0
    """Bytes of the blob; 0 when the event is not about one."""
    completed: int = 0


Report: TypeAlias = Callable[[Progress], None]
"""Takes each event as it happens, on the thread of the operation. What it raises ends the operation."""
