"""An answer as it grows: the runner's text, cut by the parser into content, thinking and tool calls."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from modelstore.quoting import quote
from scheduler import frames
from scheduler.lease import Lease
from scheduler.ports import GenerateFields
from server.errors import ApiError
from server.messages import ToolCall
from server.parse import OutputParser, Parsed


@dataclass(slots=True)
class Piece:
    """A bit of the answer; streams send one line for each."""

    content: str = ""
    thinking: str = ""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    logprobs: list[frames.Logprob] = field(default_factory=list[frames.Logprob])

    def __bool__(self) -> bool:
        return bool(self.content or self.thinking or self.calls or self.logprobs)


@dataclass(slots=True)
class Outcome:
    """How an answer ended; durations in nanoseconds."""

    reason: str
    load_duration: int
    prompt_tokens: int
    cached_tokens: int
    prompt_duration: int
    eval_tokens: int
    eval_duration: int
    truncated_tokens: int = 0
    context: list[int] | None = None
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    """Calls that a parser delivers only at the end."""


@dataclass(slots=True)
class Plan:
    """Everything an answer needs beside its lease."""

    fields: GenerateFields
    parser: OutputParser
    load_duration: int
    format: str = ""
    """JSON text: "json", a schema, or empty."""
    thinks_first: bool = False
    """The format binds only what comes after thinking."""


class Answer:
    """Iterate it for lists of pieces; afterwards `outcome` tells how it ended.

    Iterating raises `RunnerFailed`, `RunnerDied`, and `ApiError` for a format that is none. `close()` gives everything
    back at any moment.
    """

    def __init__(self, lease: Lease, plan: Plan) -> None:
        self._lease = lease
        self._plan = plan
        self._pieces = self._run()
        self._thought = ""
        self.outcome: Outcome | None = None

    def __aiter__(self) -> AsyncIterator[list[Piece]]:
        return self._pieces

    async def __anext__(self) -> list[Piece]:
        return await anext(self._pieces)

    def close(self) -> None:
        """Stop generating and let go of the model. Idempotent."""
        self._lease.release()

    async def _run(self) -> AsyncIterator[list[Piece]]:
        try:
            constraint = constraint_of(self._plan.format)
            if constraint and self._plan.thinks_first:
                answer = self._constrained(constraint)
            else:
                answer = self._plain({**self._plan.fields, "constraint": constraint})
            async for pieces in answer:
                yield pieces
        finally:
            self.close()

    async def _plain(self, fields: GenerateFields) -> AsyncIterator[list[Piece]]:
        """One pass."""
        parser = self._plan.parser
        async for chunk in self._lease.generate(**fields):
            pieces = [_piece(parser.feed(delta.text), delta.logprobs) for delta in chunk.deltas]
            if chunk.done is not None:
                rest = _piece(parser.finish(), [])
                late, rest.calls = rest.calls, []
                pieces.append(rest)
                self.outcome = self._outcome(chunk.done, late)
            if pieces := [piece for piece in pieces if piece]:
                yield pieces

    async def _constrained(self, constraint: frames.Constraint) -> AsyncIterator[list[Piece]]:
        """Think freely first; where the answer itself begins, begin it again under the constraint."""
        fields = self._plan.fields
        async for pieces in self._thoughts(fields):
            yield pieces
        if self.outcome is not None:
            return
        again: GenerateFields = {**fields, "prompt": fields["prompt"] + self._thought, "constraint": constraint}
        async for chunk in self._lease.generate(**again):
            pieces = [Piece(delta.text, logprobs=delta.logprobs) for delta in chunk.deltas]
            if pieces := [piece for piece in pieces if piece]:
                yield pieces
            if chunk.done is not None:
                self.outcome = self._outcome(chunk.done, [])

    async def _thoughts(self, fields: GenerateFields) -> AsyncIterator[list[Piece]]:
        """Generate until the answer proper begins, or all is said; what led there is in `_thought`."""
        parser = self._plan.parser
        async with aclosing(self._lease.generate(**fields)) as generation:
            async for chunk in generation:
                for delta in chunk.deltas:
                    parsed = parser.feed(delta.text)
                    self._thought += delta.text
                    said = parsed.thinking or parsed.calls or not parsed.content
                    if piece := Piece("", parsed.thinking, list(parsed.calls), delta.logprobs if said else []):
                        yield [piece]
                    if parsed.content:  # the end of what was said; some of it may have been held back before
                        self._thought = self._thought.removesuffix(parsed.content)
                        return
                if chunk.done is not None:
                    rest = parser.finish()
                    if rest.content or rest.thinking:
                        yield [Piece(rest.content, rest.thinking)]
                    self.outcome = self._outcome(chunk.done, list(rest.calls))

    def _outcome(self, done: frames.Done, calls: list[ToolCall]) -> Outcome:
        return Outcome(
            reason=done.reason,
            load_duration=self._plan.load_duration,
            prompt_tokens=done.prompt_tokens,
            cached_tokens=done.cached_tokens,
            prompt_duration=done.prompt_ns,
            eval_tokens=done.eval_tokens,
            eval_duration=done.eval_ns,
            truncated_tokens=done.truncated_tokens,
            context=done.context,
            calls=calls,
        )


def _piece(parsed: Parsed, logprobs: list[frames.Logprob]) -> Piece:
    return Piece(parsed.content, parsed.thinking, list(parsed.calls), logprobs)


def constraint_of(format: str) -> frames.Constraint | None:
    """What the JSON text of `format` demands. Raises `ApiError` 500 for anything but "json" or a schema."""
    text = format.strip()
    if text in ("", "null", '""'):
        return None
    if text == '"json"':
        return frames.Constraint("json_schema", '{"type":"object"}')
    if text.startswith("{"):
        return frames.Constraint("json_schema", text)
    raise ApiError(500, f'invalid format: {quote(text)}; expected "json" or a valid JSON Schema object')


def clock() -> int:
    """Nanoseconds for durations."""
    return time.perf_counter_ns()
