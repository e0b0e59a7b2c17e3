"""The two ways of guessing behind one face."""

import time
from collections.abc import Callable, Container, Sequence
from typing import Final

from scheduler.frames import Buffer
from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate.cost import StepTimes, allot, worthwhile
from scheduler.runner.speculate.draft import DraftModel
from scheduler.runner.speculate.guess import Guess
from scheduler.runner.speculate.lookup import PromptLookup
from scheduler.runner.speculate.trust import Record, Trust

_GOOD: Final = 0.9
"""Odds of the first token of a copy, from which the draft model is not asked."""
_PROBE: Final = 2
"""Tokens it is asked for to see whether it pays again."""
_COMPARED: Final = 32
"""Steps with guesses, after which one goes without: what they gain is measured against such."""
_PATIENCE: Final = 8
"""Looks without a guess, after which not every step is worth one."""
_SHARE: Final = 0.005
"""The part of a step's time that looking may take then."""
_LONGEST_REST: Final = 7


class Speculation:
    """Implements `Speculator`. Its steps last from the end of one `propose` to the beginning of the next."""

    def __init__(
        self,
        *,
        most: int,
        end_tokens: Container[int],
        most_rows: int,
        draft: DraftModel | None = None,
        draft_most: int = 0,
        buffers: Sequence[Buffer] = (),
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """`most` tokens of a guess from the text, `draft_most` from the draft model; `most_rows` fit into a step."""
        self.buffers = buffers
        """Memory that the draft model takes."""
        self._lookup = PromptLookup(most, end_tokens)
        self._draft = draft
        self._draft_most = draft_most
        self._most_rows = most_rows
        self._clock = clock
        self._times = StepTimes()
        self._keys: list[int] = []
        """Requests of the latest look."""
        self._rows = 0
        """Rows of the steps since then."""
        self._ended = 0
        """When it was over."""
        self._steps = 0
        self._next = 1
        """How many steps have begun since then, and with which one to look again."""
        self._since_plain = _COMPARED
        """Steps since the last one without guesses."""
        self._fruitless = 0
        """Looks in a row that brought nothing."""
        self._record = Record()
        self._trusts: dict[int, Trust] = {}
        self._asked: dict[int, tuple[int, int]] = {}
        """By request whose guess is the draft model's: how many tokens it was asked for, and how many it gave."""
        self.proposed = 0
        self.accepted = 0
        """Tokens of all requests so far."""

    # -- what the loop calls

    def propose(self, wanted: Sequence[Proposal]) -> list[list[int]]:
        """Possible continuations in the order of `wanted`, empty where guessing would not pay."""
        self._steps += 1
        if self._steps < self._next:
            return [[] for _ in wanted]
        began = self._clock()
        keys = [one.key for one in wanted]
        step = (began - self._ended) // self._steps
        if keys == self._keys:  # else a request has come or gone, and the time was spent on other things besides
            self._times.observe(self._rows, step)
        guesses = [self._lookup.guess(one) for one in wanted]
        if self._draft is not None:
            self._asked.clear()
            self._ask(self._draft, wanted, guesses)
        chosen, self._rows = self._chosen(guesses)
        if self._asked:
            self._count_idle(wanted, chosen)
        self._since_plain = self._since_plain + 1 if self._rows > len(wanted) else 0
        self._keys, self._ended = keys, self._clock()
        self._steps = 0
        self._next = self._rest(began, step, fruitful=self._rows > len(wanted) or bool(self._asked))
        return chosen

    def _rest(self, began: int, step: int, *, fruitful: bool) -> int:
        """In how many steps to look again: looking must not take a noticeable part of the time."""
        self._fruitless = 0 if fruitful else self._fruitless + 1
        if self._fruitless < _PATIENCE:
            return 1
        return 1 + min(int((self._ended - began) / (_SHARE * max(step, 1))), _LONGEST_REST)

    def settle(self, key: int, proposed: int, accepted: int) -> None:
        """Of the `proposed` tokens that were verified, the model would have chosen the first `accepted` itself."""
        self.proposed += proposed
        self.accepted += accepted
        asked = self._asked.pop(key, None)
        if asked is None or self._draft is None:
            return
        self._draft.settle(key, proposed, accepted)
        trust, (most, given) = self._trusts[key], asked
        for _ in range(accepted):
            trust.learn(right=True)
        if accepted < proposed or proposed == given < most:
            trust.learn(right=False)

    def forget(self, key: int) -> None:
        """The request has ended."""
        self._lookup.forget(key)
        self._asked.pop(key, None)
        if self._draft is not None:
            self._draft.forget(key)
        if trust := self._trusts.pop(key, None):
            trust.ended()

    # -- choosing

    def _count_idle(self, wanted: Sequence[Proposal], chosen: list[list[int]]) -> None:
        """What the draft model gave in vain counts as wrong: it took the same time."""
        for one, tokens in zip(wanted, chosen, strict=True):
            if one.key in self._asked and not tokens:
                del self._asked[one.key]
                self._trusts[one.key].learn(right=False)

    def _chosen(self, guesses: list[Guess]) -> tuple[list[list[int]], int]:
        """What is worth verifying, and the rows of the step with it. Now and then nothing is, for comparison."""
        count = longest = len(guesses)
        for guess in guesses:
            longest += len(guess.tokens)
        if longest == count or self._since_plain >= _COMPARED:
            return [[] for _ in guesses], count
        times = self._times.between(count, max(min(longest, self._most_rows), count))
        lengths = allot([guess.odds for guess in guesses], times)
        chosen = [guess.tokens[:length] for guess, length in zip(guesses, lengths, strict=True)]
        return chosen, count + sum(lengths)

    def _ask(self, draft: DraftModel, wanted: Sequence[Proposal], guesses: list[Guess]) -> None:
        """Put the draft model's guesses where the text itself has no good one."""
        places = [index for index, guess in enumerate(guesses) if not (guess.odds and guess.odds[0] >= _GOOD)]
        awake = [index for index in places if self._trust(wanted[index].key).wakes()]
        count = len(wanted)
        if not awake or draft.broken or self._since_plain >= _COMPARED:
            return
        times = self._times.between(count, count * (1 + self._draft_most))[::count]
        asked: list[int] = []
        questions: list[Proposal] = []
        for index in awake:
            one = wanted[index]
            trust = self._trusts[one.key]
            depth = worthwhile(trust.odd, self._draft_most, times, draft.time)
            if trust.asks(pays=depth > 0):
                asked.append(index)
                questions.append(one._replace(most=min(depth or _PROBE, self._draft_most, one.most)))
        if not asked:
            return
        for index, question, guess in zip(asked, questions, draft.guess(questions), strict=True):
            if guess is None:
                continue
            if guess.tokens:
                self._asked[question.key] = (question.most, len(guess.tokens))
                guesses[index] = guess
            else:
                self._trusts[question.key].learn(right=False)

    def _trust(self, key: int) -> Trust:
        trust = self._trusts.get(key)
        if trust is None:
            trust = self._trusts[key] = self._record.trust()
        return trust
