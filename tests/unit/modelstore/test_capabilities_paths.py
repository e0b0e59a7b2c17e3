"""Which template makes the prompt: the rule, told once more with sets, for every combination of what it looks at."""

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest

from modelstore.capabilities import Facts, TemplateMode, describe

TOOLS, INSERT, THINKING = "tools", "insert", "thinking"
RESULTS = '{{ if eq .Role "tool" }}{{ .Content }}{{ end }}{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}'
REASON = "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"

GO: dict[str | None, tuple[set[str], bool]] = {
    None: (set(), False),
    "{{ .Prompt }}": (set(), False),
    "{{ broken": (set(), False),
    "{{ .Suffix }}": ({INSERT}, False),
    "{{ .Tools }}{{ range .Messages }}{{ .Content }}{{ end }}": ({TOOLS}, False),
    "{{ range .Messages }}" + REASON + "{{ end }}": ({THINKING}, False),
    "{{ .Tools }}{{ range .Messages }}" + RESULTS + "{{ end }}": ({TOOLS}, True),
    "{{ .Tools }}{{ range .Messages }}" + REASON + "{{ end }}": ({TOOLS, THINKING}, False),
    "{{ .Tools }}{{ range .Messages }}" + RESULTS + REASON + "{{ end }}": ({TOOLS, THINKING}, True),
    "{{ .Suffix }}{{ .Tools }}{{ range .Messages }}" + RESULTS + REASON + "{{ end }}": (
        {TOOLS, INSERT, THINKING},
        True,
    ),
    # results are shown, calls are not; calls and results without tools
    '{{ .Tools }}{{ range .Messages }}{{ if eq .Role "tool" }}{{ end }}{{ end }}': ({TOOLS}, False),
    "{{ range .Messages }}" + RESULTS + "{{ end }}": (set(), False),
    "{{ .Tools }}{{ range .Messages }}{{ .ToolCalls }}{{ end }}<tool_response>": ({TOOLS}, True),
    "{{ .Tools }}{{ range .Messages }}{{ .ToolCalls }}{{ end }}[TOOL_RESULTS]": ({TOOLS}, True),
    # harmony's marks count for models of that family only
    "<|start|>{{ .Tools }}{{ .Prompt }}<|end|>": ({TOOLS}, False),
    "<|start|>{{ .Prompt }}": (set(), False),
}
"""What each Go template can do, and whether it renders calls and their results."""

ROUND_TRIP = "{{ message.tool_calls }}{% if message.role == 'tool' %}{% endif %}"
JINJA: dict[str, tuple[set[str], bool]] = {
    "": (set(), False),
    "{{ messages }}": (set(), False),
    "{{ tools }}": ({TOOLS}, False),
    "{{ tool_call }}": ({TOOLS}, False),
    "{{ tools }}" + ROUND_TRIP: ({TOOLS}, True),
    "{{ tools }}{{ tool_calls }}": ({TOOLS}, False),
    "{{ tools }}ipython": ({TOOLS}, False),
    "{{ tools }}assistant_tool_call tool_results": ({TOOLS}, True),
    "<think></think>": ({THINKING}, False),
    "<think>": (set(), False),
    "{{ content.split('</think>') }}": ({THINKING}, False),
    '{{ content.split("</think>") }} <SPECIAL_12>': (set(), False),
    "{{ content.split('</think>') }}{{ reasoning_content }}": (set(), False),
    "{{ content.split('</think>') }}{{ reasoning_content }}<think>": ({THINKING}, False),
    "{{ tools }}<think></think>": ({TOOLS, THINKING}, False),
    "{{ tools }}<think></think>" + ROUND_TRIP: ({TOOLS, THINKING}, True),
}
"""The same of each chat template of the weights."""


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


def jinja_preferred(go: str, jinja: str) -> bool:
    go_caps, go_round = GO[go]
    jinja_caps, jinja_round = JINJA[jinja]
    if len(jinja_caps) > len(go_caps):
        return not go_round or jinja_round
    if jinja_caps != go_caps or TOOLS not in jinja_caps:
        return False
    return jinja_round and not go_round


def path(setting: bool | None, go: str | None, jinja: str, config: Config) -> TemplateMode:
    if config.renderer or config.parser:
        return TemplateMode.RENDERER
    if config.model_family in ("gptoss", "gpt-oss") and go and "<|start|>" in go and "<|end|>" in go:
        return TemplateMode.HARMONY
    if go is not None:
        use_go = setting if setting is not None else not (jinja and jinja_preferred(go, jinja))
        if use_go:
            return TemplateMode.GO
    return TemplateMode.JINJA if jinja else TemplateMode.NONE


CONFIGS = [
    Config(),
    Config(model_format=""),
    Config(renderer="qwen3-coder"),
    Config(renderer="nonsense"),
    Config(parser="qwen3"),
    Config(parser="nonsense"),
    Config(renderer="qwen3.5", parser="qwen3.5"),
    Config(model_family="gptoss"),
    Config(model_family="gpt-oss"),
    Config(model_family="gptoss", parser="harmony"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.model_family}-{c.renderer}-{c.parser}-{c.model_format}")
@pytest.mark.parametrize("setting", [None, True, False])
def test_every_combination_takes_the_path_of_the_rule(setting: bool | None, config: Config) -> None:
    for go, jinja in product(GO, JINJA):
        header = Header({"general.architecture": "llama"} | ({"tokenizer.chat_template": jinja} if jinja else {}))
        described = describe(Facts(config, go, header), setting)
        expected = path(setting, go, jinja, config)
        assert described.mode is expected, (go, jinja)
        if not config.parser and config.model_family == "llama":
            features = {name for name in described.names if name != "completion"}
            native = expected in (TemplateMode.JINJA, TemplateMode.NONE)
            selected = JINJA[jinja][0] if native else GO[go][0]
            if config.renderer and setting is False:
                selected = set[str]()  # a Go template that may not be used shows nothing
            assert features == selected, (go, jinja)


def test_what_is_no_gguf_never_reaches_the_engines_templates() -> None:
    header = Header({"general.architecture": "llama", "tokenizer.chat_template": "{{ tools }}" + ROUND_TRIP})
    for setting, go in product((None, True, False), (None, "{{ .Prompt }}")):
        assert describe(Facts(Config(model_format="safetensors"), go, header), setting).mode is TemplateMode.GO
