"""GLM-4.7 and GLM-OCR prompts."""

import pytest

from server.messages import Message, ToolCall
from server.prompt.renderers import RENDERERS
from tests.unit.server.prompt.renderers.conversations import EXAMPLE, WEATHER

glm47, ocr = RENDERERS["glm-4.7"], RENDERERS["glm-ocr"]
TOOLS = (
    "[gMASK]<sop><|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
    "provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    '{"type": "function", "function": {"name": "get_weather", "description": "Get weather", "parameters": '
    '{"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "description": "City name"}, '
    '"days": {"type": "integer"}}}}}\n</tools>\n\nFor each function call, output the function name and arguments '
    "within the following XML format:\n<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key>"
    "<arg_value>{arg-value-1}</arg_value><arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>"
)
CALLED = (
    "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>"
    "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>"
)
TAIL = (
    "<|system|>Be brief.<|user|>Weather in Paris?<|assistant|><think>Need tool.</think>Checking."
    f"{CALLED}<|observation|><tool_response>22C</tool_response>"
)
OCR_TAIL = (
    "<|system|>\nBe brief.\n<|user|>\nWeather in Paris?<|assistant|>\n<think>Need tool.</think>\nChecking.\n"
    f"{CALLED}\n<|observation|>\n<tool_response>\n22C\n</tool_response>\n<|assistant|>\n"
)
HI = Message("user", "hi")


@pytest.mark.parametrize(
    ("think", "end"), [(None, "<think>"), (True, "<think>"), ("low", "<think>"), (False, "</think>")]
)
def test_a_call_and_its_result(think: bool | str | None, end: str) -> None:
    assert glm47(EXAMPLE, [WEATHER], think) == f"{TOOLS}{TAIL}<|assistant|>{end}"
    assert glm47(EXAMPLE, [], think) == f"[gMASK]<sop>{TAIL}<|assistant|>{end}"


def test_answers_are_closed_and_results_share_a_turn() -> None:
    call = ToolCall("f", {"a": "x < y", "b": ["<", 1.0], "c": None})
    turns = [HI, Message("assistant", " so ", tool_calls=[call]), Message("tool", "1"), Message("tool", "2")]
    assert glm47([*turns, Message("assistant", "done")], [], None) == (
        "[gMASK]<sop><|user|>hi<|assistant|></think> so <tool_call>f<arg_key>a</arg_key><arg_value>x < y</arg_value>"
        '<arg_key>b</arg_key><arg_value>["\\u003c",1]</arg_value><arg_key>c</arg_key><arg_value>null</arg_value>'
        "</tool_call><|observation|><tool_response>1</tool_response><tool_response>2</tool_response>"
        "<|assistant|></think>done<|assistant|><think>"
    )


def test_ocr_a_call_and_its_result() -> None:
    assert ocr(EXAMPLE, [], None) == f"[gMASK]<sop>{OCR_TAIL}"
    assert ocr(EXAMPLE, [WEATHER], True) == f"{TOOLS}{OCR_TAIL}"


def test_ocr_without_thoughts() -> None:
    end = "<|assistant|>\n<think></think>\n"
    assert ocr([HI], [], False) == f"[gMASK]<sop><|user|>\nhi/nothink{end}"
    assert ocr([Message("user", "hi /nothink")], [], False) == f"[gMASK]<sop><|user|>\nhi /nothink{end}"


def test_ocr_results_share_a_turn() -> None:
    turns = [Message("assistant", "\n", " hm\n"), Message("tool", "1"), Message("tool", "2")]
    assert ocr(turns, [], None) == (
        "[gMASK]<sop><|assistant|>\n<think>hm</think>\n<|observation|>\n<tool_response>\n1\n</tool_response>\n"
        "\n<tool_response>\n2\n</tool_response>\n<|assistant|>\n"
    )


def test_ocr_sees_pictures() -> None:
    asked = Message("user", "Read", images=[b""])
    assert ocr([asked], [], None) == "[gMASK]<sop><|user|>\n[img-0] Read<|assistant|>\n"
    assert "img" not in glm47([asked], [], None)
