"""Output parsers of model families: what a model's config calls its parser.

Each family has a module with a mapping PARSERS; spec: prompting §7. Whatever a model writes comes out: a call that
cannot be read is content, and so is one that is not finished when the text ends. `passthrough` has none: its text is
content, but for the calls that the Go template shows.
"""

from collections.abc import Mapping
from typing import Final

from server.parse.families.cogito import PARSERS as COGITO
from server.parse.families.cohere import PARSERS as COHERE
from server.parse.families.deepseek3 import PARSERS as DEEPSEEK3
from server.parse.families.family import Family
from server.parse.families.functiongemma import PARSERS as FUNCTION_GEMMA
from server.parse.families.gemma4 import PARSERS as GEMMA4
from server.parse.families.glimmer import PARSERS as GLIMMER
from server.parse.families.glm47 import PARSERS as GLM47
from server.parse.families.glmocr import PARSERS as GLM_OCR
from server.parse.families.harmony import PARSERS as HARMONY
from server.parse.families.jsoncalls import PARSERS as JSON_CALLS
from server.parse.families.laguna import PARSERS as LAGUNA
from server.parse.families.lfm2 import PARSERS as LFM2
from server.parse.families.ministral import PARSERS as MINISTRAL
from server.parse.families.nemotron3 import PARSERS as NEMOTRON3
from server.parse.families.olmo3 import PARSERS as OLMO3
from server.parse.families.qwen3coder import PARSERS as QWEN3_CODER
from server.parse.families.qwen35 import PARSERS as QWEN3_5

FAMILIES: Final[Mapping[str, Family]] = {
    **HARMONY,
    **COGITO,
    **DEEPSEEK3,
    **MINISTRAL,
    **NEMOTRON3,
    **OLMO3,
    **QWEN3_CODER,
    **JSON_CALLS,
    **QWEN3_5,
    **FUNCTION_GEMMA,
    **GEMMA4,
    **GLM47,
    **GLM_OCR,
    **LFM2,
    **COHERE,
    **GLIMMER,
    **LAGUNA,
}
"""By the name in the config."""

__all__ = ["FAMILIES", "Family"]
