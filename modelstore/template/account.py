"""What one execution of a template uses up, against what it may."""

from dataclasses import dataclass
from typing import Final, cast

from modelstore.template.errors import TemplateExecutionError

_TEXT_PER_STEP: Final = 256
_ITEMS_PER_STEP: Final = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one execution may use up."""

    steps: int = 4_000_000
    output: int = 1 << 26
    """Characters, of the whole output and of any one string on the way."""
    depth: int = 40
    """Templates calling templates."""


DEFAULT_LIMITS: Final = Limits()


class Account:
    """Counts steps and collects the output. Its errors say which limit was met, not where."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._steps = limits.steps
        self._size = 0
        self._output: list[str] = []

    @property
    def output(self) -> str:
        """All that was written."""
        return "".join(self._output)

    def spend(self, steps: int = 1) -> None:
        """Takes steps off."""
        self._steps -= steps
        if self._steps < 0:
            raise _exceeded(f"takes more than {self._limits.steps} steps")

    def made(self, value: object) -> None:
        """Charges for a value that a function made."""
        if isinstance(value, str):
            self.spend(len(value) // _TEXT_PER_STEP)
            if len(value) > self._limits.output:
                raise _exceeded(f"makes a text of more than {self._limits.output} characters")
        elif isinstance(value, list):
            self.spend(len(cast("list[object]", value)) // _ITEMS_PER_STEP)

    def write(self, text: str) -> None:
        """Adds to the output."""
        self._size += len(text)
        if self._size > self._limits.output:
            raise _exceeded(f"writes more than {self._limits.output} characters")
        self._output.append(text)


def _exceeded(what: str) -> TemplateExecutionError:
    return TemplateExecutionError(f"template: execution {what}")
