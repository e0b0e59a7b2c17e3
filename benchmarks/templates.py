"""`python -m benchmarks.templates`: how long a long Go template takes over a long chat.

Renders `chat.tmpl`, 200 lines, over 50 messages with tools, calls, results and reasoning: what the daemon does with a
request to a model that brings such a template, from the messages to the prompt. The template is parsed before. Needs
neither model nor engine. Prints one JSON object.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from modelstore.template import Template
from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt import gotemplate

BUDGET: Final = 5.0
"""Milliseconds that the median may take."""
MESSAGES: Final = 50
_TEMPLATE: Final = Path(__file__).with_name("chat.tmpl")
_WARM_UP: Final = 5
_NAMES: Final = ("weather", "search", "calendar", "convert", "translate")


@dataclass(frozen=True, slots=True)
class RenderCost:
    """Milliseconds of one prompt; and what was measured."""

    lines: int
    messages: int
    characters: int
    runs: int
    median: float
    fastest: float
    parse: float


def text() -> str:
    """The template."""
    return _TEMPLATE.read_text(encoding="utf-8")


def tools() -> list[Tool]:
    """Five functions with four parameters each."""
    return [_tool(name) for name in _NAMES]


def _tool(name: str) -> Tool:
    properties = {
        "place": Property(type=["string"], description=f"What {name} is about"),
        "days": Property(type=["integer"], description="How far ahead"),
        "unit": Property(type=["string"], enum=["metric", "imperial"]),
        "tags": Property(type=["array"], items={"type": "string"}),
    }
    parameters = Parameters("object", required=["place"], properties=properties)
    return Tool("function", name=name, description=f"Does {name}.", parameters=parameters)


def chat(count: int = MESSAGES) -> list[Message]:
    """A system text, then questions, calls with reasoning, results and answers in turn; the last is a question."""
    turns: Sequence[Callable[[int], Message]] = (_question, _call, _result, _answer)
    return [Message("system", "Answer briefly.\nName your sources."), *(turns[i % 4](i) for i in range(count - 1))]


def _question(number: int) -> Message:
    return Message("user", f"Question {number}: how will the weather be in town {number}, and why?")


def _call(number: int) -> Message:
    arguments = {"place": f"town {number}", "days": number, "unit": "metric", "tags": ["rain", "wind"]}
    calls = [ToolCall(name, arguments, f"call_{number}_{name}") for name in _NAMES[: 1 + number % 2]]
    return Message("assistant", thinking="This needs a look at the forecast.", tool_calls=calls)


def _result(number: int) -> Message:
    return Message("tool", f"Rain & wind, {number} degrees.", tool_name="weather", tool_call_id=f"call_{number - 1}")


def _answer(number: int) -> Message:
    return Message("assistant", f"It will rain in town {number}: a front comes in from the west." * 3)


def measure(runs: int) -> RenderCost:
    """Render so many times, after some more that do not count."""
    source, messages, offered = text(), chat(), tools()
    began = time.perf_counter()
    template = Template(source)
    parse = time.perf_counter() - began
    gc.collect()
    taken: list[float] = []
    prompt = ""
    for _ in range(_WARM_UP + runs):
        began = time.perf_counter()
        prompt = gotemplate.render(template, messages, tools=offered, think=True)
        taken.append((time.perf_counter() - began) * 1000)
    del taken[:_WARM_UP]
    median, lines = statistics.median(taken), source.count("\n")
    return RenderCost(lines, len(messages), len(prompt), runs, median, min(taken), parse * 1000)


def main() -> int:
    """Status 1 where `--strict` is given and the median is above the budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.templates")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--strict", action="store_true", help=f"status 1 when the median exceeds {BUDGET:g} ms")
    given = parser.parse_args()
    cost = measure(given.runs)
    print(json.dumps({name: round(value, 3) for name, value in asdict(cost).items()} | {"budget": BUDGET}))
    return int(given.strict and cost.median > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
