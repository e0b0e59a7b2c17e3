"""What one execution of a template carries along: variables, output, and what it may still use up.

Everything that a hostile template could spend without end is charged here. `node` is the place that an error names; it
is set in the same order as in Go, because messages are compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from modelstore.quoting import quote
from modelstore.template.errors import TemplateExecutionError
from modelstore.template.nodes import Node

_PER_STEP: Final = 32
"""Characters of text, or elements of a list, whose making or reading counts as one step."""
_SHOWN_PER_STEP: Final = 2
"""The same for the text of a value that holds others."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one execution may use up."""

    steps: int = 2_000_000
    output: int = 1 << 24
    """Characters, of the whole output and of any one string on the way."""
    depth: int = 40
    """Templates calling templates."""


DEFAULT_LIMITS: Final = Limits()


class State:
    """One execution. Errors about limits say which one was met, not where."""

    __slots__ = ("append", "bodies", "depth", "limits", "name", "node", "output", "room", "shadowed", "steps", "text",
                 "variables")  # fmt: skip

    def __init__(self, text: str, bodies: Mapping[str, Callable[["State", Any], object]], limits: Limits) -> None:
        self.text = text
        self.bodies = bodies
        """What the definitions of the template run."""
        self.limits = limits
        self.steps = limits.steps
        self.room = limits.output
        self.output: list[str] = []
        self.append: Final = self.output.append
        self.variables: dict[str, Any] = {}
        """What each name means now."""
        self.shadowed: list[tuple[str, Any]] = []
        """What the names declared since meant before (`UNDECLARED`: nothing), the latest last."""
        self.name = ""
        self.depth = 0
        self.node: Node | None = None

    # -- accounts -----------------------------------------------------------------------------------------------------

    def spend(self, steps: int) -> None:
        """Takes steps off. Closures that run often do so themselves and come here only when none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise _exceeded(f"takes more than {self.limits.steps} steps")

    def charge(self, value: object, *, shown: bool = False) -> None:
        """Charges for a text or list that a function made or reads; `shown`: for the text of a list or the like."""
        if isinstance(value, str | bytes | list):
            size = len(cast("str", value))
            self.spend(size // (_SHOWN_PER_STEP if shown else _PER_STEP))
            if size > self.limits.output and isinstance(value, str):
                raise _exceeded(f"makes a text of more than {self.limits.output} characters")

    def write(self, text: str) -> None:
        """Adds to the output."""
        self.room -= len(text)
        if self.room < 0:
            raise _exceeded(f"writes more than {self.limits.output} characters")
        self.append(text)

    # -- variables ----------------------------------------------------------------------------------------------------

    def declare(self, name: str, value: object) -> None:
        """Gives a name a meaning until `forget`."""
        self.shadowed.append((name, self.variables.get(name, UNDECLARED)))
        self.variables[name] = value

    def assign(self, name: str, value: object) -> None:
        """Changes the innermost variable of this name."""
        if name not in self.variables:
            raise self.error(f"undefined variable: {name}")
        self.variables[name] = value

    def forget(self, mark: int) -> None:
        """Undoes declarations until `mark` of them are left."""
        while len(self.shadowed) > mark:
            name, value = self.shadowed.pop()
            if value is UNDECLARED:
                del self.variables[name]
            else:
                self.variables[name] = value

    # -- errors -------------------------------------------------------------------------------------------------------

    def error(self, message: str) -> TemplateExecutionError:
        """An error at the current node."""
        if self.node is None:
            return TemplateExecutionError(f"template: {self.name}: {message}")
        before = self.text[: self.node.pos]
        line, start = 1 + before.count("\n"), before.rfind("\n") + 1
        column = len(before[start:].encode(errors="replace"))
        where = f":{line}:{column}: executing {quote(self.name)} at <{self.node}>"
        return TemplateExecutionError(f"template: {where}: {message}", line, column)


class _Undeclared:
    """Stands for the meaning of a name that has none."""


UNDECLARED: Final = _Undeclared()


def _exceeded(what: str) -> TemplateExecutionError:
    return TemplateExecutionError(f"template: execution {what}")
