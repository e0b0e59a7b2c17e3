"""Where rows are measured."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.folders import Folders
from benchmarks.ggufs import model_file
from benchmarks.ledger import Ledger, Party
from benchmarks.llamad import Llamad
from benchmarks.peers import Peers
from benchmarks.shapes import LARGE, LARGE_COPY, SMALL, SMALL_COPY, BertShape, LlamaShape, Shape
from benchmarks.sides import Model, Setting, Side

MB: Final = 1e6
_QUICK_TOKENS: Final = 24


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and what is asked of it."""

    shape: LlamaShape
    copying: LlamaShape
    """As large, but it repeats what it read."""
    answer_tokens: int
    waves: dict[int, int]
    """Streams at once → how often."""
    prefix_pairs: int
    """How many prompts share a beginning with another one."""
    turns: int
    """Of each conversation, beside the first."""


SUBJECTS: Final = (
    Subject(SMALL, SMALL_COPY, answer_tokens=256, waves={1: 8, 4: 4, 16: 2}, prefix_pairs=6, turns=3),
    Subject(LARGE, LARGE_COPY, answer_tokens=64, waves={1: 2, 4: 1, 16: 1}, prefix_pairs=2, turns=2),
)


@dataclass(slots=True)
class Stand:
    """What a group of rows is given."""

    ledger: Ledger
    programs: Peers
    folders: Folders
    say: Callable[[str], None]
    ours: Llamad
    subjects: Sequence[Subject]
    quick: bool
    """Whether short answers, and one repetition, will do: to see that it works, not to learn figures."""
    idle_seconds: float
    sides: list[Side] = field(default_factory=list[Side])
    """Ours and its peers, in the order of this round."""
    setting: Setting = field(default_factory=Setting)
    daemon_cpu: dict[tuple[str, int], list[tuple[float, int]]] = field(
        default_factory=dict[tuple[str, int], list[tuple[float, int]]]
    )
    """Seconds and tokens of each run of (model, streams)."""

    def tokens(self, usual: int) -> int:
        """How long an answer is to be."""
        return min(usual, _QUICK_TOKENS) if self.quick else usual

    def times(self, usual: int) -> int:
        """How often something is to be repeated."""
        return 1 if self.quick else usual

    def model(self, shape: Shape) -> Model:
        """Its file, written if need be."""
        return Model(shape.name, model_file(shape, self.folders), embedding=isinstance(shape, BertShape))

    @asynccontextmanager
    async def loaded(self, shape: Shape) -> AsyncGenerator[Model]:
        """The model on all sides, until the end of the block."""
        model = self.model(shape)
        for side in self.sides:
            await side.load(model)
        yield model
        for side in self.sides:
            await side.unload()


def _no_shapes(stand: Stand) -> Sequence[Shape]:
    return ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are measured together."""

    name: str
    measure: Callable[[Stand], Awaitable[None]]
    parties: tuple[Party, ...] = ()
    """Who takes part beside us."""
    shapes: Callable[[Stand], Sequence[Shape]] = _no_shapes
    """The models it needs in the stores."""
    slots: int = 16
    once: bool = False
    """Whether one round is enough."""


def subjects_of(stand: Stand) -> Sequence[Shape]:
    """The models that write text."""
    return [subject.shape for subject in stand.subjects]
