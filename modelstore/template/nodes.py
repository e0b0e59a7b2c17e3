"""The parse tree of a Go template. `str()` of an expression is its source in the form that error messages quote."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from modelstore.quoting import quote


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes."""

    pos: int
    """Offset in the template, in characters."""


NodeList: TypeAlias = tuple[Node, ...]


# -- operands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bool(Node):
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True)
class Number(Node):
    text: str
    value: int | float
    """An int only where Go takes the constant for one: neither point nor exponent in it."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class String(Node):
    quoted: str
    text: str

    def __str__(self) -> str:
        return self.quoted


@dataclass(frozen=True, slots=True)
class Nil(Node):
    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Dot(Node):
    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Field(Node):
    """`.A.B`, looked up in dot."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """`$x.A.B`; the first name keeps its dollar sign."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """Fields of a pipeline in parentheses (or of a function's result)."""

    base: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        base = f"({self.base})" if isinstance(self.base, Pipe) else str(self.base)
        return base + "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Command(Node):
    """An operand, or a function or field with its arguments."""

    args: NodeList

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipe) else str(arg) for arg in self.args)


@dataclass(frozen=True, slots=True)
class Pipe(Node):
    declared: tuple[Variable, ...]
    assigns: bool
    """`=` instead of `:=`."""
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        names = ", ".join(map(str, self.declared))
        prefix = f"{names} {'=' if self.assigns else ':='} " if names else ""
        return prefix + " | ".join(map(str, self.commands))


# -- what stands in a list --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text(Node):
    text: str


@dataclass(frozen=True, slots=True)
class Action(Node):
    pipe: Pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


@dataclass(frozen=True, slots=True)
class Branch(Node):
    """Base of if, with and range."""

    pipe: Pipe
    body: NodeList
    otherwise: NodeList


@dataclass(frozen=True, slots=True)
class If(Branch): ...


@dataclass(frozen=True, slots=True)
class With(Branch): ...


@dataclass(frozen=True, slots=True)
class Range(Branch): ...


@dataclass(frozen=True, slots=True)
class Break(Node): ...


@dataclass(frozen=True, slots=True)
class Continue(Node): ...


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`{{ template "name" pipeline }}`."""

    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"


def operands(pipe: Pipe) -> Iterator[Node]:
    """All operands of a pipeline, those in parentheses included; bases of chains are not entered."""
    for command in pipe.commands:
        for arg in command.args:
            if isinstance(arg, Pipe):
                yield from operands(arg)
            else:
                yield arg
