"""Turns the tree of a template into closures, and runs them.

    parse() → nodes → Program → run(values) → the output

Walking a tree costs a lookup of each node's kind each time; a template is run far more often than it is parsed, so the
kinds are looked at once. A step takes the state of the execution and dot, writes, and returns `None`, or what leaves
the innermost range. Everything inside `{{ … }}` is compiled by `operands`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias, cast

from modelstore.quoting import quote
from modelstore.template.closures import Value
from modelstore.template.functions import Function
from modelstore.template.nodes import Action, Break, Call, Continue, If, Node, NodeList, Pipe, Range, Text, With
from modelstore.template.operands import Operands
from modelstore.template.printing import show
from modelstore.template.state import Limits, State
from modelstore.template.values import Void, is_true


class Signal(Enum):
    """How a range is left."""

    BREAK = "break"
    CONTINUE = "continue"


Step: TypeAlias = Callable[[State, Any], Signal | None]


class Program:
    """A template made ready to run. Immutable."""

    def __init__(
        self, text: str, root: NodeList, definitions: Mapping[str, NodeList], functions: Mapping[str, Function]
    ) -> None:
        compiler = _Compiler(functions)
        self._text = text
        self._root = compiler.sequence(root)
        self._bodies = {name: compiler.sequence(nodes) for name, nodes in definitions.items()}

    def run(self, root: Mapping[str, Any], limits: Limits) -> str:
        """The output. Raises `TemplateExecutionError`; what was written until then is lost."""
        state = State(self._text, self._bodies, limits)
        state.variables = {"$": root}
        try:
            self._root(state, root)
        except RecursionError:
            state.node = None
            raise state.error("exceeded maximum template depth") from None
        return "".join(state.output)


class _Compiler:
    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._operands = Operands(functions)

    def sequence(self, nodes: NodeList) -> Step:
        """A list of nodes one after another."""
        steps = tuple(self._step(node) for node in nodes)
        if len(steps) == 1:
            return steps[0]
        return _leavable(steps) if _may_leave(nodes) else _whole(steps)

    def _step(self, node: Node) -> Step:
        match node:
            case Text():
                return _text(node.text)
            case Action():
                if node.pipe.declared:
                    return _evaluated(self._operands.pipe(node.pipe))
                return _printed(self._operands.shown(node.pipe))
            case If() | With():
                return self._branch(node)
            case Range():
                return self._range(node)
            case Call():
                return _call(node, self._operands.pipe(node.pipe) if node.pipe else None)
            case _:
                assert isinstance(node, Break | Continue)
                signal = Signal.BREAK if isinstance(node, Break) else Signal.CONTINUE
                return lambda state, dot: signal

    def _branch(self, node: If | With) -> Step:
        value = self._condition(node.pipe)
        body, otherwise = self.sequence(node.body), self.sequence(node.otherwise) if node.otherwise else None
        rebinds = isinstance(node, With)

        def branch(state: State, dot: Any) -> Signal | None:
            mark = len(state.shadowed)
            result = value(state, dot)
            signal = None
            if result is True or (result is not False and is_true(result)):
                signal = body(state, result if rebinds else dot)
            elif otherwise is not None:
                signal = otherwise(state, dot)
            if len(state.shadowed) > mark:
                state.forget(mark)
            return signal

        return branch

    def _condition(self, pipe: Pipe) -> Value:
        return self._operands.pipe(pipe) if pipe.declared else self._operands.shown(pipe)

    def _range(self, node: Range) -> Step:
        value = self._condition(node.pipe)
        body, otherwise = self.sequence(node.body), self.sequence(node.otherwise)
        names = [variable.names[0] for variable in node.pipe.declared]
        bind = _binding(names, node.pipe.assigns)

        def iterate(state: State, dot: Any) -> Signal | None:
            outer = len(state.shadowed)
            items = _items(state, value(state, dot), len(names))
            if items is None:
                signal = otherwise(state, dot)
                state.forget(outer)
                return signal
            mark = len(state.shadowed)
            for index, element in items:
                state.steps -= 1  # an empty body costs nothing, going round does
                if state.steps < 0:
                    state.spend(0)
                if names:
                    bind(state, index, element)
                signal = body(state, element)
                if len(state.shadowed) > mark:
                    state.forget(mark)
                if signal is Signal.BREAK:
                    break
            if mark > outer:
                state.forget(outer)
            return None

        return iterate


def _may_leave(nodes: NodeList) -> bool:
    """Whether one of the nodes may leave the range around them."""
    return any(
        isinstance(node, Break | Continue)
        or (isinstance(node, If | With) and (_may_leave(node.body) or _may_leave(node.otherwise)))
        for node in nodes
    )


def _whole(steps: Sequence[Step]) -> Step:
    count = len(steps)

    def run(state: State, dot: Any) -> None:
        state.steps -= count
        if state.steps < 0:
            state.spend(0)
        for step in steps:
            step(state, dot)

    return run


def _leavable(steps: Sequence[Step]) -> Step:
    count = len(steps)

    def run(state: State, dot: Any) -> Signal | None:
        state.steps -= count
        if state.steps < 0:
            state.spend(0)
        for step in steps:
            signal = step(state, dot)
            if signal is not None:
                return signal
        return None

    return run


def _text(text: str) -> Step:
    size = len(text)

    def write(state: State, dot: Any) -> None:
        state.room -= size
        if state.room < 0:
            state.write("")
        state.append(text)

    return write


def _printed(value: Value) -> Step:
    def write(state: State, dot: Any) -> None:
        result = value(state, dot)
        if type(result) is not str:
            result = _shown(state, result)
        state.write(result)

    return write


def _shown(state: State, value: object) -> str:
    try:
        text = show(value)
    except ValueError as error:
        raise state.error(str(error)) from error
    state.charge(text, shown=True)
    return text


def _evaluated(value: Value) -> Step:
    def evaluate(state: State, dot: Any) -> None:
        value(state, dot)

    return evaluate


def _call(node: Call, value: Value | None) -> Step:
    def call(state: State, dot: Any) -> None:
        state.node = node
        state.spend(1)
        body = state.bodies.get(node.name)
        if body is None:
            raise state.error(f"template {quote(node.name)} not defined")
        if state.depth >= state.limits.depth:
            raise state.error(f"exceeded maximum template depth ({state.limits.depth})")
        given = value(state, dot) if value is not None else Void.VALUE
        outer = state.name, state.variables, state.shadowed
        state.name, state.variables, state.shadowed = node.name, {"$": given}, []
        state.depth += 1
        body(state, given)
        state.depth -= 1
        state.name, state.variables, state.shadowed = outer

    return call


# -- range ------------------------------------------------------------------------------------------------------------

_Items: TypeAlias = Iterable[tuple[Any, Any]]


def _items(state: State, value: object, declared: int) -> _Items | None:
    """Indexes and elements, or None where there are none."""
    if isinstance(value, list):
        return enumerate(cast("list[object]", value)) if value else None
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        state.spend(len(members))
        return [(key, members[key]) for key in sorted(members)] or None
    if isinstance(value, int) and not isinstance(value, bool):
        if declared > 1:
            raise state.error(f"can't use {value} to iterate over more than one variable")
        return ((index, index) for index in range(value)) if value > 0 else None
    if value is None or value is Void.VALUE:
        return None
    raise state.error(f"range can't iterate over {show(value)}")


def _binding(names: Sequence[str], assigns: bool) -> Callable[[State, Any, Any], None]:
    """Gives the variables of a range their values: one takes the element, of two the first takes the index."""
    first, last = names[0] if names else "", names[-1] if names else ""

    def assign(state: State, index: object, element: object) -> None:
        if len(names) > 1:
            state.assign(first, index)
        state.assign(last, element)

    def bind_one(state: State, index: object, element: object) -> None:
        state.variables[last] = element

    def bind_two(state: State, index: object, element: object) -> None:
        variables = state.variables
        variables[first] = index
        variables[last] = element

    return assign if assigns else bind_two if len(names) > 1 else bind_one
