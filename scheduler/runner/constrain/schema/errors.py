"""What can be wrong with a JSON Schema.

ValueError
└── SchemaError(place, reason)      malformed, or nothing can satisfy it
"""

from collections.abc import Sequence

Place = tuple[str | int, ...]
"""Keys and indices that lead from the root of a document to a value."""


def pointer(place: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a place, as a fragment: `#/properties/a`."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


class SchemaError(ValueError):
    """The schema cannot be served; `place` says where."""

    def __init__(self, place: Sequence[str | int], reason: str) -> None:
        super().__init__(f"invalid JSON schema at {pointer(place)}: {reason}")
        self.place: Place = tuple(place)
        self.reason = reason
