"""GLM-OCR: as GLM-4.7, but the model itself decides whether it reasons."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.messages import Message, Tool
from server.parse.families.family import Family, Think
from server.parse.families.glm47 import PRESERVED, parser
from server.parse.families.thoughts import Thoughtful


def make(tools: Sequence[Tool], last: Message | None = None, think: Think = None) -> Thoughtful:
    """A parser for one answer."""
    return parser(tools, opened=False)


PARSERS: Final[Mapping[str, Family]] = {"glm-ocr": Family(make, PRESERVED)}
