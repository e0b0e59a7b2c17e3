"""The Jinja that a GGUF's chat template runs in: sandboxed, without ways to change what it is given, and bounded.

Jinja itself bounds neither loops nor the size of what expressions make. Here every loop body and macro call costs a
step, every text that an operator, a filter or a method makes costs by its length, and what would be too long is refused
before it is made. Filters that only serve to lay out pages are gone. Undefined values may be asked for members, as the
reference's engine allows.
"""

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, NoReturn, cast

from jinja2 import ChainableUndefined, Environment, TemplateError, nodes, pass_context, pass_environment
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.filters import make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.prompt.errors import BrokenTemplate, TemplateRefusal

MAX_STEPS: Final = 1_000_000
MAX_TEXT: Final = 1 << 24
"""Characters, of the prompt and of any one text on the way."""
MAX_ITEMS: Final = 1 << 20
MAX_BITS: Final = 4096
MAX_SOURCE: Final = 1 << 20
"""Characters of a chat template itself."""
_TEXT_PER_STEP: Final = 256


class TooMuch(SecurityError):
    """A template exceeds its limits."""


@dataclass(slots=True)
class Budget:
    """What is left of one rendering."""

    steps: int = MAX_STEPS

    def spend(self, steps: int = 1) -> str:
        """Takes steps off; the empty text is what a template sees of it."""
        self.steps -= steps
        if self.steps < 0:
            raise TooMuch(f"the chat template takes more than {MAX_STEPS} steps")
        return ""


_budget: ContextVar[Budget] = ContextVar("budget")


def _spend(steps: int = 1) -> str:
    return _budget.get().spend(steps)


def _check_size(size: int, limit: int = MAX_TEXT) -> None:
    if size > limit:
        raise TooMuch(f"the chat template makes a value of {size} elements")
    _spend(size // _TEXT_PER_STEP)


def _sized(value: Any) -> Any:
    if isinstance(value, str):
        _check_size(len(value))
    elif isinstance(value, list | tuple):
        _check_size(len(cast("list[object]", value)), MAX_ITEMS)
        return cast("Any", value)
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise TooMuch(f"the chat template makes a number of {value.bit_length()} bits")
    return value


def _measured(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, its results checked; keeps the marks by which Jinja knows what to pass."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return _sized(function(*args, **kwargs))

    return run


# -- what a template may call -----------------------------------------------------------------------------------------


def _raise_exception(message: object) -> NoReturn:
    raise TemplateRefusal(str(message))


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    _check_size(len(numbers), MAX_ITEMS)
    _spend(len(numbers))
    return numbers


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as Hugging Face's templates expect it: blanks after commas and colons, order kept, no escapes for HTML."""
    if isinstance(indent, int) and indent > 64:
        raise TooMuch(f"an indent of {indent}")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@pass_context
def _step(context: Context, steps: int) -> str:
    """What every loop body and macro begins with. A filter, because filters are called directly, and one that takes
    the context, because others are computed when the template is compiled."""
    return _spend(steps)


@pass_environment
def _join(environment: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """Jinja's `join`, its result bounded."""
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    items = [str(item) for item in value]
    _check_size(sum(map(len, items)) + len(items) * len(str(d)))
    return str(d).join(items)


def _replace(text: object, old: object, new: object, count: int | None = None) -> str:
    """Jinja's `replace`, its result bounded."""
    source, was, becomes = str(text), str(old), str(new)
    _check_replace(source, was, becomes)
    return source.replace(was, becomes, -1 if count is None else count)


def _check_replace(text: str, old: str, new: str) -> None:
    _check_size(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


_UNUSED_FILTERS: Final = (
    *("batch", "center", "filesizeformat", "forceescape", "format", "pprint", "random", "slice", "striptags"),
    *("truncate", "urlize", "wordwrap", "xmlattr"),
)


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's `indent`, its result bounded."""
    margin = width if isinstance(width, str) else " " * min(width, 256)
    lines = str(text).split("\n")
    _check_size(len(text) + len(lines) * len(margin))
    shown = [margin + line if line or blank else line for line in lines]
    return "\n".join(shown if first else [lines[0], *shown[1:]])


_PADDING: Final = ("center", "ljust", "rjust", "zfill", "expandtabs")


def _check_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    """Refuses a call of a string's method whose result would be too long."""
    if name in _PADDING:
        _check_size(len(text) * 8 + (args[0] if args and isinstance(args[0], int) else 0))
    elif name == "replace" and len(args) > 1:
        _check_replace(text, str(args[0]), str(args[1]))
    elif name == "join" and args:
        items = list(cast("Iterable[object]", args[0]))
        _check_size(sum(len(str(item)) for item in items) + len(items) * len(text))


# -- the environment --------------------------------------------------------------------------------------------------


class _Generation(Extension):
    """`{% generation %}` marks the model's words for training; here it is only looked through."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_STEP: Final = "one step"
"""No name that a template could write."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
            step = nodes.Filter(nodes.Const(1), _STEP, [], [], None, None, lineno=loop.lineno)
            loop.body.insert(0, nodes.ExprStmt(step, lineno=loop.lineno))
        for concat in list(tree.find_all(nodes.Concat)):
            self._bound(concat)
        tree.set_environment(self)
        return tree

    @staticmethod
    def _bound(concat: nodes.Concat) -> None:
        """Sends `a ~ b ~ c` through `join`, because it is no operator that can be intercepted."""
        pieces = nodes.List(concat.nodes, lineno=concat.lineno)
        concat.nodes = [nodes.Filter(pieces, "join", [], [], None, None, lineno=concat.lineno)]

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    limit = MAX_TEXT if isinstance(many, str) else MAX_ITEMS
                    _check_size(len(cast("list[object]", many)) * max(times, 0), limit)
        elif operator == "**" and isinstance(right, int | float) and abs(right) > 64:
            raise TooMuch(f"a power of {right}")
        elif operator == "%" and isinstance(left, str):
            raise TooMuch("text formatting with %")
        return _sized(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            _check_method(owner, getattr(obj, "__name__", ""), args)
        return _sized(super().call(context, obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and _WIDE.search(str(value.__self__)):
            raise TooMuch("a format with a wide field")
        return wrapped


_WIDE: Final = re.compile(r"[0-9]{4}|\{[^{}]*\{")
"""Widths of four digits, and fields inside fields, which may hold any width."""


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=ChainableUndefined,
        extensions=[LoopControlExtension, _Generation],
    )
    for name in _UNUSED_FILTERS:
        environment.filters.pop(name, None)
    filters = cast("dict[str, Callable[..., Any]]", environment.filters)
    filters.update(tojson=to_json, join=_join, replace=_replace, indent=_indent)
    filters.update({name: _measured(function) for name, function in filters.items()})
    filters[_STEP] = _step
    functions = cast("dict[str, Callable[..., Any]]", environment.globals)
    functions.update(raise_exception=_raise_exception, strftime_now=_strftime_now, range=_range)
    for name in ("lipsum", "cycler", "joiner"):
        environment.globals.pop(name, None)
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
        except (TemplateError, RecursionError, SyntaxError) as error:
            raise BrokenTemplate(f"the chat template is not valid: {error}") from error

    def run(self, values: Mapping[str, Any]) -> str:
        """The output. Raises `TemplateRefusal` or `BrokenTemplate`."""
        token = _budget.set(Budget())
        size, pieces = 0, list[str]()
        try:
            for piece in self._template.generate(values):
                size += len(piece)
                if size > MAX_TEXT:
                    raise TooMuch(f"the prompt exceeds {MAX_TEXT} characters")
                pieces.append(piece)
        except TemplateRefusal:
            raise
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise BrokenTemplate(f"the chat template fails: {error}") from error
        except (RecursionError, MemoryError) as error:
            raise BrokenTemplate(f"the chat template fails: {type(error).__name__}") from error
        finally:
            _budget.reset(token)
        return "".join(pieces)
