"""One generation: waiting, then under way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler import frames
from scheduler.runner.cache.archive import Span
from scheduler.runner.cache.slots import Slot
from scheduler.runner.limits import Fit
from scheduler.runner.text.assembler import TextAssembler
from scheduler.runner.text.stops import StopStrings

FinishReason = Literal["stop", "length"]

ECHO_ROWS = 64
"""Prompt tokens a pass of a request that wants to know about each: every one of them costs a row of logits."""


class Matcher(Protocol):
    """Says which tokens a text that must follow a grammar may go on with."""

    @property
    def active(self) -> bool:
        """Whether the next token is bound; a constraint may wait for its start."""
        ...

    @property
    def error(self) -> str:
        """Why it broke off; empty as long as it has not."""
        ...

    def prepare(self) -> None:
        """Work out what the next token may be; may run on another thread. Does nothing a second time."""
        ...

    @property
    def ready(self) -> bool:
        """Whether asking for the mask costs nothing any more."""
        ...

    def admits(self, token: int, /) -> bool: ...

    def mask(self) -> NDArray[np.int32]:
        """A bit for each token, 32 to a word from the lowest: set if it may come next."""
        ...

    def consume(self, token: int, /) -> bool:
        """Advance over a chosen token; True when nothing may follow it."""
        ...


class Chain(Protocol):
    """Chooses tokens for one sequence; its random stream is its own."""

    def sample(self, context: Any, row: int, /) -> int: ...
    def sample_constrained(self, context: Any, row: int, matcher: Matcher, /) -> int: ...
    def close(self) -> None: ...


class Media(Protocol):
    """A picture or a clip of a prompt."""

    @property
    def tokens(self) -> int:
        """Places it takes in the KV cache."""
        ...

    @property
    def positions(self) -> int:
        """How far it advances the position."""
        ...

    @property
    def ids(self) -> list[int]:
        """`tokens` negative numbers that stand for it: the same for the same content."""
        ...

    @property
    def encoded(self) -> bool:
        """Whether the first half of evaluating it has been done."""
        ...

    def encode(self) -> bool:
        """Do that half; False when it failed."""
        ...

    def evaluate(self, context: Any, sequence: int, position: int, /, *, logits: bool) -> int:
        """Put it into a sequence; the result is that of `engine.Context.decode`."""
        ...


class Proposal(NamedTuple):
    """A sequence that may be continued by guessing."""

    key: int
    """The request's id."""
    sequence: int
    tokens: Sequence[int]
    """All its tokens, the newest, which is not evaluated yet, included."""
    most: int
    """Tokens that may be proposed."""


class Speculator(Protocol):
    """Guesses how sequences go on; the model then checks several tokens in one decode."""

    def propose(self, wanted: Sequence[Proposal], /) -> list[list[int]]:
        """A continuation of each, empty where guessing does not pay."""
        ...

    def settle(self, key: int, proposed: int, accepted: int, /) -> None:
        """What became of a proposal."""
        ...

    def forget(self, key: int, /) -> None:
        """The request is over."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """A generation that waits for a slot."""

    request: frames.Generate
    fit: Fit
    chain: Chain
    stops: StopStrings | None = None
    preserved: frozenset[int] = frozenset()
    """Control tokens to write out."""
    matcher: Matcher | None = None
    media: Mapping[int, Media] = field(default_factory=dict[int, Media])
    """By the index of their first token."""
    leader: "Running | None" = None
    """A generation whose prompt begins alike: this one waits until that beginning is there."""


@dataclass(slots=True, eq=False)
class Running:
    """A generation that has a slot.

    While the slot holds less than the prompt it prefills; afterwards `token` is the one chosen last, not yet stored.
    """

    request: frames.Generate
    fit: Fit
    slot: Slot
    prompt_tokens: int
    cached: int
    chain: Chain
    matcher: Matcher | None
    text: TextAssembler
    preserved: frozenset[int]
    budget: int
    """Most tokens it may generate."""
    began: int
    """Clock of its first step, nanoseconds."""
    media: Mapping[int, Media] = field(default_factory=dict[int, Media])
    marks: list[int] = field(default_factory=list[int])
    """Lengths, the next one last, at which a checkpoint shall be made."""
    token: int = -1
    generated: int = 0
    prefilled: int = 0
    """Clock of its first chosen token; 0 before."""
    output: list[str] | None = None
    """Everything it said, when the request wants the context back."""
    echo: list[frames.Logprob] | None = None
    """Entries of the prompt's tokens, when the request wants them."""
    history: list[int] | None = None
    """All tokens so far, the newest included, where continuations may be proposed."""
    draft: list[int] = field(default_factory=list[int])
    """Proposed for the places after `token`."""
    drafted: int = 0
    accepted: int = 0

    @property
    def id(self) -> int:
        """The request's id."""
        return self.request.id

    @property
    def waiting(self) -> int:
        """Prompt tokens still to be evaluated."""
        return len(self.fit.tokens) - len(self.slot.tokens) if self.token < 0 else 0

    @property
    def stretch(self) -> int:
        """Prompt tokens that may go into one batch: not beyond a picture or a checkpoint; 0 before a picture."""
        start, end = len(self.slot.tokens), len(self.fit.tokens)
        if self.media:
            end = min((index for index in self.media if index >= start), default=end)
        if self.marks:
            end = min(end, self.marks[-1])
        if self.echo is not None:
            end = min(end, start + ECHO_ROWS)
        return end - start

    def next_media(self) -> Media | None:
        """The picture or clip that is to be evaluated now."""
        return self.media.get(len(self.slot.tokens)) if self.media and self.token < 0 else None

    def stored(self, rows: int) -> None:
        """The last batch has made so many more tokens of the prompt resident, or the token chosen last."""
        tokens = self.slot.tokens
        if self.token >= 0:
            tokens.append(self.token)
        else:
            tokens.extend(self.fit.tokens[len(tokens) : len(tokens) + rows])

    def stored_media(self, media: Media) -> None:
        """A picture or clip is resident."""
        slot = self.slot
        slot.spans = [*slot.spans, Span(len(slot.tokens), media.tokens, media.positions)]
        slot.tokens.extend(media.ids)

    def restart(self, tokens: list[int]) -> None:
        """Evaluate these tokens from the beginning and go on generating after them."""
        self.fit = Fit(tokens, self.fit.keep, self.fit.cut)
        self.token = -1
        self.marks = []
        self.echo = None

    def done(self, reason: FinishReason, now: int, context: list[int] | None) -> frames.Done:
        """The closing report."""
        prefilled = self.prefilled or now
        return frames.Done(
            id=self.id,
            reason=reason,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached,
            prompt_ns=max(prefilled - self.began, 1),
            eval_tokens=self.generated,
            eval_ns=max(now - prefilled, 1),
            truncated_tokens=self.fit.cut,
            context=context,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
        )
