"""The Jinja that a GGUF's chat template runs in: sandboxed, without ways to change what it is given, and bounded.

Jinja itself bounds neither loops nor the size of what expressions make. Here everything has its price (`budget`), and
what would be too long is refused before it is made: `_parse` rewrites the template so that each turn of a loop, each
comparison, slice and concatenation asks first, `call` does so for methods and functions, `filters` for filters.
Undefined values may be asked for members, as the reference's engine allows; what belongs to Python and not to the
values may not be.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, NoReturn, cast

from jinja2 import ChainableUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from server.prompt import filters, methods
from server.prompt.budget import MAX_TEXT, TooMuch, begin, end, pay_items, pay_result, pay_text, spend, weigh
from server.prompt.errors import BrokenTemplate, TemplateRefusal
from server.prompt.filters import MAX_PLACES, to_json

__all__ = ["MAX_SOURCE", "Program", "to_json"]

MAX_SOURCE: Final = 1 << 17
"""Characters of a chat template itself; published ones have up to 30,000."""
_CALL: Final = 3
"""Steps of calling a function, a macro or a method."""
_MAX_WORDS: Final = 1 << 12
"""Characters of a refusal or a format of dates."""

# -- what a template may call -----------------------------------------------------------------------------------------


def _raise_exception(message: object = "") -> NoReturn:
    weigh(message)
    raise TemplateRefusal(str(message)[:_MAX_WORDS])


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form[:_MAX_WORDS])


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    pay_items(len(numbers))
    return numbers


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    """A function, because the type would lend its methods for changing other dictionaries."""
    weigh([args, kwargs])
    return dict(*args, **kwargs)


class _Namespace(Namespace):
    """May hold itself, so its members are not printed."""

    def __repr__(self) -> str:
        return "<Namespace>"


def _namespace(*args: Any, **kwargs: Any) -> _Namespace:
    weigh(args)
    return _Namespace(*args, **kwargs)


@pass_context
def _step(context: Context, value: object) -> str:
    """What every loop body and macro begins with. A filter, because filters are called directly, and one that takes
    the context, because others are computed when the template is compiled. The value is not looked at: any template
    could write the filter's name in `map`, and none may earn steps."""
    spend()
    return ""


@pass_context
def _weighed(context: Context, value: Any) -> Any:
    """The value, a walk through it paid for."""
    if value.__class__ is not str or len(value) > MAX_PLACES:
        weigh(value)
    return value


# -- the environment --------------------------------------------------------------------------------------------------


class _Generation(Extension):
    """`{% generation %}` marks the model's words for training; here it is only looked through."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_STEP: Final = "one step"
_WEIGHED: Final = "weighed"
_SLICED: Final = "sliced"
_MEMBERSHIP: Final = ("in", "notin")


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _measure(tree: nodes.Template) -> None:
    """Rewrites what Jinja would do without asking."""
    for loop in list(tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))):
        step = _filtered(nodes.Const(1, lineno=loop.lineno), _STEP)
        loop.body.insert(0, nodes.ExprStmt(step, lineno=loop.lineno))
        if isinstance(loop, nodes.For) and loop.test is not None:
            loop.test = nodes.Or(step, loop.test, lineno=loop.lineno)
    for concat in list(tree.find_all(nodes.Concat)):
        # `a ~ b ~ c` is no operator that can be intercepted
        concat.nodes = [_filtered(nodes.List(concat.nodes, lineno=concat.lineno), "join")]
    for member in list(tree.find_all(nodes.Getitem)):
        if isinstance(member.arg, nodes.Slice):
            member.node = _filtered(member.node, _SLICED)
    for pair in list(tree.find_all(nodes.Pair)):
        if not isinstance(pair.key, nodes.Const):
            pair.key = _filtered(pair.key, _WEIGHED)
    for comparison in list(tree.find_all(nodes.Compare)):
        _measure_comparison(comparison)


def _measure_comparison(comparison: nodes.Compare) -> None:
    """A text in the template bounds what it is compared with, but not what it is looked for in."""
    sides = [comparison.expr, *(operand.expr for operand in comparison.ops)]
    looked_for = any(operand.op in _MEMBERSHIP for operand in comparison.ops)
    if not looked_for and any(isinstance(side, nodes.Const) for side in sides) and len(sides) == 2:
        return
    if not isinstance(comparison.expr, nodes.Const):
        comparison.expr = _filtered(comparison.expr, _WEIGHED)
    for operand in comparison.ops:
        if not isinstance(operand.expr, nodes.Const):
            operand.expr = _filtered(operand.expr, _WEIGHED)


def _sliced(value: Any) -> Any:
    """The value, a copy of which is about to be made."""
    if isinstance(value, str):
        pay_text(len(value))
    elif isinstance(value, list | tuple):
        pay_items(len(cast("list[object]", value)))
    return cast("Any", value)


def _printable(value: Any) -> Any:
    """The value, after paying for its text."""
    if not isinstance(value, str):
        pay_text(weigh(value))
    return value


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """What macros, calls and blocks of `set` end with."""
        texts = list(pieces)
        pay_text(sum(map(len, texts)))
        return "".join(texts)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _measure(tree)
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    size = len(cast("list[object]", many)) * max(times, 0)
                    pay_text(size) if isinstance(many, str) else pay_items(size)
        elif operator == "**" and isinstance(right, int | float) and abs(right) > MAX_PLACES:
            raise TooMuch(f"a power of {right}")
        elif operator == "%" and isinstance(left, str):
            return pay_result(filters.percent(left, right))
        return pay_result(super().call_binop(context, operator, left, right))

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, tuple):
            weigh(cast("Any", argument))  # dictionaries hash all of it
        return super().getitem(obj, cast("Any", argument))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        spend(_CALL)
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            args = tuple(map(filters.listed, args))
            methods.pay(owner, getattr(obj, "__name__", ""), args, kwargs)
        elif isinstance(owner, list | tuple | Mapping | LoopContext):
            looks = isinstance(owner, list | tuple)
            weigh([cast("Any", owner), args] if looks else args)
        return pay_result(super().call(context, obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and callable(value):
            return attr in methods.NAMES
        return not isinstance(obj, int | float) and super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        kind = cast("type[object]", type(obj)).__name__
        raise SecurityError(f"access to attribute {attribute!r} of {kind!r} object is unsafe.")

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        form = str(value.__self__)
        if _NESTED.search(form.replace("{{", "").replace("}}", "")) or _WIDE.search(form):
            raise TooMuch("a format with a wide field")

        @wraps(wrapped)
        def run(*args: Any, **kwargs: Any) -> str:
            pay_text(len(form) + form.count("{") * (weigh(args) + weigh(kwargs) + _WIDEST))
            return wrapped(*args, **kwargs)

        return run


_WIDE: Final = re.compile(r"\{[^{}]*[0-9]{4}")
_WIDEST: Final = 1000
_NESTED: Final = re.compile(r"\{[^{}]*\{")
"""Fields inside fields, which may hold any width."""


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=ChainableUndefined,
        finalize=_printable,
        extensions=[LoopControlExtension, _Generation],
    )
    environment.filters.clear()
    known = cast("dict[str, Callable[..., Any]]", environment.filters)
    known.update({**filters.filters(), _STEP: _step, _WEIGHED: _weighed, _SLICED: _sliced})
    environment.tests = filters.tests()
    functions = cast("dict[str, Callable[..., Any]]", environment.globals)
    functions.pop("lipsum")
    functions.update(raise_exception=_raise_exception, strftime_now=_strftime_now, range=_range)
    functions.update(dict=_dict, namespace=_namespace)
    return environment


_ENVIRONMENT: Final = _environment()


class Program:
    """A compiled chat template."""

    def __init__(self, text: str) -> None:
        """Raises `BrokenTemplate`."""
        if len(text) > MAX_SOURCE:
            raise BrokenTemplate(f"the chat template exceeds {MAX_SOURCE} characters")
        try:
            self._template = _ENVIRONMENT.from_string(text)
        except Exception as error:  # as many kinds as a text can be wrong
            raise _broken("is not valid", error) from error

    def run(self, values: Mapping[str, Any]) -> str:
        """The output. Raises `TemplateRefusal` or `BrokenTemplate`."""
        token = begin()
        size, pieces = 0, list[str]()
        try:
            for piece in self._template.generate(values):
                size += len(piece)
                if size > MAX_TEXT:
                    raise TooMuch(f"the prompt exceeds {MAX_TEXT} characters")
                pieces.append(piece)
        except TemplateRefusal:
            raise
        except Exception as error:  # a template is a program: anything may come of it
            raise _broken("fails", error) from error
        finally:
            end(token)
        return "".join(pieces)


def _broken(how: str, error: Exception) -> BrokenTemplate:
    reason = type(error).__name__ if isinstance(error, RecursionError | MemoryError) else str(error)[:_MAX_WORDS]
    return BrokenTemplate(f"the chat template {how}: {reason}")
