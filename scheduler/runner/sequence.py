"""One generation under way."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from scheduler import frames
from scheduler.runner.constrain import Matcher
from scheduler.runner.limits import Fit
from scheduler.runner.prefix import Slot
from scheduler.runner.text import TextAssembler

FinishReason = Literal["stop", "length"]


class Chain(Protocol):
    """Chooses tokens for one sequence; its random stream is its own."""

    def sample(self, context: Any, row: int, /) -> int: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Job:
    """A generation that waits for a slot."""

    request: frames.Generate
    fit: Fit
    matcher: Matcher | None = None


@dataclass(slots=True, eq=False)
class Running:
    """A generation that has a slot.

    While `stored` is shorter than the prompt it prefills; afterwards `token` is the one chosen last, not yet stored.
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
    token: int = -1
    generated: int = 0
    prefilled: int = 0
    """Clock of its first chosen token; 0 before."""
    output: list[str] | None = None
    """Everything it said, when the request wants the context back."""

    @property
    def id(self) -> int:
        """The request's id."""
        return self.request.id

    @property
    def waiting(self) -> int:
        """Prompt tokens still to be evaluated."""
        return len(self.fit.tokens) - len(self.slot.tokens) if self.token < 0 else 0

    def stored(self, rows: int) -> None:
        """The last batch has made so many more of its tokens resident."""
        tokens = self.slot.tokens
        if self.token >= 0:
            tokens.append(self.token)
        else:
            tokens.extend(self.fit.tokens[len(tokens) : len(tokens) + rows])

    def restart(self, tokens: list[int]) -> None:
        """Evaluate these tokens from the beginning and go on generating after them."""
        self.fit = Fit(tokens, self.fit.keep, self.fit.cut)
        self.token = -1

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
        )
