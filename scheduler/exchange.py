"""What has been asked of one runner and is not answered yet, by the ids under which it was sent."""

import asyncio

from scheduler import frames
from scheduler.channel import Channel
from scheduler.errors import RunnerFailed


class Exchange:
    """Generations, which have a channel each, and questions with one answer."""

    def __init__(self) -> None:
        self._last_id = 0
        self._channels: dict[int, Channel] = {}
        self._calls: dict[int, asyncio.Future[frames.Report]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._channels or self._calls)

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def open(self, number: int, channel: Channel) -> None:
        """A generation has been sent."""
        self._channels[number] = channel

    def expect(self, number: int) -> asyncio.Future[frames.Report]:
        """A question has been sent: its answer."""
        answer: asyncio.Future[frames.Report] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        return answer

    def forget(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._channels.pop(number, None)
        self._calls.pop(number, None)

    # -- what comes back

    def step(self, step: frames.Step) -> None:
        channels = self._channels
        for delta in step.deltas:
            if (channel := channels.get(delta.id)) is not None:
                channel.push(delta)
        for done in step.done:
            if (channel := channels.pop(done.id, None)) is not None:
                channel.finish(done)

    def answer(self, report: frames.Embedded | frames.Ranked | frames.Tokens | frames.Text) -> None:
        answer = self._calls.get(report.id)
        if answer is not None and not answer.done():
            answer.set_result(report)

    def fail(self, number: int, error: RunnerFailed) -> None:
        if (channel := self._channels.pop(number, None)) is not None:
            channel.fail(error)
        elif (answer := self._calls.get(number)) is not None and not answer.done():
            answer.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        """Nothing will be answered."""
        for channel in self._channels.values():
            channel.fail(error)
        self._channels.clear()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(error)
