"""requirements.lock: the pinned packages, with the one that we compile ourselves set apart."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import BadLock

COMPILED: Final = "llama-cpp-python"
_PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")


@dataclass(frozen=True, slots=True)
class Lock:
    compiled: str
    """The entry of llama-cpp-python in pip's notation, with the SHA-256 of its source."""
    version: str
    """Of llama-cpp-python."""
    rest: str
    """All other entries."""


def read(path: Path) -> Lock:
    """Raises BadLock when the file is missing or does not pin what we compile."""
    try:
        text = path.read_text()
    except OSError as error:
        raise BadLock(path, error.strerror or "unreadable") from None
    compiled = ""
    version = ""
    rest: list[str] = []
    for entry in _entries(text):
        match = _PIN.match(entry)
        if match is None:
            first, _, _ = entry.partition("\n")
            raise BadLock(path, f"not a pinned requirement: {first}")
        if match["name"].lower().replace("_", "-") == COMPILED:
            compiled, version = entry, match["version"]
        else:
            rest.append(entry)
    if not compiled or "--hash=sha256:" not in compiled:
        raise BadLock(path, f"{COMPILED} is not pinned with a hash")
    return Lock(compiled=compiled, version=version, rest="\n".join(rest) + "\n")


def _entries(text: str) -> list[str]:
    """Requirements with their continuation lines, comments gone."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    entries: list[str] = []
    continued = False
    for line in lines:
        if continued:
            entries[-1] += "\n" + line
        else:
            entries.append(line)
        continued = line.endswith("\\")
    # The line before a comment may end in a backslash that has nothing to continue.
    return [entry.rstrip("\\ ") for entry in entries]
