"""What Muse Glimmer writes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.messages import Tool, ToolCall
from server.parse.families import FAMILIES
from server.parse.families.family import FamilyParser
from server.parse.parsed import Parsed, Thoughts
from tests.unit.server.parse.families.pieces import every_way
from tests.unit.server.prompt.renderers.conversations import WEATHER

TOOLS = [WEATHER, Tool(name="math.add")]
START = "<|start|>assistant"


def parser() -> FamilyParser:
    return FAMILIES["glimmer"].make(TOOLS, None, None)


def quiet() -> FamilyParser:
    return FAMILIES["glimmer"].make(TOOLS, None, False)


def without_tools() -> FamilyParser:
    return FAMILIES["glimmer"].make([], None, True)


def block(name: str = "get_weather", **parameters: str) -> str:
    listed = "".join(f'<atem:parameter name="{key}">{value}</atem:parameter>\n' for key, value in parameters.items())
    return f'<atem:function_calls>\n<atem:invoke name="{name}">\n{listed}</atem:invoke>\n</atem:function_calls>'


def message(recipient: str, body: str, end: str = "<|eot|>") -> str:
    return f" to={recipient}<|message|>{body}{end}"


def called(name: str = "get_weather", **arguments: Any) -> tuple[ToolCall, ...]:
    return (ToolCall(name, arguments),)


PLAN = message("self", "plan", "<|eom|>") + START
PARIS = block(city="Paris")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (PLAN + message("get_weather", PARIS), Parsed("", "plan", called(city="Paris"))),
        (PLAN + message("user", "a < b <|x|> "), Parsed("a < b <|x|> ", "plan")),
        ("<|message|>Hi<|eot|>", Parsed("Hi")),
        (START + message("bob", "Hi"), Parsed("Hi")),
        (message("user", "Hi", ""), Parsed("Hi")),
        (message("user", "a", "") + START + message("self", "b", "") + START + "<|message|>c", Parsed("ac", "b")),
        (message("get_weather", PARIS, "<|eom|>") + START + message("get_weather", PARIS + "\n"),
         Parsed(calls=(*called(city="Paris"), ToolCall("get_weather", {"city": "Paris"}, index=1)))),
        (message("get_weather", PARIS, ""), Parsed(calls=called(city="Paris"))),
        (message("get_weather", PARIS + "\n so"), Parsed("so", "", called(city="Paris"))),
        (message("get_weather.get_weather", PARIS), Parsed(calls=called(city="Paris"))),
        (message("math.math.add", block("math.add")), Parsed(calls=called("math.add"))),
        (message("get_weather", block("get_<|message|>weather")), Parsed(calls=called())),
        (message("get_weather", block(city="\n a <|eot|> & </b> ", days="3", x="3")),
         Parsed(calls=called(city="\n a <|eot|> & </b> ", days=3, x="3"))),
        (message("user", f"\n{PARIS}\n"), Parsed(calls=called(city="Paris"))),
        (message("user", PARIS, ""), Parsed(calls=called(city="Paris"))),
        ("", Parsed()),
        (START, Parsed()),
        (" ", Parsed()),
    ],
)  # fmt: skip
def test_messages(text: str, parsed: Parsed) -> None:
    for found in every_way(parser, text):
        assert found == parsed


@pytest.mark.parametrize(
    "body",
    [
        PARIS + " and more",
        block("unknown"),
        "<atem:function_calls></atem:function_calls>",
        "<atem:function_calls>\n<atem:invoke",
        f"so {PARIS}",
        "<atem:fun",
        f"{START} is {START} to=somebody<|message|>",
        "<|start|>user<|message|>",
        f"{START} to=get_wea",
        "<|start|>assist",
        "<|eo",
    ],
)
def test_what_is_no_call_stays_in_the_text(body: str) -> None:
    for found in every_way(parser, message("user", body, "")):
        assert found == Parsed(body)


@pytest.mark.parametrize(
    "body",
    [
        block("math.add"),
        block("unknown"),
        block().replace("</atem:invoke>", ""),
        block().replace(' name="get_weather"', ""),
        "<atem:function_calls>\n<atem:invoke",
        "no call",
        "",
    ],
)
def test_a_call_that_cannot_be_read_is_text(body: str) -> None:
    for found in every_way(parser, message("get_weather", body, "")):
        assert found == Parsed(body)


@pytest.mark.parametrize(
    "text", ["Hi to you", "to you", "tomorrow <|message|>", " to=self", "<|start|>tool x", "to=a b"]
)
def test_text_without_a_header_is_content(text: str) -> None:
    for found in every_way(parser, text):
        assert found == Parsed(text)


def test_text_comes_at_once() -> None:
    answer = parser()
    assert answer.feed("Hi") == Parsed("Hi")
    assert answer.feed(f" {START} to=get_w") == Parsed(" ")
    assert answer.feed("ood") == Parsed(f"{START} to=get_wood")
    assert answer.feed("<|eom|>" + START + " to=get_weather<|message|>" + PARIS) == Parsed(calls=called(city="Paris"))


def test_who_shall_not_think_tells_no_thoughts() -> None:
    for found in every_way(quiet, PLAN + message("user", "Hi")):
        assert found == Parsed("Hi")


def test_without_tools_there_are_no_calls() -> None:
    for found in every_way(without_tools, message("get_weather", PARIS)):
        assert found == Parsed(PARIS)


def test_a_format_begins_behind_the_header_of_the_answer() -> None:
    assert parser().thoughts == quiet().thoughts == Thoughts("", "to=user<|message|>")


_HEADERS = ["<|eom|>", "<|eot|>", START, " to=user", " to=self", " to=get_weather", "<|message|>", "<|"]
_BLOCKS = ["<atem:function_calls>", "</atem:function_calls>", '<atem:invoke name="get_weather">', "</atem:invoke>"]
_PIECES = [*_HEADERS, *_BLOCKS, PARIS, "x", " "]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_cuts_never_matter(text: str) -> None:
    first, *others = every_way(parser, text)
    assert all(found == first for found in others)
