"""How models write tool calls, as grammars: so that a call can be demanded, and its arguments held to their schema.

syntax.py      CallSyntax: what is known of one family's calls
rules.py       Rules: a grammar that does not depend on a vocabulary
tagged.py      JSON objects between tags
named.py       a name, a mark, JSON arguments
channels.py    Harmony and Cohere
elements.py    an element for each parameter; pairs.py: one for its name and one for its value (raw.py: their values)
atem.py        Glimmer's elements
pythonic.py    lists of Python calls
gemma.py       Gemma's objects
literals.py    JSON Schema in other notations than JSON's (members.py, scalars.py)
inferred.py    what a template shows of its model's calls
"""

from collections.abc import Mapping
from typing import Final

from server.parse.syntax.atem import ATEM
from server.parse.syntax.channels import COHERE, HARMONY
from server.parse.syntax.elements import ELEMENTS
from server.parse.syntax.gemma import GEMMA
from server.parse.syntax.inferred import inferred, plain
from server.parse.syntax.named import COGITO, DEEPSEEK3, MINISTRAL
from server.parse.syntax.pairs import PAIRS
from server.parse.syntax.pythonic import PYTHONIC
from server.parse.syntax.rules import Rules
from server.parse.syntax.syntax import CallSyntax
from server.parse.syntax.tagged import QWEN3

SYNTAXES: Final[Mapping[str, CallSyntax]] = {
    **ELEMENTS,
    **PAIRS,
    **ATEM,
    **PYTHONIC,
    **GEMMA,
    "harmony": HARMONY,
    "cohere": COHERE,
    "cogito": COGITO,
    "deepseek3": DEEPSEEK3,
    "ministral": MINISTRAL,
    "qwen3": QWEN3,
    "qwen3-thinking": QWEN3,
    "qwen3-vl-instruct": QWEN3,
    "qwen3-vl-thinking": QWEN3,
}
"""By the parser in the config."""

__all__ = ["SYNTAXES", "CallSyntax", "Rules", "inferred", "plain"]
