"""The lines typed at the prompt, kept from one session to the next: the newest last, one a line of a private file."""

import contextlib
import os
from pathlib import Path
from typing import Final

LINES: Final = 100


class History:
    """A history that cannot be read is empty; one that cannot be written is no reason to stop talking."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def lines(self) -> list[str]:
        try:
            text = self._file.read_bytes().decode(errors="replace")
        except OSError:
            return []
        return text.removesuffix("\n").split("\n") if text else []

    def add(self, entry: str) -> None:
        lines = [*self.lines(), *entry.split("\n")][-LINES:]
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._write(draft, lines)
                draft.replace(self._file)
            finally:
                draft.unlink(missing_ok=True)

    @staticmethod
    def _write(draft: Path, lines: list[str]) -> None:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as out:
            out.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
