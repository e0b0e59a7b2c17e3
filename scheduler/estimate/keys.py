"""Counts under the keys of a header."""

from typing import Any, Final

from modelstore.ggufheader import ArrayRef, Header

_MOST: Final = 4096
"""Elements of an array that is read: no list of one for each layer is longer."""


class Keys:
    """Values of an architecture's keys. What is no count is 0.

    Each method raises `InvalidGGUF` or `OSError` when an array cannot be read.
    """

    def __init__(self, header: Header) -> None:
        self._kv = header.kv
        self._read: dict[str, list[int]] = {}
        self.architecture = str(header.kv.get("general.architecture", ""))

    def has(self, key: str) -> bool:
        """Whether the file says anything."""
        return f"{self.architecture}.{key}" in self._kv

    def number(self, key: str) -> int:
        """One count; of an array, the largest."""
        return max(self.each(key, 1), default=0)

    def each(self, key: str, count: int, *, default: list[int] | None = None) -> list[int]:
        """A count for each of so many layers at least; `default` where there is no such key."""
        value = self._kv.get(f"{self.architecture}.{key}")
        if value is None and default is not None:
            return default
        if not isinstance(value, ArrayRef):
            return [_whole(value)] * count
        numbers = self._elements(key, value)
        return numbers + [0] * (count - len(numbers))

    def listed(self, key: str) -> list[int] | None:
        """The elements of an array; None where it is none."""
        value = self._kv.get(f"{self.architecture}.{key}")
        return self._elements(key, value) if isinstance(value, ArrayRef) else None

    def size(self, key: str) -> int:
        """How many elements an array has, whatever the architecture."""
        value = self._kv.get(key)
        return value.count if isinstance(value, ArrayRef) else 0

    def _elements(self, key: str, array: ArrayRef) -> list[int]:
        if key not in self._read:
            self._read[key] = [_whole(one) for one in array.read()] if array.count <= _MOST else []
        return self._read[key]


def _whole(value: Any) -> int:
    return max(int(value), 0) if isinstance(value, int) else 0
