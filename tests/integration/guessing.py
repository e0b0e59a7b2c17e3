"""Answers of a real model with and without guessing, and what they took: `python -m tests.integration.guessing`.

Reads {"model", "draft" (a path or null), "temperature", "prompts"} from stdin, writes a list of `Trial` members for
each prompt to stdout. All prompts are answered side by side in one context, first without guesses, then with. By the
clock a step takes equally long whatever its rows, so that what is guessed does not depend on the machine.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from scheduler.frames import Sampling
from scheduler.runner.engine import Context, ContextParams, EngineLog, Model, ModelParams
from scheduler.runner.sampling.chain import Chain, build_chain
from scheduler.runner.sequence import Proposal
from scheduler.runner.speculate import Speculation
from scheduler.runner.speculate.draft import DraftModel

NUM_CTX = 512
MOST = 64
"""Tokens of an answer."""


@dataclass
class Trial:
    """One way of answering one prompt."""

    tokens: list[int] = field(default_factory=list[int])
    steps: int = 0
    """Decodes of the model that it took part in, its prompt not counted."""
    proposed: int = 0
    accepted: int = 0


class Answer:
    """One sequence under way."""

    def __init__(self, key: int, prompt: list[int], chain: Chain) -> None:
        self.key = key
        self.history = list(prompt)
        self.chain = chain
        self.trial = Trial()
        self.over = False
        self.draft: list[int] = []
        self.row = 0


class Bench:
    """A model, its context, and a loop that verifies guesses."""

    def __init__(self, path: str, sequences: int) -> None:
        self.log = EngineLog()
        self.model = Model(ModelParams([path], 0), self.log, lambda fraction: None)
        self.params = ContextParams(cells=NUM_CTX * sequences, sequences=sequences, batch=256, threads=1)
        self.context = Context(self.model, self.params, self.log)
        self.now = 0

    def answers(self, prompts: list[str], sampling: Sampling, speculation: Speculation | None) -> list[Trial]:
        """Answer them all."""
        vocabulary = self.model.vocabulary
        every = [
            Answer(key, tokens, build_chain(sampling, vocabulary=vocabulary, num_ctx=NUM_CTX, prompt=tokens))
            for key, tokens in enumerate(map(vocabulary.prompt_tokens, prompts))
        ]
        for answer in every:
            self._read(answer)
        while running := [answer for answer in every if not answer.over]:
            if speculation is not None:
                wanted = [Proposal(one.key, one.key, one.history, MOST - len(one.trial.tokens)) for one in running]
                for answer, guess in zip(running, speculation.propose(wanted), strict=True):
                    answer.draft = guess
            self._step(running, speculation)
        return [answer.trial for answer in every]

    def _read(self, answer: Answer) -> None:
        """Evaluate a prompt and choose the first token."""
        self.context.remove(answer.key, 0)
        count = self._fill(0, answer.key, 0, answer.history)
        self.context.outputs[: count - 1] = 0
        assert self.context.decode(count) == 0
        self._choose(answer, count - 1)

    def _step(self, running: list[Answer], speculation: Speculation | None) -> None:
        row = 0
        for answer in running:
            answer.row = row
            row = self._fill(row, answer.key, len(answer.history) - 1, [answer.history[-1], *answer.draft])
        assert self.context.decode(row) == 0
        self.now += 1000
        for answer in running:
            trial, stored = answer.trial, len(answer.history)
            trial.steps += 1
            accepted = 0
            while not answer.over:
                token = self._choose(answer, answer.row + accepted)
                if accepted == len(answer.draft) or answer.draft[accepted] != token:
                    break
                accepted += 1
            if answer.draft and speculation is not None:
                trial.proposed += len(answer.draft)
                trial.accepted += accepted
                self.context.remove(answer.key, stored + accepted)
                speculation.settle(answer.key, len(answer.draft), accepted)
            if answer.over and speculation is not None:
                speculation.forget(answer.key)

    def _fill(self, row: int, sequence: int, position: int, tokens: list[int]) -> int:
        context, end = self.context, row + len(tokens)
        context.tokens[row:end] = tokens
        context.positions[row:end] = range(position, position + len(tokens))
        context.sequences[row:end] = sequence
        context.outputs[row:end] = 1
        return end

    def _choose(self, answer: Answer, row: int) -> int:
        token = answer.chain.sample(self.context, row)
        answer.history.append(token)
        answer.trial.tokens.append(token)
        answer.over = token in self.model.vocabulary.end_tokens or len(answer.trial.tokens) >= MOST
        return token


def main() -> None:
    """Everything as the module says."""
    wanted: dict[str, Any] = json.load(sys.stdin)
    prompts: list[str] = wanted["prompts"]
    bench = Bench(wanted["model"], len(prompts))
    end_tokens = bench.model.vocabulary.end_tokens
    draft = None
    if wanted["draft"]:
        smaller = Bench(wanted["draft"], len(prompts))
        draft = DraftModel(
            smaller.context,
            num_ctx=NUM_CTX,
            sequences=len(prompts),
            vocab_size=bench.model.vocabulary.size,
            end_tokens=end_tokens,
            clock=lambda: 0,
        )
    speculation = Speculation(
        most=32, draft_most=4, end_tokens=end_tokens, most_rows=256, draft=draft, clock=lambda: bench.now
    )
    sampling = Sampling(temperature=wanted["temperature"], seed=11)
    trials = [bench.answers(prompts, sampling, None), bench.answers(prompts, sampling, speculation)]
    out.write(json.dumps([[asdict(trial) for trial in pair] for pair in zip(*trials, strict=True)]))
    out.flush()


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints must not land between
    main()
    os._exit(0)
