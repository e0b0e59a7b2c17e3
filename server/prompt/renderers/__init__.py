"""Prompts that are written by code: what a model's config calls its renderer.

Each family has a module with a mapping RENDERERS from names to renderers; spec: prompting §7. A renderer is a pure
function of the conversation. Media marks are its own affair (`media.tagged`, where the family knows media).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from server.messages import Message, Tool
from server.prompt.renderers import (
    cogito,
    cohere,
    deepseek3,
    functiongemma,
    gemma4,
    glimmer,
    glm47,
    glmocr,
    laguna,
    lfm2,
    nemotron3,
    olmo3,
    qwen3coder,
    qwen3vl,
    qwen35,
)

Think: TypeAlias = "bool | str | None"
"""None: the request does not say."""
Render: TypeAlias = Callable[[Sequence[Message], Sequence[Tool], Think], str]

RENDERERS: Final[Mapping[str, Render]] = {
    **cogito.RENDERERS,
    **deepseek3.RENDERERS,
    **nemotron3.RENDERERS,
    **olmo3.RENDERERS,
    **qwen3coder.RENDERERS,
    **qwen3vl.RENDERERS,
    **qwen35.RENDERERS,
    **functiongemma.RENDERERS,
    **gemma4.RENDERERS,
    **glm47.RENDERERS,
    **glmocr.RENDERERS,
    **lfm2.RENDERERS,
    **cohere.RENDERERS,
    **glimmer.RENDERERS,
    **laguna.RENDERERS,
}
"""By the name in the config."""

__all__ = ["RENDERERS", "Render", "Think"]
