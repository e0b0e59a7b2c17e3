"""Work on a second thread during a decode."""

import threading

from scheduler.runner.beside import Beside


class Task:
    def __init__(self, *, broken: bool = False) -> None:
        self.thread = ""
        self._broken = broken

    def prepare(self) -> None:
        self.thread = threading.current_thread().name
        if self._broken:
            raise ValueError


def test_it_is_done_elsewhere_by_the_time_it_is_waited_for() -> None:
    beside = Beside()
    for _ in range(100):
        tasks = [Task(), Task()]
        beside.begin(tasks)
        beside.wait()
        assert [task.thread for task in tasks] == ["beside", "beside"]


def test_waiting_for_nothing_does_not_wait() -> None:
    beside = Beside()
    beside.wait()


def test_a_task_that_fails_stops_nobody() -> None:
    beside = Beside()
    beside.begin([Task(broken=True)])
    beside.wait()
    task = Task()
    beside.begin([task])
    beside.wait()
    assert task.thread == "beside"
