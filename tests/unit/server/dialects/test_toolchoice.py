"""The choice of tools, in the forms that clients write it."""

from typing import Any

import pytest

from server.dialects.toolchoice import tool_choice
from server.errors import ApiError
from server.inference.request import ChatRequest, Named
from server.messages import Tool

TOOLS = [Tool("function", name="a"), Tool("function", name="b")]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        ({"type": "function", "function": {"name": "b"}}, Named("b")),
        ({"function": {"name": "b"}}, Named("b")),
        ({"type": "function", "name": "a"}, Named("a")),
    ],
)
def test_forms(given: Any, choice: Any) -> None:
    assert tool_choice(given, TOOLS) == choice


@pytest.mark.parametrize(
    "given",
    ["", "Auto", "a", True, 1, [], {}, {"type": "function"}, {"type": "tool", "name": "a"}, {"name": ""}, {"name": 1},
     {"function": "a"}],
)  # fmt: skip
def test_anything_else_is_refused_with_the_forms_there_are(given: Any) -> None:
    with pytest.raises(ApiError, match='"auto", "none", "required"') as refused:
        tool_choice(given, TOOLS)
    assert refused.value.status == 400


def test_a_choice_needs_its_tool() -> None:
    with pytest.raises(ApiError, match='tool_choice "required" needs tools'):
        tool_choice("required", [])
    with pytest.raises(ApiError, match='names "c", which is not among the tools'):
        tool_choice({"function": {"name": "c"}}, TOOLS)
    assert tool_choice("none", []) == "none"


def test_none_is_a_request_without_tools() -> None:
    assert ChatRequest(model="m", tools=list(TOOLS), tool_choice="none").tools == []
    assert ChatRequest(model="m", tools=list(TOOLS)).tools == TOOLS
