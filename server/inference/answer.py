"""An answer as it grows: the runner's text, cut by the parser into content, thinking and tool calls."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import structlog

from modelstore.quoting import quote
from scheduler import frames
from scheduler.lease import Lease
from scheduler.ports import GenerateFields
from server.errors import ApiError
from server.inference.calling import Calling
from server.messages import ToolCall
from server.parse import OutputParser, Parsed, Thoughts

_log = structlog.get_logger(__name__)


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
    dropped_messages: int = 0
    """Messages left out to make the prompt fit."""
    truncated_tokens: int = 0
    """Tokens left out of the middle of the prompt."""
    context: list[int] | None = None
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    """Calls that a parser delivers only at the end."""


@dataclass(slots=True)
class Plan:
    """Everything an answer needs beside its lease."""

    fields: GenerateFields
    parser: OutputParser
    load_duration: int
    dropped_messages: int = 0
    format: str = ""
    """JSON text: "json", a schema, or empty."""
    grammar: frames.Constraint | None = None
    """What binds the answer in place of a format."""
    thoughts: Thoughts | None = None
    """What binds the answer binds only what comes after these."""
    thoughts_count_as_prompt: bool = False
    """The reference says the answer in a second pass, over a prompt that ends in the thoughts."""
    bound: Calling | None = None
    """How calls of tools must be written."""
    full_header: bool = False
    """See `Prompt`."""


class Answer:
    """Iterate it for lists of pieces; afterwards `outcome` tells how it ended.

    Iterating raises `RunnerFailed`, `RunnerDied`, and `ApiError` for a format that is none. `close()` gives everything
    back at any moment.
    """

    def __init__(self, lease: Lease, plan: Plan) -> None:
        self._lease = lease
        self._plan = plan
        self._pieces = self._run()
        self._thoughts: list[str] | None = None
        """What was said before the answer, if it counts as prompt."""
        self._answered = 0
        """When the first of that answer came."""
        self.outcome: Outcome | None = None
        self.full_header = plan.full_header

    def __aiter__(self) -> AsyncIterator[list[Piece]]:
        return self._pieces

    async def __anext__(self) -> list[Piece]:
        return await anext(self._pieces)

    def close(self) -> None:
        """Stop generating and let go of the model. Idempotent."""
        self._lease.release()

    async def _run(self) -> AsyncIterator[list[Piece]]:
        try:
            fields: GenerateFields = {**self._plan.fields, "constraint": self._constraint()}
            async for chunk in self._lease.generate(**fields):
                pieces = [self._read(delta) for delta in chunk.deltas]
                if chunk.done is not None:
                    rest = _piece(self._plan.parser.finish(), [])
                    late, rest.calls = rest.calls, []
                    pieces.append(rest)
                    self.outcome = await self._outcome(chunk.done, late)
                if pieces := [piece for piece in pieces if piece]:
                    yield pieces
        finally:
            self.close()

    def _constraint(self) -> frames.Constraint | None:
        """What binds the answer: the grammar or the format, the calls of tools, or either of them."""
        plan, bound = self._plan, self._plan.bound
        constraint = plan.grammar or constraint_of(plan.format)
        if constraint is not None and plan.thoughts is not None and plan.thoughts_count_as_prompt:
            self._thoughts = []
        thoughts = plan.thoughts
        if bound is not None:
            free = constraint is None and not bound.calls.required
            thoughts = None if free and bound.calls.anywhere else thoughts and (bound.thoughts or thoughts)
            constraint = msgspec.structs.replace(constraint or frames.Constraint("any"), calls=bound.calls)
        if constraint is None or thoughts is None:
            return constraint
        return msgspec.structs.replace(
            constraint, after=[thoughts.closing, *thoughts.variants], opening=thoughts.opening
        )

    def _read(self, delta: frames.Delta) -> Piece:
        if self._plan.parser.transparent:
            return Piece(delta.text, "", [], delta.logprobs)
        parsed = self._plan.parser.feed(delta.text)
        if self._thoughts is not None and not self._answered:
            if parsed.content:
                self._answered = clock()
            self._thoughts.append(delta.text.removesuffix(parsed.content))
        return _piece(parsed, delta.logprobs)

    async def _outcome(self, done: frames.Done, calls: list[ToolCall]) -> Outcome:
        thoughts = thinking_time = 0
        if self._thoughts and self._answered:
            (thoughts,) = await self._lease.count(["".join(self._thoughts)])
            thoughts = min(thoughts, done.eval_tokens)
            thinking_time = max(done.eval_ns - (clock() - self._answered), 0)
        dropped = self._plan.dropped_messages
        if dropped or done.truncated_tokens:
            _log.warning("the prompt was cut to fit", messages=dropped, tokens=done.truncated_tokens)
        return Outcome(
            reason=done.reason,
            load_duration=self._plan.load_duration,
            prompt_tokens=done.prompt_tokens + thoughts,
            cached_tokens=done.cached_tokens,
            prompt_duration=done.prompt_ns + thinking_time,
            eval_tokens=done.eval_tokens - thoughts,
            eval_duration=done.eval_ns - thinking_time,
            dropped_messages=dropped,
            truncated_tokens=done.truncated_tokens,
            context=done.context,
            calls=calls,
        )


def _piece(parsed: Parsed, logprobs: list[frames.Logprob]) -> Piece:
    return Piece(parsed.content, parsed.thinking, list(parsed.calls), logprobs)


def demands_nothing(format: str) -> bool:
    """Whether the JSON text of `format` is as good as none."""
    return format.strip() in ("", "null", '""')


def constraint_of(format: str) -> frames.Constraint | None:
    """What the JSON text of `format` demands. Raises `ApiError` 500 for anything but "json" or a schema."""
    if demands_nothing(format):
        return None
    text = format.strip()
    if text == '"json"':
        return frames.Constraint("json_schema", '{"type":"object"}')
    if text.startswith("{"):
        return frames.Constraint("json_schema", text)
    raise ApiError(500, f'invalid format: {quote(text)}; expected "json" or a valid JSON Schema object')


def clock() -> int:
    """Nanoseconds for durations."""
    return time.perf_counter_ns()
