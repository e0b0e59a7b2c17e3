"""SHA-256 digests: the names of blobs."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelstore.errors import InvalidDigest

CHUNK: Final = 1 << 20
"""Bytes read at once when a file is hashed."""

_WRITTEN: Final = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest; `hex` is 64 lower-case digits. Raises `InvalidDigest`."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise InvalidDigest(self.hex)

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """`sha256:` or `sha256-` and 64 hex digits of either case; nothing else. Raises `InvalidDigest`."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise InvalidDigest(text)
        return cls(found[1].lower())

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """Digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes]) -> "Digest":
        """Digest of the concatenation."""
        state = hashlib.sha256()
        for chunk in chunks:
            state.update(chunk)
        return cls(state.hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> "Digest":
        """Digest of a file's content, read in pieces; a gigabyte takes about a second, so not on an event loop."""
        with path.open("rb", buffering=0) as file:
            return cls.of_chunks(iter(lambda: file.read(CHUNK), b""))

    @property
    def short12(self) -> str:
        """The first 12 hex digits."""
        return self.hex[:12]

    @property
    def file_name(self) -> str:
        """`sha256-<hex>`."""
        return f"sha256-{self.hex}"

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
