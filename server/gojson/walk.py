"""What all decoders share: where they stand in a text, and how they complain.

A wrong type is a complaint: the first one is kept and decoding goes on, because a later fault may be of the other sort,
that of Go's UnmarshalJSON methods (`types.Custom`), which ends the decoding at once and outranks the complaint.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from server.gojson.scan import Number

T_co = TypeVar("T_co", covariant=True)
Schema: TypeAlias = dict[str, Any]


class DecodeError(Exception):
    """The body cannot be used; the text is the answer to the client.

    DecodeError
    └── Mismatch    a value of the wrong type
    """


class Mismatch(DecodeError):
    """`kind` was found where Go's type `go` belongs, in member `path` of Go's struct `struct`."""

    def __init__(self, kind: str, go: str, struct: str = "", path: str = "") -> None:
        where = f"struct field {struct}.{path}" if struct or path else "value"
        super().__init__(f"json: cannot unmarshal {kind} into Go {where} of type {go}")
        self.kind, self.go, self.struct, self.path = kind, go, struct, path


class Walk:
    """Where the decoder stands in the text, and the first complaint so far."""

    __slots__ = ("complaint", "path", "struct", "text_of")

    def __init__(self, text_of: Callable[[str], str] | None = None) -> None:
        self.struct = ""
        self.path: list[str] = []
        self.complaint: DecodeError | None = None
        self.text_of = text_of
        """The text of a member of the outermost object."""

    def complain(self, error: DecodeError) -> None:
        """Keep the error if it is the first."""
        if self.complaint is None:
            self.complaint = error

    def mismatch(self, value: object, go: str, *, exact: bool = False) -> None:
        """Complain that `value` does not fit Go's type `go`; `exact` repeats the digits of a number."""
        kind = kind_of(value)
        if exact and isinstance(value, Number):
            kind = f"{kind} {value.text}"
        self.complain(Mismatch(kind, go, self.struct, ".".join(self.path)))


class Decoder(Protocol[T_co]):
    """Makes a value of one type. `decode` never sees null, unless `takes_null`; `zero` is what null means in a list."""

    go: str
    takes_null: bool

    def decode(self, value: Any, walk: Walk) -> T_co: ...

    def zero(self) -> T_co: ...

    def schema(self) -> Schema:
        """What it takes besides null, as JSON Schema in which a decoder stands for what that one takes."""
        ...


def kind_of(value: object) -> str:
    """JSON's name for the type of `value`."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"
