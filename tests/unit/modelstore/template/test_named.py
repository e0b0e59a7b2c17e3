"""Built-in templates: what they render, and which chat templates they are chosen for."""

import hashlib
import importlib

import pytest

from modelstore.template import Template, detect
from modelstore.template.detect import _INDEX  # pyright: ignore[reportPrivateUsage]  # the table itself is under test
from modelstore.template.named import NAMED
from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt import gotemplate

CONVERSATION = [Message("system", "S"), Message("user", "U1"), Message("assistant", "A1"), Message("user", "U2")]
R, E = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"

PROMPTS = {
    "alfred": "<start_system>S<end_message><start_user>U1<end_message><start_assistant>A1<end_message><start_user>U2"
    "<end_message><start_assistant>",
    "alpaca": "S\n\n### Instruction:\nU1\n\n### Response:\nA1\n\n### Instruction:\nU2\n\n### Response:\n",
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
    "<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
    "chatqa": "System: S\n\nUser: U1\n\nAssistant: A1\n\nUser: U2\n\nAssistant:",
    "codellama-70b-instruct": "Source: system\n\n S <step> Source: user\n\n U1 <step> Source: assistant\n\n A1 <step> "
    "Source: user\n\n U2 <step> Source: assistant\nDestination: user\n\n ",
    "command-r": f"{R}<|SYSTEM_TOKEN|>S{E}{R}<|USER_TOKEN|>U1{E}{R}<|CHATBOT_TOKEN|>A1{E}{R}<|USER_TOKEN|>U2{E}{E}{R}"
    "<|CHATBOT_TOKEN|>\n",
    "falcon-instruct": "System: S\nUser:\nU1\nFalcon:\nA1\nUser:\nU2\nFalcon:\n",
    "gemma-instruct": "<start_of_turn>user\nS\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n"
    "<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n",
    "gemma3-instruct": "<start_of_turn>user\nS\n\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n"
    "<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n\n",
    "granite-instruct": "System:\nS\n\nQuestion:\nU1\n\nAnswer:\nA1\n\nQuestion:\nU2\n\nAnswer:\n",
    "llama2-chat": "[INST] <<SYS>>\nS\n<</SYS>>\n\nU1 [/INST] A1</s><s>[INST] <<SYS>><</SYS>>\n\nU2 [/INST]",
    "llama3-instruct": "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nU1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nU2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "magicoder": "S\n\n@@ Instruction\nU1\n\n@@ Response\nA1\n\n@@ Instruction\nU2\n\n@@ Response\n",
    "mistral-instruct": "[INST] S\n\nU1[/INST] A1</s>[INST] U2[/INST]",
    "openchat": "GPT4 Correct System: S<|end_of_turn|>GPT4 Correct User: U1<|end_of_turn|>GPT4 Correct Assistant: A1"
    "<|end_of_turn|>GPT4 Correct User: U2<|end_of_turn|>GPT4 Correct Assistant:",
    "phi-3": "<|system|>\nS<|end|>\n<|user|>\nU1<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nU2<|end|>\n"
    "<|assistant|>\n",
    "solar-instruct": "### System:\nS\n\n### User:\nU1\n\n### Assistant:\nA1</s>\n\n### User:\nU2\n\n### Assistant:\n",
    "starcoder2-instruct": "S\n\n### Instruction\nU1\n\n### Response\nA1<|endoftext|>\n\n### Instruction\nU2\n\n"
    "### Response\n",
    "vicuna": "S\n\nUSER: U1\nASSISTANT: A1</s>\nUSER: U2\nASSISTANT:",
    "zephyr": "<|system|>\nS</s>\n<|user|>\nU1</s>\n<|assistant|>\nA1</s>\n<|user|>\nU2</s>\n<|assistant|>\n",
}


@pytest.mark.parametrize("name", NAMED)
def test_renders_what_its_models_were_trained_on(name: str) -> None:
    assert gotemplate.render(Template.parse(NAMED[name].text), CONVERSATION) == PROMPTS[name]


def test_every_name_is_covered() -> None:
    assert PROMPTS.keys() == NAMED.keys()


@pytest.mark.parametrize("name", sorted(NAMED.keys() - {"command-r", "gemma3-instruct"}))
def test_a_last_answer_is_left_open(name: str) -> None:
    """So that the model goes on with it."""
    prompt = gotemplate.render(Template.parse(NAMED[name].text), [*CONVERSATION[:2], Message("assistant", "And so")])
    assert prompt.endswith("And so")


@pytest.mark.parametrize("name", ["alpaca", "gemma-instruct", "llama2-chat", "magicoder", "vicuna"])
def test_system_texts_wait_for_the_next_question(name: str) -> None:
    messages = [Message("user", "U"), Message("system", "S1"), Message("tool", "-"), Message("system", "S2")]
    prompt = gotemplate.render(Template.parse(NAMED[name].text), [*messages, Message("user", "V")])
    assert "S1\n\nS2" in prompt[prompt.index("U") :]


def test_command_r_shows_tools_calls_and_results() -> None:
    template = Template.parse(NAMED["command-r"].text)
    tool = Tool("function", name="search", description="Looks.", parameters=Parameters("object", properties={}))
    assert tool.parameters.properties is not None
    tool.parameters.properties["q"] = Property(type=["string"], description="What")
    call = Message("assistant", "", tool_calls=[ToolCall("search", {"q": "x"})])
    prompt = gotemplate.render(template, [Message("user", "U"), call, Message("tool", "found")], tools=[tool])
    assert "def search(q: string, ) -> List[Dict]:\n" in prompt
    assert '"tool_name": "search",\n        "parameters": {"q":"x"}\n    }]```' in prompt
    assert "<results>\nconsole_output: found\n</results>" in prompt
    assert "Action: ```json\n[\n    {" in prompt
    assert template.tool_tag() == "Action: ```json"
    assert {"tools", "toolcalls"} <= template.variables


def test_command_r_asks_for_calls_behind_every_question() -> None:
    tool = Tool("function", name="f", parameters=Parameters("object"))
    template = Template.parse(NAMED["command-r"].text)
    prompt = gotemplate.render(template, CONVERSATION, tools=[tool])
    assert prompt.count("Write 'Action:' followed by a json-formatted list") == 2
    assert "Available Tools" in prompt
    assert "Available Tools" not in gotemplate.render(template, CONVERSATION)
    assert gotemplate.render(template, CONVERSATION[1:]).startswith(f"{R}<|USER_TOKEN|>U1")


def test_gemma3_shows_the_system_text_in_a_first_question_only() -> None:
    """And asks for an answer whatever came last."""
    template = Template.parse(NAMED["gemma3-instruct"].text)
    late = [Message("user", "U"), Message("assistant", "A"), Message("system", "S"), Message("user", "V")]
    assert "S" not in gotemplate.render(template, late)
    prompt = gotemplate.render(template, CONVERSATION[:3])
    assert prompt.endswith("A1<end_of_turn>\n<start_of_turn>model\n\n")


@pytest.mark.parametrize("name", NAMED)
def test_no_format_fails_on_any_order_of_roles(name: str) -> None:
    """Other roles are left out, and what is shown stands in its order."""
    roles = ["tool", "assistant", "user", "control", "system", "assistant", "user"]
    messages = [Message(role, f"<{number}>") for number, role in enumerate(roles)]
    prompt = gotemplate.render(Template.parse(NAMED[name].text), messages)
    shown = [prompt.find(f"<{number}>") for number in (1, 2, 5, 6)]
    assert shown == sorted(shown)
    assert shown[0] >= 0
    assert "<3>" not in prompt


def test_parameters_are_the_stop_strings() -> None:
    assert NAMED["phi-3"].parameters == {"stop": ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]}


# -- detection --------------------------------------------------------------------------------------------------------

TEXTS = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "phi-3": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{'<|user|>' + '\n' + m['content'] + "
    "'<|end|>' + '\n' + '<|assistant|>' + '\n'}}{% else %}{{m['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}",
    "openchat": "{{ bos_token }}{% for message in messages %}{{ 'GPT4 Correct ' + message['role'].title() + ': ' + "
    "message['content'] + '<|end_of_turn|>'}}{% endfor %}{{ 'GPT4 Correct Assistant:' }}",
    "llama3-instruct": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
    "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_with_the_marks_of_a_format_is_recognised(name: str) -> None:
    found = detect(TEXTS[name])
    assert found is not None
    assert found.name == name


OTHERS = [
    "",
    "{{ messages }}",
    TEXTS["chatml"] + "{# longer #}" * 400,
    TEXTS["chatml"].replace("user", "tool") + "{{ tools }}",
    TEXTS["chatml"].replace("\n", "<|im_sep|>"),
]


@pytest.mark.parametrize("text", OTHERS)
def test_texts_of_other_formats_and_grown_ones_are_not(text: str) -> None:
    assert detect(text) is None


def test_a_published_text_is_known_by_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever marks it has."""
    text = "a published template"
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    monkeypatch.setitem(importlib.import_module("modelstore.template.detect")._BY_HASH, key, _INDEX[2])
    found = detect(text)
    assert found is not None
    assert found.name == "zephyr"


def test_the_index_names_known_templates_with_whole_hashes() -> None:
    assert len(_INDEX) == 37
    assert {published.name for published in _INDEX} == NAMED.keys() - {"vicuna"}
    assert all(len(published.sha256) == 32 and int(published.sha256, 16) for published in _INDEX)
