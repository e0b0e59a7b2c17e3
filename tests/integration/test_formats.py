"""Structured output of a real model: what it says validates, at any temperature."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scheduler import frames
from tests.integration.daemon import Daemon
from tests.integration.runner import Runner, load
from tests.unit.scheduler.runner.constrain.schemas import CASES
from tests.unit.scheduler.runner.constrain.test_schemas import validate

QUESTION = (
    "<|im_start|>user\nZoe is 31 years old and lives in Toronto. Answer in JSON.<|im_end|>\n<|im_start|>assistant\n"
)
ASKED = [
    "flat", "optional", "unicode", "mixed enum", "bounds", "number bounds", "pattern", "password", "date-time", "array",
    "tuple", "map", "record", "any of objects", "all of references", "tree", "root reference", "zod user",
    "zod discriminated", "pydantic Person", "pydantic Pets", "pydantic Shapes", "pydantic Tree", "pydantic Meeting",
]  # fmt: skip


@pytest.fixture(scope="module")
def chat() -> Iterator[Runner]:
    runner = Runner(load("tinychat-f16.gguf", parallel=4))
    yield runner
    assert runner.close() == 0


def generate(
    id: int,
    constraint: frames.Constraint,
    temperature: float = 0,
    *,
    prompt: str = QUESTION,
    preserved: tuple[str, ...] = (),
) -> frames.Generate:
    sampling = frames.Sampling(temperature=temperature, seed=id)
    return frames.Generate(id, prompt, sampling, num_predict=300, constraint=constraint, preserved=list(preserved))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_finished_answers_validate(chat: Runner, temperature: float) -> None:
    requests = [
        generate(number, frames.Constraint("json_schema", json.dumps(CASES[name].schema)), temperature)
        for number, name in enumerate(ASKED, start=1)
    ]
    answers = chat.run(*requests)
    finished = [number for number in range(1, len(ASKED) + 1) if answers.done(number).reason == "stop"]
    for number in finished:
        validate(CASES[ASKED[number - 1]], answers.text(number))
    assert len(finished) > len(ASKED) * 0.7


def test_members_come_in_the_order_of_the_schema(chat: Runner) -> None:
    for names in (["name", "age", "city"], ["city", "name", "age"]):
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
        answers = chat.run(generate(1, frames.Constraint("json_schema", json.dumps(schema))))
        assert list(json.loads(answers.text(1))) == names


@pytest.mark.parametrize(
    ("kind", "source", "text"),
    [
        ("regex", "(yes|no), (yes|no)", {"yes, yes", "yes, no", "no, yes", "no, no"}),
        ("lark", 'start: "<" NAME ">"\nNAME: "a" | "b"', {"<a>", "<b>"}),
        ("gbnf", 'root ::= "[" ("a" | "b") "]"', {"[a]", "[b]"}),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_grammars(chat: Runner, kind: Any, source: str, text: set[str], temperature: float) -> None:
    answers = chat.run(generate(1, frames.Constraint(kind, source), temperature))
    assert answers.text(1) in text
    assert answers.done(1).reason == "stop"


def test_thoughts_are_free_and_the_answer_is_bound(chat: Runner) -> None:
    constraint = frames.Constraint("json_schema", json.dumps(CASES["flat"].schema), after=["</think>"])
    answers = chat.run(generate(1, constraint, prompt=f"{QUESTION}<think>\n", preserved=("<think>", "</think>")))
    thoughts, closing, answer = answers.text(1).partition("</think>")
    assert thoughts
    assert closing
    validate(CASES["flat"], answer)


def test_an_answer_without_thoughts_is_bound_at_once(chat: Runner) -> None:
    constraint = frames.Constraint(
        "json_schema", json.dumps(CASES["flat"].schema), after=["</think>"], opening="<think>"
    )
    answers = chat.run(generate(1, constraint, prompt=f"{QUESTION}<think>\n\n</think>\n\n"))
    validate(CASES["flat"], answers.text(1))


@pytest.mark.parametrize(
    "constraint",
    [
        frames.Constraint("json_schema", '{"type": "nope"}'),
        frames.Constraint("json_schema", '{"items": ' * 5000 + "{}" + "}" * 5000),
        frames.Constraint("regex", "("),
        frames.Constraint("lark", "start: nowhere"),
        frames.Constraint("gbnf", 'root ::= root "a"'),
    ],
    ids=["type", "depth", "regex", "lark", "gbnf"],
)
def test_what_cannot_be_served_is_refused_and_nothing_else_suffers(chat: Runner, constraint: frames.Constraint) -> None:
    good = generate(1, frames.Constraint("json_schema", '{"enum": ["fine"]}'))
    answers = chat.run(good, generate(2, constraint))
    refusal = answers.ends[2]
    assert isinstance(refusal, frames.Failed)
    assert refusal.status == 400
    assert answers.text(1) == '"fine"'


@pytest.fixture(scope="module")
def server(daemon: Daemon) -> Daemon:
    daemon.add("formats", "tinychat-f16.gguf")
    return daemon


class TestThroughTheDaemon:
    """The client's text is the schema, in its order."""

    def ask(self, server: Daemon, format: str, *, think: bool = False) -> httpx.Response:
        fields: dict[str, object] = {
            "model": "formats",
            "messages": [{"role": "user", "content": "Zoe is 31 years old and lives in Toronto."}],
            "options": {"temperature": 0, "num_predict": 200},
            "stream": False,
            "think": think,
        }
        return server.http.post("/api/chat", content=f'{json.dumps(fields)[:-1]}, "format": {format}}}')

    @pytest.mark.parametrize("names", [["z", "a", "m"], ["ü", "b", "10", "9"]])
    def test_the_order_of_members_survives(self, server: Daemon, names: list[str]) -> None:
        properties = ", ".join(f'{json.dumps(name)}: {{"type" :"boolean"}}' for name in names)
        format = f'{{"required": {json.dumps(sorted(names))}, "properties": {{{properties}}}, "type":\t"object"}}'
        answer = self.ask(server, format)
        assert list(json.loads(answer.json()["message"]["content"])) == names

    def test_thoughts_come_first(self, server: Daemon) -> None:
        message = self.ask(server, json.dumps(CASES["flat"].schema), think=True).json()["message"]
        assert message["thinking"]
        validate(CASES["flat"], message["content"])

    def test_a_refusal_names_the_place(self, server: Daemon) -> None:
        answer = self.ask(server, '{"properties": {"a": {"type": "nope"}}}')
        assert answer.status_code == 400
        assert "#/properties/a/type" in answer.json()["error"]
