"""What binds the calls of tools in an answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelstore.model import StoredModel
from modelstore.names import Name
from modelstore.store import Store
from scheduler import frames
from server.inference.answer import Answer, Plan
from server.inference.calling import Calling, calling
from server.inference.request import ChatRequest, Named
from server.messages import Parameters, Tool
from server.parse import OutputParser, Thoughts
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import FakeScheduler, done, install, say

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOLS = [Tool("function", name=name, parameters=Parameters("object", schema=SCHEMA)) for name in ("add", "more")]
GO = (
    "{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}<call>{{ range .ToolCalls }}"
    '{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}</call>{{ end }}{{ end }}{{ end }}'
    "{{ .Tools }}"
)
JINJA = (
    "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</tool_call>'
    "{% endfor %}{% endfor %}{{ tools }}"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")


def stored(store: Store, weights: bytes | None = None, **body: Any) -> StoredModel:
    install(store, "m", weights, **body)
    return store.catalog.get(Name.parse("m"))


def chat(**changes: Any) -> ChatRequest:
    fields: dict[str, Any] = {"tools": list(TOOLS), **changes}
    return ChatRequest(model="m", **fields)


def calls_of(model: StoredModel, **changes: Any) -> frames.Calls:
    bound = calling(model, chat(**changes))
    assert bound is not None
    return bound.calls


def test_the_config_names_the_form(store: Store) -> None:
    calls = calls_of(stored(store, renderer="qwen3-coder", parser="qwen3-coder"))
    assert calls.openings == ["<tool_call>"]
    assert not calls.required
    assert "<function=add>" in calls.rules


def test_else_the_template_shows_it(store: Store) -> None:
    calls = calls_of(stored(store, template=GO))
    assert calls.openings == ["<call>"]
    assert '\\"parameters\\"' in calls.rules
    assert json.loads(calls.schemas[0]) == SCHEMA
    native = calls_of(stored(store, tinygguf.model(tokenizer__chat_template=JINJA)))
    assert native.openings == ["<tool_call>"]
    assert '\\"arguments\\"' in native.rules


def test_or_the_marks_in_the_chat_template(store: Store) -> None:
    marks = "{{ tools }}<tool_call><function={{ n }}><parameter={{ k }}>"
    calls = calls_of(stored(store, tinygguf.model(tokenizer__chat_template=marks)))
    assert "<function=add>" in calls.rules


def test_where_nobody_knows_it_nothing_is_bound_unless_calls_are_required(store: Store) -> None:
    model = stored(store, template="{{ range .Messages }}{{ .Content }}{{ end }}{{ .Tools }}")
    assert calling(model, chat()) is None
    calls = calls_of(model, tool_choice="required")
    assert calls.required
    assert calls.at_start


def test_without_tools_nothing_is_bound(store: Store) -> None:
    assert calling(stored(store, template=GO), chat(tools=[])) is None
    assert calling(stored(store, template=GO), chat(tool_choice="none")) is None


def test_a_named_tool_is_called_alone_and_once(store: Store) -> None:
    calls = calls_of(stored(store, template=GO), tool_choice=Named("more"))
    assert calls.required
    assert not calls.many
    assert "more" in calls.rules
    assert "add" not in calls.rules
    assert calls_of(stored(store, template=GO)).many
    assert not calls_of(stored(store, template=GO), parallel_tool_calls=False).many


def test_a_tool_without_a_name_cannot_be_called(store: Store) -> None:
    model = stored(store, template=GO)
    assert calling(model, chat(tools=[Tool("function")])) is None
    assert "add" in calls_of(model, tools=[Tool("function"), TOOLS[0]]).rules


def test_of_tools_with_one_name_the_last_counts(store: Store) -> None:
    other = Tool("function", name="add", parameters=Parameters("object", schema={"type": "object"}))
    calls = calls_of(stored(store, template=GO), tools=[TOOLS[0], other])
    assert [json.loads(schema) for schema in calls.schemas] == [{"type": "object"}]


# -- together with what else binds the answer --------------------------------------------------------------------------

CALLS = frames.Calls("calls: rest\nrest: json_0", ["<c>"], schemas=["{}"])
MARKS = Thoughts("<t>", "</t>")


async def asked(scheduler: FakeScheduler, bound: Calling, **plan: Any) -> frames.Constraint:
    """The constraint that the runner is sent."""
    scheduler.runner.script = [[say("x"), done()]]
    answer = Answer(scheduler.grant(), Plan({"prompt": "P:"}, OutputParser(), 0, bound=bound, **plan))
    async for _ in answer:
        pass
    constraint = scheduler.runner.asked[-1].get("constraint")
    assert constraint is not None
    return constraint


@pytest.mark.anyio
async def test_calls_bind_free_text_behind_the_thoughts(scheduler: FakeScheduler) -> None:
    sent = await asked(scheduler, Calling(CALLS, None), thoughts=MARKS)
    assert sent == frames.Constraint("any", after=["</t>"], opening="<t>", calls=CALLS)
    assert await asked(scheduler, Calling(CALLS, None)) == frames.Constraint("any", calls=CALLS)


@pytest.mark.anyio
async def test_calls_that_may_stand_in_thoughts_wait_for_nothing(scheduler: FakeScheduler) -> None:
    anywhere = frames.Calls(CALLS.rules, CALLS.openings, schemas=CALLS.schemas, anywhere=True)
    assert (await asked(scheduler, Calling(anywhere, None), thoughts=MARKS)).after == []


@pytest.mark.anyio
async def test_with_a_format_the_answer_is_either(scheduler: FakeScheduler) -> None:
    sent = await asked(scheduler, Calling(CALLS, None), thoughts=MARKS, format='{"type":"array"}')
    assert (sent.kind, sent.source, sent.after) == ("json_schema", '{"type":"array"}', ["</t>"])
    assert sent.calls == CALLS


@pytest.mark.anyio
async def test_thoughts_may_end_otherwise_in_front_of_calls(scheduler: FakeScheduler) -> None:
    own = Calling(CALLS, Thoughts("", "</own>"))
    assert (await asked(scheduler, own, thoughts=MARKS)).after == ["</own>"]
    assert (await asked(scheduler, own)).after == [], "there are no thoughts at all"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
