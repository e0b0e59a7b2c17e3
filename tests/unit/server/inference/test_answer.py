"""An answer as it grows: pieces, passes, and the lease behind it."""

import asyncio
from typing import Any

import pytest

from scheduler import frames
from scheduler.errors import RunnerDied, RunnerFailed
from server.errors import ApiError
from server.inference.answer import Answer, Piece, Plan, constraint_of
from server.parse import OutputParser, ThinkingParser, Thoughts, ToolCallParser
from tests.unit.server.fakes import FakeScheduler, done, say, say_probably

pytestmark = pytest.mark.anyio

OBJECT = frames.Constraint("json_schema", '{"type":"object"}')


def thinker(*, tools: bool = False, calls_at_end: bool = False) -> OutputParser:
    parser = ThinkingParser("<think>", "</think>")
    return OutputParser(
        parser, ToolCallParser("<call>", ["f"]) if tools else None, new_id=lambda: "id", calls_at_end=calls_at_end
    )


def answer(scheduler: FakeScheduler, parser: OutputParser | None = None, **plan: Any) -> Answer:
    return Answer(scheduler.grant(), Plan({"prompt": "P:"}, parser or OutputParser(), 11, **plan))


async def pieces(answer: Answer) -> list[Piece]:
    return [piece async for some in answer for piece in some]


async def test_text_comes_as_it_is_said_and_the_outcome_is_known_at_the_end(scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("a", "b"), say("c"), done("d", reason="length", context=[1, 2])]]
    told = answer(scheduler)
    assert [[piece.content for piece in some] async for some in told] == [["a", "b"], ["c"], ["d"]]
    outcome = told.outcome
    assert outcome is not None
    assert (outcome.reason, outcome.load_duration, outcome.context) == ("length", 11, [1, 2])
    assert (outcome.prompt_tokens, outcome.cached_tokens, outcome.prompt_duration) == (5, 2, 30)
    assert (outcome.eval_tokens, outcome.eval_duration) == (7, 40)
    assert scheduler.released == 1


async def test_an_empty_answer_has_no_pieces_but_an_outcome(scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[done()]]
    told = answer(scheduler)
    assert await pieces(told) == []
    assert told.outcome is not None


async def test_thinking_is_told_from_content_and_what_is_held_back_comes_at_the_end(scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("<think>", "so"), say("</think>", " hi"), done("!")]]
    assert await pieces(answer(scheduler, thinker())) == [Piece(thinking="so"), Piece("hi"), Piece("!")]
    scheduler.runner.script = [[say("<thi"), done()]]
    assert await pieces(answer(scheduler, thinker())) == [Piece("<thi")]


@pytest.mark.parametrize("at_end", [False, True])
async def test_calls_come_when_they_are_complete_or_with_the_outcome(scheduler: FakeScheduler, at_end: bool) -> None:
    scheduler.runner.script = [[say('<call>{"name":"f","arguments":{"b":1,"a":2}}'), say(" "), done()]]
    told = answer(scheduler, thinker(tools=True, calls_at_end=at_end))
    early = [call for piece in await pieces(told) for call in piece.calls]
    assert told.outcome is not None
    (call,) = told.outcome.calls if at_end else early
    assert (early == []) == at_end
    assert (call.name, list(call.arguments), call.id) == ("f", ["b", "a"], "id")


async def test_logprobs_ride_along_also_where_the_text_is_held_back(scheduler: FakeScheduler) -> None:
    first, second = frames.Logprob("<thi", -1.0), frames.Logprob("s", -2.0)
    scheduler.runner.script = [[say_probably("<thi", first), say_probably("s", second), done()]]
    assert await pieces(answer(scheduler, thinker())) == [Piece(logprobs=[first]), Piece("<this", logprobs=[second])]


async def test_a_format_binds_an_answer_without_thoughts_from_the_start(scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("{}"), done()]]
    assert await pieces(answer(scheduler, format='"json"')) == [Piece("{}")]
    (asked,) = scheduler.runner.asked
    assert asked.get("constraint") == OBJECT


GRAMMAR = frames.Constraint("gbnf", 'root ::= "a"')


async def test_a_grammar_binds_in_place_of_a_format(scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("a"), done()]]
    await pieces(answer(scheduler, grammar=GRAMMAR))
    assert scheduler.runner.asked[0].get("constraint") == GRAMMAR


MARKS = Thoughts("<think>", "</think>")


def thoughtful(scheduler: FakeScheduler) -> Answer:
    return answer(scheduler, thinker(), format='"json"', thoughts=MARKS, thoughts_count_as_prompt=True)


class TestThinkingFirst:
    """Thoughts are free, and the format binds what follows them: the runner is told where it begins."""

    async def test_the_format_waits_for_the_closing_tag(self, scheduler: FakeScheduler) -> None:
        scheduler.runner.script = [[say("<think>so"), say("</think>\n\n{", "}"), done(tokens=9)]]
        told = answer(scheduler, thinker(), format='{"type":"object"}', thoughts=MARKS)
        assert await pieces(told) == [Piece(thinking="so"), Piece("{"), Piece("}")]
        (asked,) = scheduler.runner.asked
        assert asked["prompt"] == "P:"
        assert asked.get("constraint") == frames.Constraint(
            "json_schema", '{"type":"object"}', ["</think>"], opening="<think>"
        )
        assert told.outcome is not None
        assert (told.outcome.prompt_tokens, told.outcome.eval_tokens) == (5, 9)

    async def test_a_prompt_that_opens_the_thoughts_leaves_no_choice(self, scheduler: FakeScheduler) -> None:
        scheduler.runner.script = [[say("so</think>{}"), done()]]
        parser = OutputParser(ThinkingParser("<think>", "</think>", opened=True))
        assert await pieces(answer(scheduler, parser, format='"json"', thoughts=parser.thoughts(True))) == [
            Piece("{}", "so")
        ]
        (asked,) = scheduler.runner.asked
        constraint = asked.get("constraint")
        assert constraint is not None
        assert (constraint.after, constraint.opening) == (["</think>"], "")

    async def test_no_format_no_constraint(self, scheduler: FakeScheduler) -> None:
        scheduler.runner.script = [[say("<think>so</think>x"), done(tokens=9)]]
        told = answer(scheduler, thinker(), thoughts=MARKS, thoughts_count_as_prompt=True)
        assert await pieces(told) == [Piece("x", "so")]
        assert scheduler.runner.asked[0].get("constraint") is None
        assert told.outcome is not None
        assert told.outcome.eval_tokens == 9

    async def test_thoughts_count_as_prompt_where_the_reference_takes_two_passes(
        self, scheduler: FakeScheduler
    ) -> None:
        """A token of the fake is a letter: 19 before the answer."""
        scheduler.runner.script = [[say("<think>so"), say("</think>\n\n{", "}"), done(tokens=22)]]
        told = thoughtful(scheduler)
        await pieces(told)
        assert told.outcome is not None
        assert (told.outcome.prompt_tokens, told.outcome.eval_tokens) == (5 + 19, 3)
        assert told.outcome.prompt_duration + told.outcome.eval_duration == 30 + 40

    async def test_thoughts_without_an_answer_are_all_there_is(self, scheduler: FakeScheduler) -> None:
        scheduler.runner.script = [[say("<think>so"), done("</thi", reason="length")]]
        told = thoughtful(scheduler)
        assert await pieces(told) == [Piece(thinking="so"), Piece(thinking="</thi")]
        assert told.outcome is not None
        assert (told.outcome.reason, told.outcome.prompt_tokens, told.outcome.eval_tokens) == ("length", 5, 7)


@pytest.mark.parametrize("error", [RunnerFailed("no", 400), RunnerDied("signal: killed")])
async def test_a_failure_reaches_the_reader_and_ends_the_lease(scheduler: FakeScheduler, error: Exception) -> None:
    scheduler.runner.script = [[say("a"), error]]
    told = answer(scheduler)
    assert (await anext(told))[0].content == "a"
    with pytest.raises(type(error)):
        await anext(told)
    assert told.outcome is None
    assert scheduler.released == 1


async def test_a_bad_format_never_reaches_the_runner(scheduler: FakeScheduler) -> None:
    told = answer(scheduler, format="17")
    with pytest.raises(ApiError):
        await anext(told)
    assert scheduler.runner.asked == []
    assert scheduler.released == 1


async def test_closing_ends_the_generation_and_the_lease_once(scheduler: FakeScheduler) -> None:
    scheduler.runner.script = [[say("a")]]
    told = answer(scheduler)
    await anext(told)
    reader = asyncio.ensure_future(anext(told))
    await scheduler.runner.streams[0].dry.wait()
    told.close()
    told.close()
    assert scheduler.runner.streams[0].closed
    with pytest.raises(RunnerFailed):
        await reader
    assert scheduler.released == 1


@pytest.mark.parametrize("format", ["", "null", '""', " null "])
def test_no_format(format: str) -> None:
    assert constraint_of(format) is None


@pytest.mark.parametrize(
    ("format", "source"),
    [('"json"', '{"type":"object"}'), ("{}", "{}"), (' {"type": "string"}\n', '{"type": "string"}')],
)
def test_formats(format: str, source: str) -> None:
    assert constraint_of(format) == frames.Constraint("json_schema", source)


@pytest.mark.parametrize(("format", "quoted"), [('"xml"', r'"\"xml\""'), ("[1]", '"[1]"'), ("9" * 5000, None)])
def test_what_is_no_format(format: str, quoted: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        constraint_of(format)
    shown = quoted or f'"{format}"'
    assert caught.value.status == 500
    assert caught.value.message == f'invalid format: {shown}; expected "json" or a valid JSON Schema object'
