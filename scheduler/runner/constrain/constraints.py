"""Text that must conform to a grammar: a matcher says which tokens may come next.

guided.py     JSON Schema, regular expressions, Lark: llguidance
gbnf.py       GBNF: llama.cpp's own grammars (outline.py reads them first)
late.py       constraints that wait for their start
calling.py    free text with calls of tools that are bound
follower.py   what those two need of the matcher that takes over
lexicon.py    the vocabulary as grammars need it
"""

import logging
from collections import OrderedDict
from typing import Final, TypeAlias

from scheduler.frames import Constraint
from scheduler.runner.constrain import gbnf, guided
from scheduler.runner.constrain.calling import Calling
from scheduler.runner.constrain.gbnf import GbnfMatcher
from scheduler.runner.constrain.guided import Guided
from scheduler.runner.constrain.late import Late, Opening
from scheduler.runner.constrain.lexicon import Lexicon
from scheduler.runner.engine import Vocabulary

log = logging.getLogger(__name__)

Matcher: TypeAlias = Guided | GbnfMatcher | Late | Calling
_KEPT: Final = 64
"""Compiled grammars that wait for the next request."""


class ConstraintError(ValueError):
    """The grammar or schema cannot be compiled. The client's fault."""


class Constraints:
    """Compiles constraints for one vocabulary. To be used by one thread; its matchers by any."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._lexicon = Lexicon(vocabulary)
        self._compiled: OrderedDict[tuple[str, str, bool, str], Guided | GbnfMatcher] = OrderedDict()
        self._openings: dict[str, Opening] = {}

    def bind(self, constraint: Constraint) -> Matcher | None:
        """`compile`, but None where an answer does as well without: tools that may be called, whose grammar is refused.

        Raises `ConstraintError`.
        """
        try:
            return self.compile(constraint)
        except ConstraintError as error:
            if constraint.kind != "any" or (constraint.calls is not None and constraint.calls.required):
                raise
            log.warning("tool calls are not held to their schemas: %s", error)
            return None

    def compile(self, constraint: Constraint) -> Matcher:
        """Raises `ConstraintError` with the compiler's words."""
        matcher = self._matcher(constraint)
        if not any(constraint.after):
            return matcher
        opening = self._opening(constraint.opening) if constraint.opening else None
        ends = () if isinstance(matcher, Calling) else self._lexicon.end_tokens
        calls = constraint.calls
        entries = calls.openings if calls is not None and calls.anywhere and ends else ()
        return Late(matcher, constraint.after, self._lexicon.written.__getitem__, opening, ends, entries)

    def _matcher(self, constraint: Constraint) -> Guided | GbnfMatcher | Calling:
        if not self._lexicon.end_tokens:
            raise ConstraintError("a format needs an end-of-sequence token, which the model does not have")
        grammar = self._grammar(constraint)
        calls = constraint.calls
        if calls is None or calls.required or constraint.kind != "any" or isinstance(grammar, GbnfMatcher):
            return grammar.clone()
        written = self._lexicon.written.__getitem__
        return Calling(grammar, calls.openings, written, many=calls.many, at_start=calls.at_start)

    def _grammar(self, constraint: Constraint) -> Guided | GbnfMatcher:
        """The compiled grammar, at its beginning. A blank or two may stand in front of JSON, as after a tag."""
        spaced = any(constraint.after)
        key = (constraint.kind, constraint.source, spaced, repr(constraint.calls))
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
        if constraint.calls is not None:
            return guided.from_calls(self._lexicon, constraint.calls, constraint if constraint.kind != "any" else None)
        match constraint.kind:
            case "json_schema":
                return guided.from_schema(self._lexicon, constraint.source, spaced=spaced)
            case "regex":
                return guided.from_regex(self._lexicon, constraint.source)
            case "lark":
                return guided.from_lark(self._lexicon, constraint.source)
            case "gbnf":
                return gbnf.from_gbnf(self._lexicon, constraint.source)
            case "any":
                raise ConstraintError("a constraint that binds nothing")

    def _opening(self, mark: str) -> Opening:
        if mark not in self._openings:
            if len(self._openings) >= _KEPT:
                self._openings.clear()
            self._openings[mark] = Opening(mark.encode(), self._lexicon.written)
        return self._openings[mark]
