"""Weights cut into several GGUF files, as llama.cpp's splitter names and marks them."""

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from modelstore.digest import Digest
from modelstore.errors import CreateError
from modelstore.gguf import Header, Split
from modelstore.quoting import quote

Parsed: TypeAlias = tuple[str, Digest, Header]
"""A file's name in the request, its blob and its header."""

_BLOB_NAME: Final = re.compile(r"(?:.*/)?sha256-[0-9a-f]{64}")
_FILE_NAME: Final = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\.gguf")


def assemble(files: Sequence[Parsed]) -> list[list[Parsed]]:
    """Groups of files that make one component each, shards in split order; the order of the groups is that of `files`.

    Raises CreateError when shards are missing, doubled, or named otherwise than they are marked.
    """
    groups: dict[str, list[Parsed]] = {}
    counts: dict[str, int] = {}
    for file in files:
        key, _, header = file
        group = key
        if header.split is not None:
            prefix = _prefix(key, header.split)
            group = f"{prefix}-of-{header.split.count}"
            counts[group] = header.split.count
        groups.setdefault(group, []).append(file)
    return [_ordered(shards, counts[group]) if group in counts else shards for group, shards in groups.items()]


def _prefix(key: str, split: Split) -> str:
    """The part of a shard's name that all shards share.

    Blobs of a store, as the Modelfile of a split model names them, go by what is in them alone.
    """
    what = f"split GGUF {quote(key)}"
    if _BLOB_NAME.fullmatch(key) and split.number is not None:
        return "blobs"
    found = _FILE_NAME.fullmatch(key)
    if found is None or int(found[2]) < 1:
        raise CreateError(f"{what} must use llama.cpp split filename pattern")
    index, count = int(found[2]) - 1, int(found[3])
    if count != split.count:
        raise CreateError(f"{what} filename count {count} does not match metadata count {split.count}")
    if split.number is None:
        raise CreateError(f"{what} is missing split.no metadata")
    if index != split.number:
        raise CreateError(f"{what} filename index {index} does not match metadata index {split.number}")
    return found[1]


def _ordered(shards: list[Parsed], count: int) -> list[Parsed]:
    first = shards[0][0]
    by_number: dict[int, Parsed] = {}
    for shard in shards:
        split = shard[2].split
        assert split is not None
        assert split.number is not None
        if split.number >= count:
            raise CreateError(f"split GGUF {quote(shard[0])} has invalid shard index {split.number}")
        if split.number in by_number:
            raise CreateError(f"split GGUF has duplicate shard index {split.number}")
        by_number[split.number] = shard
    if 0 not in by_number:
        raise CreateError("split GGUF is missing first shard")
    if len(by_number) != count:
        raise CreateError(f"split GGUF {quote(first)} has {len(by_number)} shards, expected {count}")
    ordered = [by_number[number] for number in range(count)]
    _check_tensors(ordered)
    return ordered


def _check_tensors(shards: list[Parsed]) -> None:
    """Every tensor lies in one shard only, and none is missing where the first says how many there are."""
    seen: set[str] = set()
    for key, _, header in shards:
        for tensor in header.tensors:
            if tensor.name in seen:
                raise CreateError(f"split GGUF {quote(key)} has tensor {quote(tensor.name)}, as another shard has")
            seen.add(tensor.name)
    key, _, first = shards[0]
    stated = first.integer("split.tensors.count", len(seen))
    if stated != len(seen):
        raise CreateError(f"split GGUF {quote(key)} states {stated} tensors, its shards have {len(seen)}")
