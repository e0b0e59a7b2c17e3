"""Reads the Dockerfile: stages with their instructions, as far as ours uses the language."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Instruction:
    name: str
    """FROM, RUN, COPY …"""
    text: str
    """What follows, on one line."""


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list[Instruction])

    def all(self, name: str) -> list[str]:
        return [instruction.text for instruction in self.instructions if instruction.name == name]

    @property
    def environment(self) -> dict[str, str]:
        """Variables of ENV and the defaults of ARG."""
        pairs = [pair for text in self.all("ARG") + self.all("ENV") for pair in shlex.split(text)]
        return dict(pair.split("=", 1) for pair in pairs)

    def exec_form(self, name: str) -> list[str]:
        """The words of ENTRYPOINT or CMD; ValueError when it is a shell's line."""
        return json.loads(self.all(name)[-1])


def read(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """Stages by name, in the order of the file."""
    defaults: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction in _instructions(path.read_text()):
        if instruction.name == "FROM":
            base, _, name = instruction.text.partition(" AS ")
            stage = Stage(base=_expand(base, defaults), name=name)
            stages[name] = stage
        elif stage is None:
            name, _, value = instruction.text.partition("=")
            defaults[name] = value
        else:
            stage.instructions.append(instruction)
    return stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(" ", 1)) for line in joined.splitlines()]


def _expand(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], text)
