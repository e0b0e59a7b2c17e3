"""Executes a parsed template.

`Run` is one execution: it walks the tree with dot in hand and keeps the variables on a stack. Everything that a hostile
template could spend without end is counted (`account`). `_node` is the place that an error message names; it is set in
the same order as in Go, because messages are compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from modelstore.quoting import quote
from modelstore.template.account import DEFAULT_LIMITS, Account, Limits
from modelstore.template.errors import TemplateExecutionError
from modelstore.template.fields import member
from modelstore.template.functions import Function, Kind
from modelstore.template.nodes import (
    Action,
    Bool,
    Break,
    Call,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Identifier,
    If,
    Nil,
    Node,
    NodeList,
    Number,
    Pipe,
    Range,
    String,
    Text,
    Variable,
    With,
)
from modelstore.template.printing import show
from modelstore.template.values import Void, go_type, is_true


class _Break(Exception):
    """Leaves the innermost range."""


class _Continue(Exception):
    """Goes on with the next element of the innermost range."""


class _NoArgument:
    """Stands for 'nothing came down the pipeline'."""


_NONE: Final = _NoArgument()


class Run:
    """One execution over `root`. Use `execute` once."""

    def __init__(
        self,
        text: str,
        definitions: Mapping[str, NodeList],
        functions: Mapping[str, Function],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._text = text
        self._definitions = definitions
        self._functions = functions
        self._account = Account(limits)
        self._max_depth = limits.depth
        self._name = ""
        self._depth = 0
        self._variables: list[tuple[str, Any]] = []
        self._node: Node | None = None

    def execute(self, root: NodeList, values: Mapping[str, Any]) -> str:
        """The output. Raises `TemplateExecutionError`; what was written until then is lost."""
        self._variables = [("$", values)]
        try:
            self._walk(values, root)
        except RecursionError:
            self._node = None
            raise self._error("exceeded maximum template depth") from None
        return self._account.output

    # -- accounts -----------------------------------------------------------------------------------------------------

    def _error(self, message: str) -> TemplateExecutionError:
        if self._node is None:
            return TemplateExecutionError(f"template: {self._name}: {message}")
        before = self._text[: self._node.pos]
        line, start = 1 + before.count("\n"), before.rfind("\n") + 1
        column = len(before[start:].encode(errors="replace"))
        where = f":{line}:{column}: executing {quote(self._name)} at <{self._node}>"
        return TemplateExecutionError(f"template: {where}: {message}", line, column)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _walk(self, dot: Any, nodes: NodeList) -> None:
        for node in nodes:
            self._account.spend()
            self._node = node
            if isinstance(node, Text):
                self._account.write(node.text)
            elif isinstance(node, Action):
                value = self._pipe(dot, node.pipe)
                if not node.pipe.declared:
                    self._node = node
                    self._print(value)
            elif isinstance(node, If | With):
                self._branch(dot, node)
            elif isinstance(node, Range):
                self._range(dot, node)
            elif isinstance(node, Call):
                self._call_template(dot, node)
            else:
                assert isinstance(node, Break | Continue)
                raise _Break if isinstance(node, Break) else _Continue

    def _print(self, value: object) -> None:
        text = show(value)
        self._account.made(text)
        self._account.write(text)

    def _branch(self, dot: Any, node: If | With) -> None:
        mark = len(self._variables)
        value = self._pipe(dot, node.pipe)
        if is_true(value):
            self._walk(value if isinstance(node, With) else dot, node.body)
        else:
            self._walk(dot, node.otherwise)
        del self._variables[mark:]

    def _range(self, dot: Any, node: Range) -> None:
        outer = len(self._variables)
        value = self._pipe(dot, node.pipe)
        items = self._items(value, len(node.pipe.declared))
        if items:
            self._iterate(node, items)
        else:
            self._walk(dot, node.otherwise)
        del self._variables[outer:]

    def _items(self, value: object, declared: int) -> "_Items | None":
        """Indexes and elements, or None where there are none."""
        if isinstance(value, list):
            elements = cast("list[object]", value)
            return _Items(range(len(elements)), elements.__getitem__) if elements else None
        if isinstance(value, dict):
            members = cast("dict[str, object]", value)
            return _Items(sorted(members), members.__getitem__) if members else None
        if isinstance(value, int) and not isinstance(value, bool):
            if declared > 1:
                raise self._error(f"can't use {value} to iterate over more than one variable")
            return _Items(range(value), lambda index: index) if value > 0 else None
        if value is None or value is Void.VALUE:
            return None
        raise self._error(f"range can't iterate over {show(value)}")

    def _iterate(self, node: Range, items: "_Items") -> None:
        mark = len(self._variables)
        try:
            for index in items.indexes:
                self._account.spend()
                element = items.element(index)
                self._bind(node.pipe, mark, index, element)
                try:
                    self._walk(element, node.body)
                except _Continue:
                    pass
                del self._variables[mark:]
        except _Break:
            pass

    def _bind(self, pipe: Pipe, top: int, index: object, element: object) -> None:
        """Gives the variables of a range their values: one takes the element, of two the first takes the index."""
        bound = [element] if len(pipe.declared) == 1 else [index, element]
        for offset, variable in enumerate(pipe.declared):
            name = variable.names[0]
            if pipe.assigns:
                self._assign(name, bound[offset])
            else:
                self._variables[top - len(pipe.declared) + offset] = name, bound[offset]

    def _call_template(self, dot: Any, node: Call) -> None:
        body = self._definitions.get(node.name)
        if body is None:
            raise self._error(f"template {quote(node.name)} not defined")
        if self._depth >= self._max_depth:
            raise self._error(f"exceeded maximum template depth ({self._max_depth})")
        value = self._pipe(dot, node.pipe) if node.pipe else Void.VALUE
        outer = self._name, self._variables
        self._name, self._variables = node.name, [("$", value)]
        self._depth += 1
        self._walk(value, body)
        self._depth -= 1
        self._name, self._variables = outer

    # -- variables ----------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> int:
        for position in range(len(self._variables) - 1, -1, -1):
            if self._variables[position][0] == name:
                return position
        raise self._error(f"undefined variable: {name}")

    def _assign(self, name: str, value: object) -> None:
        self._variables[self._find(name)] = name, value

    # -- pipelines ----------------------------------------------------------------------------------------------------

    def _pipe(self, dot: Any, pipe: Pipe) -> Any:
        self._node = pipe
        value: Any = _NONE
        for command in pipe.commands:
            value = self._command(dot, command, value)
            if value is None:
                value = Void.VALUE
        for variable in pipe.declared:
            if pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self._variables.append((variable.names[0], value))
        return value

    def _command(self, dot: Any, command: Command, final: Any) -> Any:
        first, args = command.args[0], command.args
        if isinstance(first, Field | Chain | Variable):
            return self._path(dot, first, args, final)
        if isinstance(first, Identifier):
            return self._function(dot, first, command, args[1:], final)
        if isinstance(first, Pipe):
            self._refuse_arguments(args, final)
            return self._pipe(dot, first)
        self._node = first
        self._refuse_arguments(args, final)
        if isinstance(first, Nil):
            raise self._error("nil is not a command")
        return self._constant(dot, first)

    def _refuse_arguments(self, args: Sequence[Node], final: Any) -> None:
        if len(args) > 1 or final is not _NONE:
            shown = f"({args[0]})" if isinstance(args[0], Pipe) else str(args[0])
            raise self._error(f"can't give argument to non-function {shown}")

    def _constant(self, dot: Any, node: Node) -> Any:
        if isinstance(node, Dot):
            return dot
        if isinstance(node, String):
            return node.text
        assert isinstance(node, Bool | Number)
        return node.value

    # -- fields -------------------------------------------------------------------------------------------------------

    def _path(self, dot: Any, node: Field | Chain | Variable, args: Sequence[Node], final: Any) -> Any:
        """A chain of fields; the last one takes the arguments, if it is a method."""
        self._node = node
        names: tuple[str, ...] = node.names
        value = dot
        if isinstance(node, Variable):
            value = self._variables[self._find(names[0])][1]
            names = names[1:]
            if not names:
                self._refuse_arguments(args or (node,), final)
        elif isinstance(node, Chain):
            if isinstance(node.base, Nil):
                raise self._error(f"indirection through explicit nil in {node}")
            value = self._argument(dot, node.base, None)
        has_arguments = len(args) > 1 or final is not _NONE
        in_map = False
        for position, name in enumerate(names, 1):
            last = position == len(names)
            try:
                value, in_map = member(value, name, in_map, last and has_arguments)
            except ValueError as error:
                raise self._error(str(error)) from error
        return value

    # -- functions ----------------------------------------------------------------------------------------------------

    def _function(self, dot: Any, node: Identifier, shown: Node, args: Sequence[Node], final: Any) -> Any:
        self._node = node
        self._account.spend()
        name = node.name
        function = self._functions.get(name)
        if function is None:
            raise self._error(f"{quote(name)} is not a defined function")
        self._check_count(name, function, len(args), final is not _NONE)
        if name in ("and", "or"):
            return self._short_circuit(dot, name, args, final)
        given = [self._argument(dot, arg, _kind(function, index)) for index, arg in enumerate(args)]
        if final is not _NONE:
            given.append(self._accept(final, _kind(function, len(given))))
        if name == "call":
            given.insert(0, str(args[0]) if args else show(final))
        try:
            result = function.run(*given)
        except ValueError as error:
            self._node = shown
            raise self._error(f"error calling {name}: {error}") from error
        self._account.made(result)
        return result

    def _check_count(self, name: str, function: Function, count: int, has_final: bool) -> None:
        want, got = len(function.params), count + has_final
        if function.rest is not None and got < want:
            raise self._error(f"wrong number of args for {name}: want at least {want} got {count}")
        if function.rest is None and got != want:
            raise self._error(f"wrong number of args for {name}: want {want} got {got}")

    def _short_circuit(self, dot: Any, name: str, args: Sequence[Node], final: Any) -> Any:
        value: Any = Void.VALUE
        for arg in args:
            value = self._argument(dot, arg, Kind.VALUE)
            if is_true(value) == (name == "or"):
                return value
        return value if final is _NONE else final

    def _argument(self, dot: Any, node: Node, kind: Kind | None) -> Any:
        """An argument's value; `kind` None is the base of a chain."""
        self._node = node
        if isinstance(node, Nil):
            if kind is Kind.STRING:
                raise self._error("cannot assign nil to string")
            return None if kind is Kind.ANY else Void.VALUE
        if isinstance(node, Field | Chain | Variable):
            return self._accept(self._path(dot, node, (), _NONE), kind)
        if isinstance(node, Pipe):
            return self._accept(self._pipe(dot, node), kind)
        if isinstance(node, Identifier):
            return self._accept(self._function(dot, node, node, (), _NONE), kind)
        if isinstance(node, Dot):
            return self._accept(dot, kind)
        if kind is Kind.STRING and not isinstance(node, String):
            raise self._error(f"expected string; found {node}")
        return self._constant(dot, node)

    def _accept(self, value: Any, kind: Kind | None) -> Any:
        if kind is Kind.ANY:
            return None if value is Void.VALUE else value
        if kind is Kind.STRING and not isinstance(value, str):
            if value is Void.VALUE:
                raise self._error("invalid value; expected string")
            raise self._error(f"wrong type for value; expected string; got {go_type(value)}")
        return value


@dataclass(frozen=True, slots=True)
class _Items:
    indexes: Sequence[Any]
    element: Callable[[Any], Any]


def _kind(function: Function, index: int) -> Kind | None:
    return function.params[index] if index < len(function.params) else function.rest
