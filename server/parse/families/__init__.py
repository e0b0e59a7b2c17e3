"""Output parsers of model families: what a model's config calls its parser.

Each family has a module with a mapping PARSERS; spec: prompting §7. Whatever a model writes comes out: a call that
cannot be read is content, and so is one that is not finished when the text ends.
"""

from collections.abc import Mapping
from typing import Final

from server.parse.families.family import Family
from server.parse.families.harmony import PARSERS as HARMONY
from server.parse.families.qwen3coder import PARSERS as QWEN3_CODER

FAMILIES: Final[Mapping[str, Family]] = {
    **HARMONY,
    **QWEN3_CODER,
}
"""By the name in the config."""

__all__ = ["FAMILIES", "Family"]
