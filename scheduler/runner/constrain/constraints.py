"""Text that must conform to a grammar: a matcher says which tokens may come next.

guided.py     JSON Schema, regular expressions, Lark: llguidance
gbnf.py       GBNF: llama.cpp's own grammars (outline.py reads them first)
late.py       constraints that wait for their start
lexicon.py    the vocabulary as grammars need it
"""

from collections import OrderedDict
from typing import Final, TypeAlias

from scheduler.frames import Constraint
from scheduler.runner.constrain import gbnf, guided
from scheduler.runner.constrain.gbnf import GbnfMatcher
from scheduler.runner.constrain.guided import Guided
from scheduler.runner.constrain.late import Late, Opening
from scheduler.runner.constrain.lexicon import Lexicon
from scheduler.runner.engine import Vocabulary

Matcher: TypeAlias = Guided | GbnfMatcher | Late
_KEPT: Final = 64
"""Compiled grammars that wait for the next request."""


class ConstraintError(ValueError):
    """The grammar or schema cannot be compiled. The client's fault."""


class Constraints:
    """Compiles constraints for one vocabulary. To be used by one thread; its matchers by any."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._lexicon = Lexicon(vocabulary)
        self._compiled: OrderedDict[tuple[str, str, bool], Guided | GbnfMatcher] = OrderedDict()
        self._openings: dict[str, Opening] = {}

    def compile(self, constraint: Constraint) -> Matcher:
        """Raises `ConstraintError` with the compiler's words."""
        if not self._lexicon.end_tokens:
            raise ConstraintError("a format needs an end-of-sequence token, which the model does not have")
        late = any(constraint.after)
        matcher = self._grammar(constraint, spaced=late).clone()
        if not late:
            return matcher
        opening = self._opening(constraint.opening) if constraint.opening else None
        return Late(matcher, constraint.after, self._lexicon.written.__getitem__, opening)

    def _grammar(self, constraint: Constraint, *, spaced: bool) -> Guided | GbnfMatcher:
        """`spaced`: a blank or two may stand in front of JSON, as after a tag."""
        key = (constraint.kind, constraint.source, spaced)
        found = self._compiled.get(key)
        if found is None:
            try:
                found = self._compile(constraint, spaced=spaced)
            except (ValueError, RecursionError) as error:
                raise ConstraintError(str(error)) from error
            self._compiled[key] = found
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return found

    def _compile(self, constraint: Constraint, *, spaced: bool) -> Guided | GbnfMatcher:
        match constraint.kind:
            case "json_schema":
                return guided.from_schema(self._lexicon, constraint.source, spaced=spaced)
            case "regex":
                return guided.from_regex(self._lexicon, constraint.source)
            case "lark":
                return guided.from_lark(self._lexicon, constraint.source)
            case "gbnf":
                return gbnf.from_gbnf(self._lexicon, constraint.source)

    def _opening(self, mark: str) -> Opening:
        if mark not in self._openings:
            if len(self._openings) >= _KEPT:
                self._openings.clear()
            self._openings[mark] = Opening(mark.encode(), self._lexicon.written)
        return self._openings[mark]
