"""A client's JSON Schema → one that the grammar compiler enforces as fully as it can.

errors.py        SchemaError, with the place as a JSON pointer
places.py        where schemas stand inside of a schema
check.py         is it well formed, and of a bearable size?
references.py    `$ref`: everything that leads somewhere, written so that the compiler finds it
closing.py       objects have the properties that are named, and no others
adapt.py         what the compiler does not know, in words that it does      (formats.py, patterns.py, disjoint.py)
ending.py        is there an end to what it describes?
relax.py         what to leave out of a schema that is refused, and where the fault is
"""

import json
from typing import Any, NamedTuple, NoReturn

from scheduler.runner.constrain.schema.adapt import Adapter
from scheduler.runner.constrain.schema.check import check, shown
from scheduler.runner.constrain.schema.closing import closed
from scheduler.runner.constrain.schema.ending import endless
from scheduler.runner.constrain.schema.errors import SchemaError
from scheduler.runner.constrain.schema.references import Document
from scheduler.runner.constrain.schema.relax import locate, relax

__all__ = ["Adapted", "SchemaError", "closed", "locate", "read", "relax"]


class Adapted(NamedTuple):
    """A schema for the compiler, and the keywords that it does not enforce, or not in full."""

    schema: Any
    ignored: set[str]


def read(source: str) -> Adapted:
    """The schema that a client has written. Raises `SchemaError`."""
    try:
        schema: Any = json.loads(source, parse_constant=_refuse)
    except SchemaError:
        raise
    except RecursionError:
        raise SchemaError((), "nested too deeply") from None
    except json.JSONDecodeError as error:
        raise SchemaError((), str(error)) from None
    except ValueError:
        raise SchemaError((), "a number has too many digits") from None
    check(schema)
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": [0], "type": "string"}
    document = Document(schema)
    document.direct()
    adapter = Adapter(document)
    adapted = adapter.adapt(closed(document.root))
    if endless(adapted):
        raise SchemaError((), "nothing can satisfy it: what it demands contains itself, without an end")
    return Adapted(adapted, adapter.ignored)


def _refuse(constant: str) -> NoReturn:
    raise SchemaError((), f"{shown(constant)} is no JSON")
