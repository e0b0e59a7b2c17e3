"""What Cogito and DeepSeek V3.1 write: reasoning, and calls in sections."""

from collections.abc import Callable
from typing import Any

import pytest

from server.messages import Message, ToolCall
from server.parse.families import FAMILIES
from server.parse.parsed import Parsed, Parser, Thoughts
from tests.unit.server.parse.families.pieces import every_way
from tests.unit.server.prompt.renderers.conversations import WEATHER

BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL, CALL_END, SEPARATOR = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
OUTPUT, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"
OUTPUTS, OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
FENCED = f"{CALL}function{SEPARATOR}get_weather\n```json\n%s\n```{CALL_END}"
PLAIN = f"{CALL} get_weather {SEPARATOR} %s {CALL_END}"
PARIS = '{"city": "Paris"}'


def cogito(**given: Any) -> Callable[[], Parser]:
    return lambda: FAMILIES["cogito"].make([WEATHER], given.get("last"), given.get("think"))


def deepseek(**given: Any) -> Callable[[], Parser]:
    return lambda: FAMILIES["deepseek3"].make([WEATHER], given.get("last"), given.get("think"))


def weather(index: int = 0, **arguments: Any) -> ToolCall:
    return ToolCall("get_weather", arguments, index=index)


BOTH = pytest.mark.parametrize(("make", "call"), [(cogito, FENCED), (deepseek, PLAIN)])


@BOTH
@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", Parsed()),
        (" Hi  there \n", Parsed(" Hi  there \n")),
        ("a <｜tool▁ca, <｜", Parsed("a <｜tool▁ca, <｜")),
        ("Hi {begin}{call}{end} bye", Parsed("Hibye", "", (weather(city="Paris"),))),
        ("{begin}\n{call}\n{call}\n{end}\n{begin}{call}{end}\n",
         Parsed(calls=(weather(city="Paris"), weather(1, city="Paris"), weather(2, city="Paris")))),
        ("Hi {begin}{call}", Parsed("Hi", "", (weather(city="Paris"),))),
        ("Hi {begin}{end} bye", Parsed("Hibye")),
        ("Hi{call}", Parsed("Hi{call}")),
    ],
)  # fmt: skip
def test_text_and_calls(make: Callable[..., Callable[[], Parser]], call: str, text: str, parsed: Parsed) -> None:
    parts = {"begin": BEGIN, "end": END, "call": call % PARIS}
    for found in every_way(make(), text.format(**parts)):
        assert found == Parsed(parsed.content.format(**parts), "", parsed.calls)


@BOTH
@pytest.mark.parametrize(
    "body",
    ["", "nothing", f"f{SEPARATOR}", f"f{SEPARATOR}[1]", f"f{SEPARATOR}{{", f"{SEPARATOR}{PARIS}",
     f"{SEPARATOR}\n```json\n{PARIS}\n```", f"a{SEPARATOR}f\n```json\n{PARIS}",
     f"a{SEPARATOR}f\n```json\n1\n```"],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(make: Callable[..., Callable[[], Parser]], call: str, body: str) -> None:
    written = f"{CALL}{body}{CALL_END}"
    for found in every_way(make(), f"a {BEGIN}{written}\n{call % PARIS}{END} b"):
        assert found == Parsed(f"a{written}b", "", (weather(city="Paris"),))


@BOTH
def test_a_call_that_does_not_end_stays_in_the_text(make: Callable[..., Callable[[], Parser]], call: str) -> None:
    cut = (call % PARIS).removesuffix(CALL_END)
    for found in every_way(make(), f"a {BEGIN}{cut}"):
        assert found == Parsed(f"a{cut}")
    for found in every_way(make(), f"a {BEGIN}{cut}{END} b"):
        assert found == Parsed(f"a{cut}b")
    for found in every_way(make(), f"{BEGIN}{CALL}"):
        assert found == Parsed(CALL)


@BOTH
def test_what_stands_between_calls_is_text(make: Callable[..., Callable[[], Parser]], call: str) -> None:
    for found in every_way(make(), f"a {BEGIN} b {call % PARIS} c "):
        assert found == Parsed("a b  c ", "", (weather(city="Paris"),))


@BOTH
def test_a_call_is_handed_out_when_it_ends(make: Callable[..., Callable[[], Parser]], call: str) -> None:
    assert make()().feed(BEGIN + call % PARIS).calls == (weather(city="Paris"),)


def test_arguments_keep_their_order() -> None:
    (found, *_) = every_way(deepseek(), BEGIN + PLAIN % '{"b": 1, "a": {"d": 1, "c": 2}}')
    assert list(found.calls[0].arguments) == ["b", "a"]
    assert list(found.calls[0].arguments["a"]) == ["d", "c"]


# -- results that the model makes up ----------------------------------------------------------------------------------


def test_cogito_s_results_are_dropped() -> None:
    for found in every_way(cogito(), f"a {OUTPUTS}{OUTPUT}22C{OUTPUT_END}{OUTPUTS_END} b"):
        assert found == Parsed("ab")
    for found in every_way(cogito(), f"a {OUTPUTS}b"):
        assert found == Parsed(f"a{OUTPUTS}b")


def test_deepseek_s_results_are_text() -> None:
    for found in every_way(deepseek(), f"a {OUTPUT} 22C {OUTPUT_END} b{OUTPUT}c {BEGIN}"):
        assert found == Parsed(f"a  22C  bc {BEGIN}")
    for found in every_way(deepseek(), f"{BEGIN}{PLAIN % PARIS}{END} {OUTPUT} 22C{OUTPUT_END} b"):
        assert found == Parsed(" 22C b", "", (weather(city="Paris"),))


# -- reasoning --------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("think", [True, "high"])
def test_reasoning_comes_first(make: Callable[..., Callable[[], Parser]], call: str, think: bool | str) -> None:
    for found in every_way(make(think=think), f"th\n</think>\n x {BEGIN}{call % PARIS}"):
        assert found == Parsed("x", "th", (weather(city="Paris"),))
    assert FAMILIES["cogito"].make([], None, think).thoughts == Thoughts("", "</think>")


@BOTH
@pytest.mark.parametrize("think", [None, False])
def test_without_asking_for_it_there_is_none(
    make: Callable[..., Callable[[], Parser]], call: str, think: bool | None
) -> None:
    for found in every_way(make(think=think), "th\n</think>\n x"):
        assert found == Parsed("th\n</think>\n x")


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_only_where_the_prompt_opens_it(role: str) -> None:
    last = Message(role, "so")
    assert FAMILIES["deepseek3"].make([], last, True).thoughts is None
    assert FAMILIES["cogito"].make([], last, True).thoughts == Thoughts("", "</think>")
