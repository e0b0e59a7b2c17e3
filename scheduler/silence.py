"""How long nothing has come from a process, and what happens when that is too long."""

from collections.abc import Callable

from scheduler.clock import Alarm, Clock


class Silence:
    """Begins anew with every sign of life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_sign = 0.0
        self._alarm = Alarm(clock)

    def broken(self) -> None:
        """There was a sign of life."""
        self._last_sign = self._clock.now()

    @property
    def seconds(self) -> float:
        return self._clock.now() - self._last_sign

    def watch(self, limit: float, too_long: Callable[[], None]) -> None:
        """Call `too_long`, once, when it has lasted `limit` seconds from now on; 0 or less: never."""
        if limit <= 0:
            return
        self.broken()
        self._look(limit, too_long)

    def _look(self, limit: float, too_long: Callable[[], None]) -> None:
        if self.seconds >= limit:
            too_long()
        else:
            self._alarm.set(limit - self.seconds, lambda: self._look(limit, too_long))

    def unwatch(self) -> None:
        """It may last."""
        self._alarm.off()
