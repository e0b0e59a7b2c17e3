"""The estimate of a model beside what the engine says, for one way to load it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from modelstore.gguf import read_header
from scheduler.estimate import NARROW_ROWS, Estimate, estimate, sequences
from scheduler.estimate.anatomy import facts_of
from scheduler.launch import physical_batch
from scheduler.requests import ModelFacts
from tools.memory.engine import Options, Sizes, ask

TOLERANCE: Final = 0.05
SLACK: Final = 32 << 10
"""Bytes by which a tiny model may be off beyond that: the engine tells sizes in hundredths of a MiB, line by line."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to load a model, as a request has it."""

    num_ctx: int = 4096
    parallel: int = 1
    num_batch: int = 512
    flash_attention: bool | None = None
    kv_type: str = "f16"
    host: bool = True
    """The processor alone computes; its steps have fewer rows than those of a GPU."""

    def __str__(self) -> str:
        flash = {None: "auto", False: "off", True: "on"}[self.flash_attention]
        return f"{self.num_ctx:>6} × {self.parallel} batch {self.num_batch:>4} flash {flash:4} {self.kv_type:4}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Bytes of one kind."""

    kind: str
    foretold: int
    taken: int

    @property
    def off(self) -> float:
        """The difference as a part of what was taken."""
        return (self.foretold - self.taken) / self.taken if self.taken else 0.0

    @property
    def holds(self) -> bool:
        """Whether it is near enough."""
        return abs(self.foretold - self.taken) <= self.taken * TOLERANCE + SLACK


def facts_in(path: Path) -> ModelFacts:
    """What the scheduler knows of a file."""
    return facts_of(read_header(path))


def foretell(facts: ModelFacts, setting: Setting) -> Estimate:
    """The estimate."""
    return estimate(
        facts,
        num_ctx=setting.num_ctx,
        parallel=setting.parallel,
        num_batch=setting.num_batch,
        kv_type=setting.kv_type,
        flash_attention=setting.flash_attention,
        host=setting.host,
    )


def options(facts: ModelFacts, setting: Setting, *, allocate: bool) -> Options:
    """The context that the runner opens for a setting."""
    together = sequences(facts, setting.num_ctx, setting.parallel)
    cells = setting.num_ctx if facts.embedding else setting.num_ctx * setting.parallel
    cells = -(-cells // together) * together
    batch = min(-(-max(setting.num_batch, together) // together) * together, cells)
    rows = physical_batch(
        setting.num_batch, setting.num_ctx, facts.head_count, setting.flash_attention, host=setting.host
    )
    return Options(
        cells=cells,
        sequences=together,
        batch=batch,
        physical_batch=batch if facts.embedding else min(rows, batch),
        flash_attention=setting.flash_attention,
        kv_type=setting.kv_type,
        embedding=facts.embedding,
        allocate=allocate,
    )


def compare(path: Path, setting: Setting, *, allocate: bool) -> list[Comparison]:
    """Ask the engine, for a model that only encodes also about the context it has for short texts. Raises
    `RuntimeError` where it refuses."""
    facts = facts_in(path)
    asked = options(facts, setting, allocate=allocate)
    taken = ask(path, asked)
    if facts.embedding and setting.host and setting.flash_attention is None:
        narrow = replace(
            asked, cells=NARROW_ROWS, sequences=1, batch=NARROW_ROWS, physical_batch=NARROW_ROWS, flash_attention=False
        )
        beside = ask(path, narrow)
        taken = replace(taken, compute=taken.compute + beside.compute, output=taken.output + beside.output)
    return judged(foretell(facts, setting), taken)


def judged(foretold: Estimate, taken: Sizes) -> list[Comparison]:
    """Kind by kind."""
    return [
        Comparison("weights", foretold.weights, taken.weights),
        Comparison("KV", foretold.kv, taken.kv),
        Comparison("graph", foretold.graph, taken.compute + taken.output),
        Comparison("total", foretold.total, taken.total),
    ]
