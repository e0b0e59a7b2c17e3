"""Ollama itself as a side of the comparison: a program that whoever measures has built or installed."""

from pathlib import Path

from benchmarks.ledger import OLLAMA, Party
from benchmarks.native import NativeDaemon
from benchmarks.sides import HUGE_PAGES


class Ollama(NativeDaemon):
    """The real daemon, with flash attention as the others have it."""

    party: Party = OLLAMA

    def __init__(self, program: Path, folder: Path) -> None:
        super().__init__(folder, [str(program), "serve"], program.parent, {**HUGE_PAGES, "OLLAMA_FLASH_ATTENTION": "1"})
