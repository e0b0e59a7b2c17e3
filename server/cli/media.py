"""Paths of pictures and sounds inside a prompt: found, read, and taken out of the text."""

import base64
import re
import sys
from pathlib import Path
from typing import Final

from server.cli import sniff
from server.cli.errors import BadInput

LARGEST: Final = 100 * 1024 * 1024
_SOUND: Final = "audio/wave"
_KINDS: Final = ("image/jpeg", "image/jpg", "image/png", "image/webp", _SOUND)

_PATH: Final = re.compile(
    r"(?:[a-zA-Z]:)?(?:\.{0,2}/|~/|\\)[\S\\ ]+?\.(?:jpe?g|png|webp|wav)\b",
    re.IGNORECASE,
)
_ESCAPED: Final = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")


def extract(text: str) -> tuple[str, list[str]]:
    """The text without the paths of existing files, and the base64 content of those files.

    Raises BadInput for a file that holds something else than its name says, or too much.
    """
    found: list[str] = []
    for match in _PATH.findall(text):
        path = Path(_ESCAPED.sub(r"\1", match)).expanduser()
        if not path.is_file():
            continue
        content = _read(path)
        what = "audio" if sniff.kind(content) == _SOUND else "image"
        print(f"Added {what} '{path}'", file=sys.stderr)
        text = text.replace(f"'{match}'", "").replace(match, "")
        found.append(base64.b64encode(content).decode())
    return (text.strip() if found else text), found


def _read(path: Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise BadInput("file size exceeds maximum limit (100MB)")
    content = path.read_bytes()
    kind = sniff.kind(content)
    if kind not in _KINDS:
        raise BadInput(f"invalid file type: {kind}")
    return content


def begins_with_file(line: str) -> bool:
    """Whether the first thing on the line is the path of an existing file of such a kind."""
    match = _PATH.match(line)
    return match is not None and Path(_ESCAPED.sub(r"\1", match[0])).expanduser().is_file()
