"""The measurement of a long template: it measures what it says."""

import json

import pytest

from benchmarks import templates
from modelstore.template import Template
from server.prompt import gotemplate


def test_the_template_is_as_long_as_it_says_and_the_chat_too() -> None:
    cost = templates.measure(runs=1)
    assert (cost.lines, cost.messages, cost.runs) == (200, 50, 1)
    assert cost.median > 0


def test_everything_of_the_chat_is_in_the_prompt() -> None:
    """Tools in both notations, each question, call, result and answer; reasoning since the last question."""
    prompt = gotemplate.render(Template.parse(templates.text()), templates.chat(), tools=templates.tools(), think=True)
    assert all(f"type {tool.name} = (_: {{" in prompt for tool in templates.tools())
    assert '  unit?: "metric" | "imperial",' in prompt
    assert prompt.count("<call>") == 1 + sum(len(message.tool_calls) for message in templates.chat())
    assert prompt.count("</result>") == 12
    assert prompt.count("<|start|>user<|") == 13
    assert prompt.endswith("<|start|>assistant<|analysis|>\n")


def test_the_command_prints_one_object(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["templates", "--runs", "1"])
    assert templates.main() == 0
    assert json.loads(capsys.readouterr().out)["budget"] == templates.BUDGET
