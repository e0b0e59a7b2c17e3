"""What a GGUF header holds, once it has been read and found sound (`gguf.py` reads it)."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from modelstore.errors import InvalidGGUF
from modelstore.ggml import file_type_name
from modelstore.ggufcursor import FIXED, FLOAT32, STRING, opened
from modelstore.numbers import float32

MAX_LISTED: Final = 1 << 22
"""Elements of all arrays together that are turned into lists."""
MAX_LISTED_BYTES: Final = 64 << 20
"""Bytes in the file of all arrays together that are turned into lists."""
QUANTIZATION_VERSION: Final = 2
"""Of the block formats in use since 2023; older ones cannot be loaded any more."""
_GLOBAL: Final = ("general.", "tokenizer.")
_SHOWN_ELSEWHERE: Final = frozenset({"general.name", "tokenizer.chat_template"})
_OTHER_PARTS: Final = ("a.", "mm.", "mtp.", "s.", "v.")
"""How names of tensors begin that see, hear or guess ahead."""
_BLOCK: Final = re.compile(r"blk\.([0-9]{1,9})\.")


@dataclass(frozen=True, slots=True)
class ArrayRef:
    """An array that was passed over: where it lies, and of what."""

    path: Path
    offset: int
    """Of the first element in the file."""
    count: int
    elem_type: int
    """A value type's number, see `ggufcursor.FIXED`; 8 is a string."""
    size: int
    """Bytes in the file."""

    def read(self) -> list[Any]:
        """The elements. Raises `InvalidGGUF` (for one too long to list too), `OSError` when the file is gone."""
        _check_listed([self])
        with opened(self.path) as cursor:
            cursor.seek(self.offset)
            if self.elem_type == STRING:
                return [cursor.string() for _ in repeat(None, self.count)]
            values = cursor.values(FIXED[self.elem_type], self.count)
        return [float32(value) for value in values] if self.elem_type == FLOAT32 else values


def _check_listed(arrays: Collection[ArrayRef]) -> None:
    count, size = sum(array.count for array in arrays), sum(array.size for array in arrays)
    if count > MAX_LISTED:
        raise InvalidGGUF(f"GGUF array size {count} exceeds maximum {MAX_LISTED}")
    if size > MAX_LISTED_BYTES:
        raise InvalidGGUF(f"GGUF arrays of {size} bytes exceed maximum {MAX_LISTED_BYTES}")


Value: TypeAlias = int | float | bool | str | ArrayRef


class Tensor(NamedTuple):
    """One entry of the tensor list."""

    name: str
    type: str
    """Name of the element type."""
    shape: tuple[int, ...]
    """In the file's order: the row length first."""
    offset: int
    """In the data section."""
    bytes: int
    type_id: int
    """ggml's number."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Split:
    """A file's place among the shards of one model."""

    number: int | None
    """From 0; None where the file does not say."""
    count: int


@dataclass(frozen=True, slots=True)
class Header:
    """Everything in front of the data.

    A float32 is the float that prints with the float32's shortest digits; `types` tells which values are.
    """

    path: Path
    version: int
    size: int
    """Bytes of the whole file."""
    kv: Mapping[str, Value]
    """Keys in the file's order."""
    types: Mapping[str, int]
    """Number of each value's type."""
    tensors: tuple[Tensor, ...]
    data_start: int
    alignment: int

    def get(self, key: str, default: Any = None) -> Any:
        """A value; keys but `general.…` and `tokenizer.…` are looked up under the architecture first."""
        if not key.startswith(_GLOBAL):
            found = self.kv.get(f"{self.architecture}.{key}")
            if found is not None:
                return found
        return self.kv.get(key, default)

    def integer(self, key: str, default: int = 0) -> int:
        """A value of any integer type; `default` where there is none or it is something else."""
        found = self.get(key)
        return found if isinstance(found, int) and not isinstance(found, bool) else default

    def text(self, key: str, default: str = "") -> str:
        """A string; `default` where there is none or it is something else."""
        found = self.get(key)
        return found if isinstance(found, str) else default

    @property
    def architecture(self) -> str:
        found = self.kv.get("general.architecture")
        return found if isinstance(found, str) else "unknown"

    @property
    def kind(self) -> str:
        """model, adapter, projector, mmproj, vocab or unknown."""
        return self.text("general.type", "unknown")

    @property
    def parameter_count(self) -> int:
        """Elements of all tensors, whatever the file itself claims."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """Name of the quantization that the file claims, or `unknown`."""
        return file_type_name(self.integer("general.file_type"))

    @property
    def matrix_type(self) -> str | None:
        """The type of all tensors with two dimensions or more, if they agree."""
        types = Counter(tensor.type for tensor in self.tensors if len(tensor.shape) > 1)
        return next(iter(types)) if len(types) == 1 else None

    @property
    def split(self) -> Split | None:
        """None for a file that stands alone."""
        count = self.integer("split.count")
        if count <= 1:
            return None
        number = self.integer("split.no", -1)
        return Split(number if number >= 0 else None, count)

    def metadata(self, verbose: bool = False) -> dict[str, Any]:
        """All values by sorted key, with the counted `general.parameter_count`, ready for JSON.

        An array is a list if `verbose`, else None, or [] when it is empty. NaN and infinities are None. If `verbose`,
        raises like `arrays`.
        """
        if verbose:
            _check_listed(self._references().values())
        members = {key: _listed(value, verbose) for key, value in self.kv.items()}
        members["general.parameter_count"] = self.parameter_count
        return dict(sorted(members.items()))

    def model_info(self, verbose: bool = False) -> dict[str, Any]:
        """`metadata` as it is shown for weights: without name and chat template, with a quantization version."""
        members = self.metadata(verbose)
        if self._is_text_only:
            members.setdefault("general.quantization_version", QUANTIZATION_VERSION)
        return {key: members[key] for key in sorted(members) if key not in _SHOWN_ELSEWHERE}

    def listed_tensors(self) -> list[Tensor]:
        """The tensors as they are shown for weights: by block and name."""
        return sorted(self.tensors, key=_place) if self._is_text_only else list(self.tensors)

    def arrays(self) -> dict[str, list[Any]]:
        """The arrays by key. Raises `InvalidGGUF` (for more than can be listed too), `OSError`."""
        references = self._references()
        _check_listed(references.values())
        return {key: array.read() for key, array in references.items()}

    def _references(self) -> dict[str, ArrayRef]:
        return {key: value for key, value in self.kv.items() if isinstance(value, ArrayRef)}

    @property
    def _is_text_only(self) -> bool:
        """Whether the reference would have rewritten the file, which sorts the tensors and adds the version."""
        return not any(tensor.name.startswith(_OTHER_PARTS) for tensor in self.tensors)


def _place(tensor: Tensor) -> tuple[int, str]:
    """What belongs to no block comes first."""
    block = _BLOCK.match(tensor.name)
    return int(block[1]) if block else -1, tensor.name


def _listed(value: Value, verbose: bool) -> Any:
    match value:
        case ArrayRef():
            return [_listed(item, verbose) for item in value.read()] if verbose else [] if value.count == 0 else None
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value
