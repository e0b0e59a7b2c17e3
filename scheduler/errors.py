"""What can go wrong between asking for a model and its last word.

    SchedulerError
    ├── QueueFull(capacity)                  too many requests wait already                          503
    ├── ShuttingDown                         the daemon is on its way out                            503
    ├── WeightsMissing(path)                 a file of the model does not exist                      404
    ├── LoadFailed(message, …)               the model could not be loaded                           500
    │   ├── InsufficientMemory(needed, available, gpu)
    │   ├── GpuRequired(reason)              it would run on the CPU, which the operator does not want
    │   ├── LoadStalled(detail)              no sign of life for the load timeout
    │   └── SpareHung                        the runner in reserve does not take a load; another one will
    ├── RunnerDied(detail, streamed)         the process ended under a request                       500
    └── RunnerFailed(message, status)        the runner refused or gave up one request      its own status

The text of each exception is what a client is shown.
"""

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB")


def human_bytes(size: int) -> str:
    """A size as messages show it: 1024-based with one decimal, no unit above GiB."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


class SchedulerError(Exception):
    """Base of everything the scheduler raises on purpose."""


class QueueFull(SchedulerError):
    """`capacity` requests wait for a model to be loaded; this one may not join them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


class ShuttingDown(SchedulerError):
    """No new work is taken; also the end of requests that outlast the time to drain."""

    def __init__(self) -> None:
        super().__init__("server is shutting down")


class WeightsMissing(SchedulerError):
    """A file that the manifest names is not there."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"model file does not exist: {path}")


class LoadFailed(SchedulerError):
    """`unsupported` blames the file, `out_of_memory` the machine; with neither, the cause is in the text alone."""

    def __init__(self, message: str, *, unsupported: bool = False, out_of_memory: bool = False) -> None:
        self.message = message
        self.unsupported = unsupported
        self.out_of_memory = out_of_memory
        super().__init__(message)

    def suggesting_pull(self, name: str) -> "LoadFailed":
        """The same failure with advice for a user whose copy of model `name` may be stale."""
        advice = (
            "this model may be incompatible with your version of Ollama. If you previously pulled this model, "
            f"try updating it by running `ollama pull {name}`"
        )
        return LoadFailed(f"{self.message}: {advice}", unsupported=self.unsupported)


class InsufficientMemory(LoadFailed):
    """The smallest form in which the model may be loaded needs more bytes than the machine has, or its GPUs (`gpu`)."""

    def __init__(self, needed: int, available: int, *, gpu: bool = False, detail: str = "") -> None:
        self.needed = needed
        self.available = available
        self.gpu = gpu
        kind = "gpu" if gpu else "system"
        text = f"model requires more {kind} memory ({human_bytes(needed)}) than is available ({human_bytes(available)})"
        super().__init__(f"{text}: {detail}" if detail else text, out_of_memory=True)


class GpuRequired(LoadFailed):
    """The model would be loaded on the CPU without anybody having asked for that, and LLAMAD_REQUIRE_GPU forbids it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the model would run on the CPU, and LLAMAD_REQUIRE_GPU is set: {reason}")


class LoadStalled(LoadFailed):
    """The runner said nothing, on any pipe, for the load timeout."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        text = "timed out waiting for llama-server to start"
        super().__init__(f"{text} - {detail}" if detail else text)


class SpareHung(LoadFailed):
    """A runner that waited in reserve did not confirm that it takes its load; one that is started afresh has it."""

    def __init__(self) -> None:
        super().__init__("the runner in reserve does not answer")


class RunnerDied(SchedulerError):
    """The runner's pipe closed with the request open. `streamed`: part of the answer had been delivered."""

    def __init__(self, detail: str = "", *, streamed: bool = False) -> None:
        self.detail = detail
        self.streamed = streamed
        if streamed:
            text = f"an error was encountered while running the model: {detail or 'unexpected EOF'}"
        else:
            text = (
                "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
                "check ollama server logs for details"
            )
            text += f": {detail}" if detail else ""
        super().__init__(text)


class RunnerFailed(SchedulerError):
    """One request ended without an answer; the runner goes on. `status` is the HTTP status that fits."""

    def __init__(self, message: str, status: int = 500) -> None:
        self.message = message
        self.status = status
        super().__init__(message)
