"""Turns the expressions of a parsed template into closures: operands, calls of functions, pipelines.

A closure takes the state of an execution and dot. All that is known before is decided here, once: which function is
meant, whether it gets as many arguments as it takes, which fields have a short way. An expression that can only fail
becomes a closure that fails when it is reached, as in Go.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelstore.template.closures import (
    VOID,
    Stage,
    Value,
    accepted,
    accepting,
    assigning,
    at,
    comparison,
    constantly,
    declaring,
    dot_itself,
    fails,
    field_value,
    is_plain,
    kind_of,
    negation,
    plain_call,
    refusal,
    run_function,
    short_circuit,
    variable_value,
    void_for_nil,
)
from modelstore.template.functions import Function, Kind
from modelstore.template.literals import INT_MAX
from modelstore.template.nodes import (
    Bool,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Nil,
    Node,
    Number,
    Pipe,
    String,
    Variable,
)
from modelstore.template.state import State
from modelstore.template.values import go_type, is_true

_GIVES_NIL: Final = frozenset(("and", "or", "index", "slice", "call"))
"""Functions whose value may be nil."""


class Operands:
    """Compiles over one set of functions."""

    def __init__(self, known: Mapping[str, Function]) -> None:
        self._functions = known

    # -- pipelines ----------------------------------------------------------------------------------------------------

    def pipe(self, pipe: Pipe) -> Value:
        """The value of a pipeline; nil becomes no value at all. Its variables are declared or assigned."""
        value = self.shown(pipe) if self._never_nil(pipe) else void_for_nil(self.shown(pipe))
        names = [variable.names[0] for variable in pipe.declared]
        if pipe.assigns:
            return assigning(names, value)
        return declaring(names, value) if names else value

    def shown(self, pipe: Pipe) -> Value:
        """The same where nil need not be told from no value, as in conditions and in print; nothing is declared."""
        first = self._command(pipe.commands[0])
        if isinstance(pipe.commands[0].args[0], Pipe):
            first = at(pipe, first)
        stages = [self._stage(command) for command in pipe.commands[1:]]

        def staged(state: State, dot: Any) -> Any:
            value = first(state, dot)
            for stage in stages:
                value = stage(state, dot, VOID if value is None else value)
            return value

        return staged if stages else first

    def _never_nil(self, pipe: Pipe) -> bool:
        last = pipe.commands[-1].args[0]
        if isinstance(last, Identifier):
            return last.name not in _GIVES_NIL
        return isinstance(last, Bool | Number | String)

    def _command(self, command: Command) -> Value:
        """A command at the beginning of a pipeline."""
        first, rest = command.args[0], command.args[1:]
        if isinstance(first, Identifier):
            return self._call(first, command, rest)
        if isinstance(first, Field | Chain | Variable) and (not rest or not is_plain(first)):
            return self._path(first, bool(rest))
        if rest:
            return self._gives_arguments(first)
        if isinstance(first, Nil):
            return at(first, fails("nil is not a command"))
        return self.pipe(first) if isinstance(first, Pipe) else self._constant(first)

    def _stage(self, command: Command) -> Stage:
        """A command further down."""
        first, rest = command.args[0], command.args[1:]
        if isinstance(first, Identifier):
            return self._call_with(first, command, rest)
        if isinstance(first, Field | Chain | Variable) and not is_plain(first):
            value = self._path(first, True)
        else:
            value = self._gives_arguments(first)
        return lambda state, dot, _: value(state, dot)

    def _gives_arguments(self, node: Node) -> Value:
        """The failure of something that takes no arguments and is given some."""
        failing = fails(f"can't give argument to non-function {node}")
        if not isinstance(node, Variable):
            return failing if isinstance(node, Pipe) else at(node, failing)
        variable = variable_value(node)

        def fail(state: State, dot: Any) -> Any:
            variable(state, dot)  # unless it is not even defined
            return failing(state, dot)

        return fail

    # -- operands -----------------------------------------------------------------------------------------------------

    def argument(self, node: Node, kind: Kind | None) -> Value:
        """A function's argument; `kind` None is the base of a chain."""
        if isinstance(node, Nil):
            if kind is Kind.STRING:
                return at(node, fails("cannot assign nil to string"))
            return constantly(node, None if kind is Kind.ANY else VOID)
        if isinstance(node, Bool | Number) and kind is Kind.STRING:
            return at(node, fails(f"expected string; found {node}"))
        return accepting(self._operand(node), kind)

    def _operand(self, node: Node) -> Value:
        if isinstance(node, Field | Chain | Variable):
            return self._path(node, False)
        if isinstance(node, Pipe):
            return self.pipe(node)
        if isinstance(node, Identifier):
            return self._call(node, node, ())
        return self._constant(node)

    def _constant(self, node: Node) -> Value:
        if isinstance(node, Dot):
            return at(node, dot_itself)
        if isinstance(node, String):
            return constantly(node, node.text)
        assert isinstance(node, Bool | Number)
        if node.value > INT_MAX and isinstance(node.value, int):
            return at(node, fails(f"{node} overflows int"))
        return constantly(node, node.value)

    # -- fields -------------------------------------------------------------------------------------------------------

    def _path(self, node: Field | Chain | Variable, has_arguments: bool) -> Value:
        if isinstance(node, Field):
            return field_value(node, node.names, dot_itself, has_arguments)
        if isinstance(node, Variable):
            variable = variable_value(node)
            return field_value(node, node.names[1:], variable, has_arguments) if len(node.names) > 1 else variable
        if isinstance(node.base, Nil):
            return at(node, fails(f"indirection through explicit nil in {node}"))
        return field_value(node, node.names, self.argument(node.base, None), has_arguments)

    # -- functions ----------------------------------------------------------------------------------------------------

    def _call(self, node: Identifier, shown: Node, args: Sequence[Node]) -> Value:
        function = self._functions.get(node.name)
        if failing := refusal(node, function, len(args), 0):
            return failing
        assert function is not None
        given = [self.argument(arg, kind_of(function, index)) for index, arg in enumerate(args)]
        match node.name:
            case "and" | "or":
                return short_circuit(node, given, node.name == "or")
            case "not":
                return negation(node, given[0])
            case "eq" | "ne" if len(given) == 2:
                constant = args[1] if isinstance(args[1], String) else None
                return comparison(node, shown, function, given[0], given[1], constant)
            case "call":
                given.insert(0, constantly(args[0], str(args[0])))
            case _:
                pass
        return plain_call(node, shown, function, given)

    def _call_with(self, node: Identifier, shown: Node, args: Sequence[Node]) -> Stage:
        """A call whose last argument comes down the pipeline."""
        function = self._functions.get(node.name)
        if failing := refusal(node, function, len(args), 1):
            return lambda state, dot, _: failing(state, dot)
        assert function is not None
        given = [self.argument(arg, kind_of(function, index)) for index, arg in enumerate(args)]
        last = kind_of(function, len(given))
        name = node.name
        decide = short_circuit(node, given, name == "or") if given and name in ("and", "or") else None

        def call(state: State, dot: Any, final: Any) -> Any:
            state.node = node
            if decide is not None:
                value = decide(state, dot)
                return value if is_true(value) is (name == "or") else final
            values = [value(state, dot) for value in given]
            values.append(accepted(state, final, last))
            if name == "call":
                values.insert(0, str(args[0]) if args else _source(final))
            return run_function(state, name, shown, function, values)

        return call


def _source(value: object) -> str:
    """What stands in a message for a value that came down a pipeline."""
    return value if isinstance(value, str) else f"<{go_type(value)} Value>"
