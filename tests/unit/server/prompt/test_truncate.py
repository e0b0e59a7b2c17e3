"""What is left of a conversation that is too long, and what it costs to find out."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import Message, ToolCall
from server.prompt import Room, Window, fit, images
from server.prompt.errors import PromptError, RendererRefusal

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
Template = Callable[[Sequence[Message]], str]


def joined(messages: Sequence[Message]) -> str:
    return "".join(f"{message.role}:{message.content};" for message in messages)


def with_default(messages: Sequence[Message]) -> str:
    """Says something of its own where no system text leads."""
    return ("" if messages[0].role == SYSTEM else "you are helpful, harmless and honest;") + joined(messages)


def merged(messages: Sequence[Message]) -> str:
    """Neighbours of one role share a turn."""
    pieces: list[str] = []
    for before, message in zip([None, *messages], messages, strict=False):
        same = before is not None and before.role == message.role
        pieces.append(f"\n\n{message.content}" if same else f"<{message.role}>{message.content}")
    return "".join(pieces)


def before_question(messages: Sequence[Message]) -> str:
    """The system text stands only in a conversation that begins with a question."""
    talk = [message for message in messages if message.role != SYSTEM]
    led = bool(talk) and talk[0].role == USER
    return "".join(message.content for message in messages if message.role == SYSTEM and led) + joined(talk)


def leading_only(messages: Sequence[Message]) -> str:
    """Instructions that do not come first are left out."""
    return "".join(message.content for at, message in enumerate(messages) if not at or message.role != SYSTEM)


def with_question(messages: Sequence[Message]) -> str:
    if all(message.role != USER for message in messages):
        raise RendererRefusal("no user query found in messages")
    return joined(messages)


def alternating(messages: Sequence[Message]) -> str:
    """A user's turn and an answer in turn, as many chat templates insist."""
    talk = [message for message in messages if message.role != SYSTEM]
    if any((message.role == USER) != (at % 2 == 0) for at, message in enumerate(talk)):
        raise RendererRefusal("roles must alternate")
    return joined(messages)


TEMPLATES: list[Template] = [
    joined,
    with_default,
    merged,
    before_question,
    leading_only,
    with_question,
    alternating,
]


@dataclass
class Bench:
    """Renders by a template; a token is a byte. Notes what is asked for."""

    template: Template
    rendered: int = 0
    counted: list[int] = field(default_factory=list[int])
    """Prompts of each round trip."""

    async def render(self, messages: Sequence[Message]) -> str:
        self.rendered += 1
        return self.template(messages)

    async def count(self, prompts: list[str]) -> list[int]:
        self.counted.append(len(prompts))
        return [len(prompt.encode()) for prompt in prompts]

    async def fit(self, messages: Sequence[Message], room: Room) -> Window:
        return await fit(messages, room, render=self.render, count=self.count)

    def keep(
        self, messages: Sequence[Message], limit: int, media: int = 0, *, of_system: bool = False
    ) -> list[Message]:
        return asyncio.run(self.fit(messages, Room(limit, media, of_system))).messages


def window(messages: Sequence[Message], index: int) -> list[Message]:
    return [*(message for message in messages[:index] if message.role == SYSTEM), *messages[index:]]


def naive(messages: Sequence[Message], limit: int, template: Template, media: int = 0) -> list[Message] | None:
    """The documented rule, one window after the other; None where it has no prompt to end with."""
    for index in range(len(messages)):
        try:
            tokens = len(template(window(messages, index)).encode())
        except PromptError:
            continue
        if tokens + media * images.total(messages[index:]) <= limit or index == len(messages) - 1:
            return window(messages, index)
    return None


TURN = st.builds(
    Message,
    st.sampled_from([SYSTEM, USER, USER, ASSISTANT, ASSISTANT, TOOL]),
    st.text("xé", max_size=30),
    images=st.sampled_from([[], [], [], [b""], [b"", b""]]),
)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=50)
@given(messages=st.lists(TURN, min_size=1, max_size=14), limit=st.integers(1, 240))
def test_the_result_is_that_of_trying_all_in_turn(template: Template, messages: list[Message], limit: int) -> None:
    try:
        template(messages)
    except PromptError:
        return
    expected = naive(messages, limit, template, 7)
    if expected is not None:
        assert Bench(template).keep(messages, limit, 7) == expected


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from([USER, ASSISTANT, TOOL]), st.integers(0, 200)), min_size=40, max_size=60),
    st.integers(1, 99),
)
def test_long_ones_too(turns: list[tuple[str, int]], percent: int) -> None:
    messages = [Message(role, "x" * size) for role, size in turns]
    limit = len(joined(messages)) * percent // 100
    assert Bench(joined).keep(messages, limit) == naive(messages, limit, joined)


# -- what it costs ----------------------------------------------------------------------------------------------------


def agent(
    count: int, roles: Sequence[str] = (USER, ASSISTANT), sizes: Sequence[int] = (40, 900, 3, 2500, 120)
) -> list[Message]:
    turns = [Message(roles[at % len(roles)], "x" * sizes[at * at % len(sizes)]) for at in range(count)]
    return [Message(SYSTEM, "s" * 700), *turns]


@pytest.mark.parametrize("share", [0.99, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("roles", [(USER, ASSISTANT), (USER, ASSISTANT, TOOL, ASSISTANT), (TOOL, ASSISTANT, TOOL)])
@pytest.mark.parametrize("sizes", [(100,), (40, 900, 3, 2500, 120), (1, 1, 20_000)])
def test_five_hundred_messages_take_few_round_trips(share: float, roles: Sequence[str], sizes: Sequence[int]) -> None:
    messages = agent(500, roles, sizes)
    bench, limit = Bench(joined), int(len(joined(messages)) * share)
    assert bench.keep(messages, limit) == naive(messages, limit, joined)
    assert len(bench.counted) <= 8
    assert sum(bench.counted) <= 16
    assert bench.rendered <= 25


@settings(max_examples=20)
@given(st.lists(st.sampled_from([0, 1, 30, 3000]), min_size=100, max_size=200), st.integers(1, 99))
def test_whatever_the_sizes_round_trips_are_few(sizes: list[int], percent: int) -> None:
    messages = [Message((USER, ASSISTANT)[at % 2], "x" * size) for at, size in enumerate(sizes)]
    bench = Bench(joined)
    bench.keep(messages, len(joined(messages)) * percent // 100)
    assert len(bench.counted) <= 12


def test_text_that_takes_more_tokens_than_it_looks_does_not_lead_astray() -> None:
    """The estimate is made from bytes; here some messages hide nearly all of the tokens."""
    messages = [Message((USER, ASSISTANT)[at % 2], "x", thinking="t" * (at % 7 == 3) * 4000) for at in range(500)]

    def thoughtful(given: Sequence[Message]) -> str:
        return "".join(f"{message.role}:{message.thinking}{message.content};" for message in given)

    for share in (0.9, 0.5, 0.1):
        bench, limit = Bench(thoughtful), int(len(thoughtful(messages)) * share)
        assert bench.keep(messages, limit) == naive(messages, limit, thoughtful)
        assert len(bench.counted) <= 12


def test_what_fits_is_rendered_once_and_a_prompt_of_few_bytes_is_not_counted() -> None:
    messages = [Message(USER, "a"), Message(USER, "b")]
    bench = Bench(joined)
    found = asyncio.run(bench.fit(messages, Room(15)))
    assert found == Window(messages, "user:a;user:b;")
    assert (bench.rendered, bench.counted) == (1, [])
    asyncio.run(bench.fit(messages, Room(14)))
    assert bench.counted == [1]


def test_calls_are_weighed_too() -> None:
    messages = [Message(ASSISTANT, tool_calls=[ToolCall("f", {"text": "x" * 500})]), Message(TOOL, "y")] * 50

    def shown(given: Sequence[Message]) -> str:
        return "".join(message.content + str([call.arguments for call in message.tool_calls]) for message in given)

    bench, limit = Bench(shown), 5000
    assert bench.keep(messages, limit) == naive(messages, limit, shown)
    assert len(bench.counted) <= 4


# -- the ends of the rule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("messages", [[], [Message(USER, "x" * 99)]])
def test_the_last_message_always_stays(messages: list[Message]) -> None:
    assert Bench(joined).keep(messages, 4) == messages


def test_the_last_message_and_all_system_texts_stay_even_if_they_are_too_long() -> None:
    messages = [Message(SYSTEM, "a"), Message(USER, "b"), Message(SYSTEM, "c"), Message(USER, "d" * 99)]
    assert Bench(joined).keep(messages, 10) == [messages[0], messages[2], messages[3]]


def test_a_conversation_may_then_begin_with_an_answer_or_a_result() -> None:
    messages = [Message(USER, "x" * 50), Message(ASSISTANT, "y" * 50), Message(TOOL, "z")]
    assert Bench(joined).keep(messages, 80)[0].role == ASSISTANT
    assert Bench(joined).keep(messages, 10)[0].role == TOOL


def test_a_picture_costs_tokens_where_there_is_a_projector() -> None:
    messages = [Message(USER, "a", images=[b""]), Message(USER, "b")]
    assert Bench(joined).keep(messages, 700) == messages
    assert Bench(joined).keep(messages, 700, 768) == messages[1:]


def test_pictures_of_system_texts_that_stay_count_in_the_weights_own_template_only() -> None:
    messages = [
        Message(SYSTEM, "s", images=[b""]),
        Message(USER, "a" * 600),
        Message(ASSISTANT, "b"),
        Message(USER, "c"),
    ]
    assert Bench(joined).keep(messages, 800, 768) == messages
    assert Bench(joined).keep(messages, 800, 768, of_system=True) == [messages[0], *messages[2:]]


# -- windows that have no prompt --------------------------------------------------------------------------------------


def test_a_window_that_is_refused_is_passed_over() -> None:
    messages = [Message((USER, ASSISTANT)[at % 2], "x" * 20) for at in range(21)]
    kept = Bench(alternating).keep(messages, 200)
    assert kept == messages[-7:]
    assert kept[0].role == USER


def test_where_nothing_fits_the_shortest_window_that_has_a_prompt_is_left() -> None:
    """The last question of a long chain of calls stays, rather than that there be none."""
    chain = [Message((ASSISTANT, TOOL)[at % 2], "x" * 20) for at in range(20)]
    messages = [Message(SYSTEM, "s"), Message(USER, "old"), Message(ASSISTANT, "a"), Message(USER, "new"), *chain]
    assert Bench(with_question).keep(messages, 100) == [messages[0], *messages[3:]]


def test_what_is_wrong_with_the_whole_conversation_is_told() -> None:
    with pytest.raises(RendererRefusal, match="no user query"):
        Bench(with_question).keep([Message(ASSISTANT, "x" * 50), Message(ASSISTANT, "y")], 10)


def test_a_conversation_of_which_no_part_has_a_prompt_stays_whole() -> None:
    def whole_only(given: Sequence[Message]) -> str:
        if len(given) < 3:
            raise RendererRefusal("too short")
        return joined(given)

    messages = [Message(USER, "x" * 50), Message(ASSISTANT, "y"), Message(USER, "z")]
    assert Bench(whole_only).keep(messages, 10) == messages
