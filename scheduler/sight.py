"""The machine as the scheduler sees it: looked at before each load, and forgotten when something has changed."""

from collections.abc import Callable

import structlog

from scheduler.devices import Devices, Snapshot

_log = structlog.get_logger(__name__)


class Sight:
    """What the devices said last. `post` delivers a call to the owner task."""

    def __init__(self, devices: Devices, post: Callable[..., None]) -> None:
        self._devices = devices
        self._post = post
        self._found: Snapshot | None = None
        self.fresh: Snapshot | None = None
        """The same, while the first of the queue may be planned for on it."""
        self.looking = False

    async def first(self) -> Snapshot:
        """Look for the first time. Raises what the devices raise."""
        self._found = found = await self._devices.refresh()
        return found

    async def look(self) -> None:
        """An effect: what is found is `fresh` afterwards; old values where the devices do not tell."""
        try:
            self._found = await self._devices.refresh()
        except Exception:
            _log.exception("unable to refresh free memory, using old values")
        self._post(self._looked)

    def _looked(self) -> None:
        self.looking = False
        self.fresh = self._found

    def forget(self) -> None:
        """It has changed since."""
        self.fresh = None
