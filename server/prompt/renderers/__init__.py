"""Prompts that are written by code: what a model's config calls its renderer.

Each family has a module with a mapping RENDERERS from names to renderers; spec: prompting §7. A renderer is a pure
function of the conversation. Media marks are its own affair (`media.tagged`, where the family knows media).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from server.messages import Message, Tool
from server.prompt.renderers import qwen3coder

Think: TypeAlias = "bool | str | None"
"""None: the request does not say."""
Render: TypeAlias = Callable[[Sequence[Message], Sequence[Tool], Think], str]

RENDERERS: Final[Mapping[str, Render]] = {
    **qwen3coder.RENDERERS,
}
"""By the name in the config."""

__all__ = ["RENDERERS", "Render", "Think"]
