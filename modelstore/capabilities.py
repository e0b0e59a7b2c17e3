"""What a model can do, and which of its templates makes the prompt.

Both follow from what the store holds: the config blob, the Go template layer, the GGUF header with its Jinja chat
template, the projectors. The order of the names is part of the answer: clients print them as they come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from modelstore.template import Template, TemplateError

CHAT_TEMPLATE_KEY: Final = "tokenizer.chat_template"


class TemplateMode(Enum):
    """Which component turns messages into a prompt."""

    RENDERER = "renderer"
    """The config names a built-in renderer or parser (a parser alone: the Go template, parsed by that parser)."""
    HARMONY = "harmony"
    """A gpt-oss model: its Go template, and the output read as harmony."""
    GO = "go"
    """The manifest's Go template."""
    JINJA = "jinja"
    """The GGUF's own chat template."""
    NONE = "none"
    """The model has no template of any kind."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Names in the order in which clients see them, and the way to a prompt."""

    names: tuple[str, ...]
    mode: TemplateMode

    def __contains__(self, name: object) -> bool:
        return name in self.names


class Header(Protocol):
    """As much of a GGUF header as is looked at here."""

    @property
    def kv(self) -> Mapping[str, Any]: ...


class Config(Protocol):
    """As much of a model's config as is looked at here."""

    @property
    def model_format(self) -> str: ...
    @property
    def model_family(self) -> str: ...
    @property
    def renderer(self) -> str: ...
    @property
    def parser(self) -> str: ...
    @property
    def capabilities(self) -> Sequence[str] | None: ...


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the answer depends on."""

    config: Config
    template: str | None
    """Text of the Go template layer; None without one."""
    header: Header | None
    """Of the weights; None if there are none or they cannot be read."""
    projectors: Sequence[Header] = ()

    @property
    def jinja(self) -> str:
        text = self.header.kv.get(CHAT_TEMPLATE_KEY, "") if self.header else ""
        return text if isinstance(text, str) else ""

    @property
    def architecture(self) -> str:
        stated = self.header.kv.get("general.architecture", "") if self.header else ""
        return stated if isinstance(stated, str) and stated else self.config.model_family

    @property
    def is_gguf(self) -> bool:
        return self.config.model_format in ("", "gguf")

    @property
    def is_gpt_oss(self) -> bool:
        return self.config.model_family in ("gptoss", "gpt-oss")

    @property
    def is_harmony(self) -> bool:
        text = self.template or ""
        return self.is_gpt_oss and "<|start|>" in text and "<|end|>" in text


def describe(facts: Facts, go_template_setting: bool | None = None) -> Capabilities:
    """Capabilities and renderer of a model.

    `go_template_setting` forces the Go template (True) or forbids it (False); None lets the GGUF's template win where
    it can do more.
    """
    go = _GoTemplate.read(facts.template)
    use_go = go is not None and _go_is_used(facts, go, go_template_setting)
    mode = _mode(facts, use_go)
    names = _Names(facts.config.capabilities or ())
    if mode is TemplateMode.JINJA and facts.is_gguf:
        names.add(*_jinja_features(facts.jinja))
    _add_weights(names, facts)
    _add_projectors(names, facts.projectors)
    if go is not None and use_go:
        names.add(*go.features)
    _add_parser(names, facts)
    return Capabilities(_without_deaf(names, facts), mode)


def listed(facts: Facts, go_template_setting: bool | None = None) -> tuple[str, ...]:
    """Capabilities as `/api/tags` lists them: blind to the GGUF's chat template, projectors last."""
    go = _GoTemplate.read(facts.template)
    names = _Names(facts.config.capabilities or ())
    _add_weights(names, facts)
    if go is not None and go_template_setting is not False:
        names.add(*go.features)
    _add_parser(names, facts)
    _add_projectors(names, facts.projectors)
    return _without_deaf(names, facts)


# -- which template ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _GoTemplate:
    """What a Go template shows of its abilities. One that does not parse shows none."""

    features: tuple[str, ...]
    round_trip: bool
    """It renders calls of the model and the answers to them."""

    @classmethod
    def read(cls, text: str | None) -> "_GoTemplate | None":
        if text is None:
            return None
        try:
            template = Template.parse(text)
        except TemplateError:
            return cls((), False)
        used = template.variables
        features = [name for name, variable in (("tools", "tools"), ("insert", "suffix")) if variable in used]
        tags = template.thinking_tags()
        if tags is not None and all(tags):
            features.append("thinking")
        shows_results = any(mark in text for mark in ('eq .Role "tool"', "tool_response", "TOOL_RESULTS"))
        return cls(tuple(features), "tools" in used and "toolcalls" in used and shows_results)


def _mode(facts: Facts, use_go: bool) -> TemplateMode:
    if facts.config.renderer or facts.config.parser:
        return TemplateMode.RENDERER
    if facts.is_harmony:
        return TemplateMode.HARMONY
    if use_go or not facts.is_gguf:  # only the engine has Jinja, and only for its own format
        return TemplateMode.GO
    return TemplateMode.JINJA if facts.jinja else TemplateMode.NONE


def _go_is_used(facts: Facts, go: _GoTemplate, setting: bool | None) -> bool:
    if setting is not None:
        return setting
    if not facts.jinja or facts.config.renderer or facts.config.parser or facts.is_harmony:
        return True
    return not _jinja_is_preferred(go, facts.jinja)


def _jinja_is_preferred(go: _GoTemplate, jinja: str) -> bool:
    """More abilities win, unless a round trip of tools would be lost; with the same ones the round trip decides."""
    features, round_trip = _jinja_features(jinja), _jinja_round_trip(jinja)
    if len(features) > len(go.features):
        return round_trip or not go.round_trip
    same = set(features) == set(go.features)
    return same and "tools" in features and round_trip and not go.round_trip


_JINJA_CALLS: Final = ("tool_calls", "assistant_tool_call")
_JINJA_RESULTS: Final = (
    "tool_response",
    "tool_results",
    "ipython",
    *(f"role{a}] == {b}tool{b}" for a in "'\"" for b in "'\""),
    *(f"message.role == {b}tool{b}" for b in "'\""),
)
_JINJA_SPLITS: Final = ("content.split('</think>')", 'content.split("</think>")')


def _jinja_features(text: str) -> list[str]:
    features: list[str] = []
    if "tools" in text or "tool_call" in text:
        features.append("tools")
    tagged = "<think>" in text and "</think>" in text
    split = any(mark in text for mark in _JINJA_SPLITS)
    if tagged or (split and "reasoning_content" not in text and "<SPECIAL_12>" not in text):
        features.append("thinking")
    return features


def _jinja_round_trip(text: str) -> bool:
    shows_calls = any(mark in text for mark in _JINJA_CALLS)
    return "tools" in _jinja_features(text) and shows_calls and any(mark in text for mark in _JINJA_RESULTS)


# -- the list of names ------------------------------------------------------------------------------------------------


class _Names(list[str]):
    """A list that takes each name once."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.add(*names)

    def add(self, *names: str) -> None:
        for name in names:
            if name not in self:
                self.append(name)


def _add_weights(names: _Names, facts: Facts) -> None:
    if facts.header is None or not facts.is_gguf:
        return
    kv, architecture = facts.header.kv, facts.architecture
    names.add("embedding" if f"{architecture}.pooling_type" in kv else "completion")
    if f"{architecture}.vision.block_count" in kv:
        names.add("vision")
    if f"{architecture}.audio.block_count" in kv:
        names.add("audio")


def _add_projectors(names: _Names, projectors: Sequence[Header]) -> None:
    if projectors:
        names.add("vision")
    if any(_hears(projector.kv) for projector in projectors):
        names.add("audio")


def _hears(kv: Mapping[str, Any]) -> bool:
    kinds = {value for key, value in kv.items() if key.endswith("vision.projector_type")}
    return "gemma3nv" not in kinds and any(kv[key] is True for key in kv if key.endswith(".has_audio_encoder"))


def _without_deaf(names: _Names, facts: Facts) -> tuple[str, ...]:
    """The names; those of one family without `audio`, which its files promise and no engine keeps."""
    return tuple(n for n in names if n != "audio" or facts.architecture != "nemotron_h_omni")


PARSER_FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("qwen3", "qwen3-coder", "qwen3-vl-instruct", "ministral", "olmo3"), ("tools",)),
    **dict.fromkeys(("functiongemma", "glm-ocr", "gemma4-no-thinking", "lfm2"), ("tools",)),
    **dict.fromkeys(("qwen3-thinking", "qwen3-vl-thinking", "qwen3.5", "ornith"), ("tools", "thinking")),
    **dict.fromkeys(("nemotron-3-nano", "nemotron-3.5-nano", "cogito", "deepseek3"), ("tools", "thinking")),
    **dict.fromkeys(("glm-4.7", "gemma4", "lfm2-thinking", "laguna", "poolside-v1"), ("tools", "thinking")),
    **dict.fromkeys(("cohere", "glimmer", "harmony"), ("tools", "thinking")),
    "olmo3-think": ("thinking",),
    "passthrough": (),
}
"""What the built-in output parsers can read; other names have no parser and add nothing."""


def _add_parser(names: _Names, facts: Facts) -> None:
    parser = facts.config.parser or ("harmony" if facts.is_harmony else "")
    names.add(*PARSER_FEATURES.get(parser, ()))
    if facts.is_gpt_oss:
        names.add("thinking")
