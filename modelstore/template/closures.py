"""The closures that expressions are made of: values of constants, variables, fields; calls of functions."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from modelstore.quoting import quote
from modelstore.template.functions import Function, Kind
from modelstore.template.lookup import getters, path
from modelstore.template.nodes import Identifier, Node, String, Variable
from modelstore.template.state import UNDECLARED, State
from modelstore.template.values import Record, Void, go_type, is_true

Value: TypeAlias = Callable[[State, Any], Any]
"""From state and dot to a value."""
Stage: TypeAlias = Callable[[State, Any, Any], Any]
"""A command that takes what came down the pipeline, too."""

VOID: Final = Void.VALUE


def at(node: Node, value: Value) -> Value:
    """The value, with the place set before."""

    def placed(state: State, dot: Any) -> Any:
        state.node = node
        return value(state, dot)

    return placed


def void_for_nil(value: Value) -> Value:
    def normal(state: State, dot: Any) -> Any:
        result = value(state, dot)
        return VOID if result is None else result

    return normal


def declaring(names: Sequence[str], value: Value) -> Value:
    if len(names) == 1:
        name = names[0]

        def declare_one(state: State, dot: Any) -> Any:
            result = value(state, dot)
            variables = state.variables
            state.shadowed.append((name, variables.get(name, UNDECLARED)))
            variables[name] = result
            return result

        return declare_one

    def declare(state: State, dot: Any) -> Any:
        result = value(state, dot)
        for name in names:
            state.declare(name, result)
        return result

    return declare


def assigning(names: Sequence[str], value: Value) -> Value:
    def assign(state: State, dot: Any) -> Any:
        result = value(state, dot)
        for name in names:
            state.assign(name, result)
        return result

    return assign


def fails(message: str) -> Value:
    def fail(state: State, dot: Any) -> Any:
        raise state.error(message)

    return fail


def constantly(node: Node, constant: Any) -> Value:
    def value(state: State, dot: Any) -> Any:
        state.node = node
        return constant

    return value


def dot_itself(state: State, dot: Any) -> Any:
    """Dot, where the place was set before."""
    return dot


def variable_value(node: Variable) -> Value:
    name = node.names[0]

    def variable(state: State, dot: Any) -> Any:
        state.node = node
        try:
            return state.variables[name]
        except KeyError:
            raise state.error(f"undefined variable: {name}") from None

    return variable


def field_value(node: Node, names: Sequence[str], base: Value, has_arguments: bool) -> Value:
    """Fields of a base. The short ways are tried first; any mistake is found on the long one."""
    short = [getters(name) for name in names]
    first = short[0]

    def long_way(state: State, value: Any) -> Any:
        try:
            return path(value, names, has_arguments)
        except ValueError as error:
            raise state.error(str(error)) from error

    def of_dot(state: State, dot: Any) -> Any:
        state.node = node
        kind: type = dot.__class__
        getter = first.get(kind)
        return long_way(state, dot) if getter is None else getter(dot)

    def of_base(state: State, dot: Any) -> Any:
        state.node = node
        start = value = base(state, dot)
        for ways in short:
            kind: type = value.__class__
            getter = ways.get(kind)
            if getter is None:
                return long_way(state, start)
            value = getter(value)
        return value

    if has_arguments:
        return lambda state, dot: long_way(state, at(node, base)(state, dot))
    return of_dot if base is dot_itself and len(names) == 1 else of_base


def accepting(value: Value, kind: Kind | None) -> Value:
    if kind not in (Kind.ANY, Kind.STRING):
        return value
    return lambda state, dot: accepted(state, value(state, dot), kind)


def accepted(state: State, value: Any, kind: Kind | None) -> Any:
    if kind is Kind.ANY:
        return None if value is VOID else value
    if kind is Kind.STRING and not isinstance(value, str):
        if value is VOID:
            raise state.error("invalid value; expected string")
        raise state.error(f"wrong type for value; expected string; got {go_type(value)}")
    return value


# -- calls ------------------------------------------------------------------------------------------------------------


def refusal(node: Identifier, function: Function | None, given: int, final: int) -> Value | None:
    """What fails in place of a call that cannot be made."""
    if function is None:
        return at(node, fails(f"{quote(node.name)} is not a defined function"))
    want, got = len(function.params), given + final
    if function.rest is not None and got < want:
        return at(node, fails(f"wrong number of args for {node.name}: want at least {want} got {given}"))
    if function.rest is None and got != want:
        return at(node, fails(f"wrong number of args for {node.name}: want {want} got {got}"))
    return None


def kind_of(function: Function, index: int) -> Kind | None:
    return function.params[index] if index < len(function.params) else function.rest


def short_circuit(node: Identifier, given: Sequence[Value], stop: bool) -> Value:
    """The first argument whose truth is `stop`, else the last."""
    unstopped = not stop

    def decide(state: State, dot: Any) -> Any:
        state.node = node
        value: Any = VOID
        for argument in given:
            value = argument(state, dot)
            if value is stop or (value is not unstopped and is_true(value) is stop):
                break
        return value

    return decide


def negation(node: Identifier, given: Value) -> Value:
    def negate(state: State, dot: Any) -> bool:
        state.node = node
        return not is_true(given(state, dot))

    return negate


def comparison(
    node: Identifier, shown: Node, function: Function, left: Value, right: Value, constant: String | None
) -> Value:
    """`eq` and `ne` of two values; most often of a string and a constant."""
    name = node.name
    wanted = name == "eq"

    def compare(state: State, dot: Any) -> Any:
        state.node = node
        first, second = left(state, dot), right(state, dot)
        kind: type = first.__class__
        if kind is type(second) and (kind is int or kind is bool or (kind is str and len(first) < _SHORT)):
            return (first == second) is wanted
        return run_function(state, name, shown, function, (first, second))

    if constant is None or len(constant.text) > _SHORT:
        return compare
    text = constant.text

    def compare_text(state: State, dot: Any) -> Any:
        state.node = node
        first = left(state, dot)
        state.node = constant
        if type(first) is str:
            return (first == text) is wanted
        return run_function(state, name, shown, function, (first, text))

    return compare_text


_SHORT: Final = 1024
"""Shorter texts are read without being charged for."""
_TINY: Final = 64
"""Shorter texts are made without being charged for."""
_HOLDERS: Final = (list, dict, Record)


def plain_call(node: Identifier, shown: Node, function: Function, given: Sequence[Value]) -> Value:
    name = node.name

    def call(state: State, dot: Any) -> Any:
        state.node = node
        return run_function(state, name, shown, function, [value(state, dot) for value in given])

    return call


def run_function(state: State, name: str, place: Node, function: Function, given: Sequence[Any]) -> Any:
    state.steps -= 1
    if state.steps < 0:
        state.spend(0)
    for value in given:
        if type(value) is str and len(value) >= _SHORT:
            state.charge(value)
    try:
        result = function.run(*given)
    except ValueError as error:
        state.node = place
        raise state.error(f"error calling {name}: {error}") from error
    kind: type = result.__class__
    if kind is str:
        if len(result) >= _TINY:
            state.charge(result, shown=any(isinstance(value, _HOLDERS) for value in given))
    elif kind is not bool and kind is not int:
        state.charge(result)
    return result


def is_plain(node: Node) -> bool:
    """Whether it is a variable without fields, which takes no arguments."""
    return isinstance(node, Variable) and len(node.names) == 1
