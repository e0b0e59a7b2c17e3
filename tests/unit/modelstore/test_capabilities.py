"""What a model can do and which template it uses, from every source of the answer."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from modelstore.capabilities import Facts, TemplateMode, describe, listed

CHATML = (
    '{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}{{ if eq .Role "tool" }}{{ .Content }}{{ end }}'
    "{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}{{ end }}"
)
"""Tools with the round trip."""
ONE_WAY = "{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}{{ .Content }}{{ end }}"
"""Tools without it."""
PLAIN = "{{ .Prompt }}"
THINKING = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}"
JINJA_TOOLS = "{% if tools %}{{ message.tool_calls }}{% endif %}{% if message.role == 'tool' %}{% endif %}"
JINJA_ONE_WAY = "{% if tools %}{% endif %}"
JINJA_BOTH = JINJA_TOOLS + "<think></think>"
HARMONY = "<|start|>{{ .Prompt }}<|end|>"


@dataclass
class Config:
    model_format: str = "gguf"
    model_family: str = "llama"
    renderer: str = ""
    parser: str = ""
    capabilities: list[str] = field(default_factory=list[str])


@dataclass
class Header:
    kv: dict[str, Any]


def weights(jinja: str = "", architecture: str = "llama", **keys: Any) -> Header:
    kv: dict[str, Any] = {"general.architecture": architecture}
    if jinja:
        kv["tokenizer.chat_template"] = jinja
    return Header(kv | {f"{architecture}.{key.replace('__', '.')}": value for key, value in keys.items()})


def facts(
    go: str | None = None, header: Header | None = None, projectors: tuple[Header, ...] = (), **config: Any
) -> Facts:
    return Facts(Config(**config), go, header if header is not None else weights(), projectors)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (facts(), "completion"),
        (facts(header=weights(pooling_type=0, architecture="bert")), "embedding"),
        (facts(header=weights(JINJA_BOTH)), "tools thinking completion"),
        (facts(header=weights(JINJA_TOOLS)), "tools completion"),
        (facts(header=weights("{{ content.split('</think>') }}")), "thinking completion"),
        (facts(header=weights("{{ content.split('</think>') }} reasoning_content")), "completion"),
        (facts(CHATML), "completion tools"),
        (facts(CHATML + "{{ .Suffix }}" + THINKING), "completion tools insert thinking"),
        (facts("{{ broken"), "completion"),
        (facts(header=weights(vision__block_count=1, audio__block_count=1)), "completion vision audio"),
        (facts(projectors=(Header({"clip.has_vision_encoder": True}),)), "completion vision"),
        (facts(projectors=(Header({"clip.has_audio_encoder": True}),)), "completion vision audio"),
        (
            facts(projectors=(Header({"clip.has_audio_encoder": True, "clip.vision.projector_type": "gemma3nv"}),)),
            "completion vision",
        ),
        (facts(header=weights(architecture="nemotron_h_omni", audio__block_count=1)), "completion"),
        (facts(renderer="qwen3-coder", parser="qwen3-coder"), "completion tools"),
        (facts(renderer="nonsense"), "completion"),
        (facts(parser="olmo3-think"), "completion thinking"),
        (facts(parser="passthrough"), "completion"),
        (facts(model_family="gptoss"), "completion thinking"),
        (facts(HARMONY, model_family="gptoss"), "completion tools thinking"),
        (facts(capabilities=["vision", "vision"]), "vision completion"),
        (facts(model_format="safetensors", capabilities=["image"]), "image"),
    ],
)
def test_names_come_in_the_order_of_their_sources(given: Facts, names: str) -> None:
    assert list(describe(given).names) == names.split()


def test_weights_that_cannot_be_read_leave_what_config_and_template_say() -> None:
    unreadable = Facts(Config(capabilities=["vision"]), CHATML, None)
    assert describe(unreadable).names == ("vision", "tools")
    assert describe(Facts(Config(), None, None)).names == ()


def test_a_template_that_is_not_used_adds_nothing() -> None:
    both = facts(CHATML + THINKING, weights("nothing"))
    assert describe(both, False).names == ("completion",)
    assert describe(both, True).names == ("completion", "tools", "thinking")


def test_the_list_of_models_is_blind_to_the_jinja_template_and_has_projectors_last() -> None:
    given = facts(CHATML, weights(JINJA_BOTH), (Header({}),))
    assert listed(given) == ("completion", "tools", "vision")
    assert listed(given, False) == ("completion", "vision")
    assert listed(facts(header=weights(JINJA_BOTH))) == ("completion",)


# -- renderer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "setting", "mode"),
    [
        (facts(renderer="x"), None, TemplateMode.RENDERER),
        (facts(CHATML, weights(JINJA_BOTH), parser="x"), False, TemplateMode.RENDERER),
        (facts(HARMONY, weights(JINJA_BOTH), model_family="gptoss"), None, TemplateMode.HARMONY),
        (facts(HARMONY, weights(JINJA_BOTH), model_family="gpt-oss"), False, TemplateMode.HARMONY),
        (facts(PLAIN, weights(JINJA_BOTH), model_family="gptoss"), None, TemplateMode.JINJA),
        (facts(PLAIN), None, TemplateMode.GO),
        (facts(PLAIN), False, TemplateMode.NONE),
        (facts(), None, TemplateMode.NONE),
        (facts(), True, TemplateMode.NONE),
        (facts(header=weights("x")), True, TemplateMode.JINJA),
        (facts(PLAIN, weights("x")), None, TemplateMode.GO),
        (facts(PLAIN, weights("x")), False, TemplateMode.JINJA),
        # The one that can do more wins …
        (facts(PLAIN, weights(JINJA_ONE_WAY)), None, TemplateMode.JINJA),
        (facts(PLAIN, weights(JINJA_ONE_WAY)), True, TemplateMode.GO),
        (facts(CHATML + THINKING, weights(JINJA_TOOLS)), None, TemplateMode.GO),
        (facts(THINKING, weights(JINJA_BOTH)), None, TemplateMode.JINJA),
        # … unless results of tools would be lost;
        (facts(CHATML, weights(JINJA_ONE_WAY + "<think></think>")), None, TemplateMode.GO),
        (facts(CHATML, weights(JINJA_BOTH)), None, TemplateMode.JINJA),
        # with the same abilities it is the round trip that decides, if there are tools at all.
        (facts(ONE_WAY, weights(JINJA_TOOLS)), None, TemplateMode.JINJA),
        (facts(ONE_WAY, weights(JINJA_ONE_WAY)), None, TemplateMode.GO),
        (facts(CHATML, weights(JINJA_TOOLS)), None, TemplateMode.GO),
        (facts(THINKING, weights("<think></think>")), None, TemplateMode.GO),
        (facts(ONE_WAY + "{{ .Suffix }}", weights(JINJA_BOTH)), None, TemplateMode.GO),
    ],
)
def test_the_template_that_makes_the_prompt(given: Facts, setting: bool | None, mode: TemplateMode) -> None:
    assert describe(given, setting).mode is mode


@pytest.mark.parametrize(
    "mark",
    [
        "role'] == 'tool'", "role'] == \"tool\"", "role\"] == 'tool'", 'role"] == "tool"', "message.role == 'tool'",
        'message.role == "tool"', "ipython", "tool_results", "tool_response",
    ],
)  # fmt: skip
def test_every_way_of_taking_results_makes_a_round_trip(mark: str) -> None:
    jinja = f"{{% if tools %}}{{{{ tool_calls }}}}{{% endif %}} {mark}"
    assert describe(facts(ONE_WAY, weights(jinja))).mode is TemplateMode.JINJA


def test_membership_asks_for_a_name() -> None:
    assert "completion" in describe(facts())
    assert "tools" not in describe(facts())
