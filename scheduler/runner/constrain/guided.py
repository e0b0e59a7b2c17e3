"""Grammars of llguidance: JSON Schema, regular expressions, Lark.

Tokens are never forced. Where only one text can follow, llguidance would allow nothing but the one token that its idea
of the tokenizer makes of it: a wrong one in vocabularies that put a space in front of a text, and a call back into
Python from the thread that prepares masks.
"""

import json
import logging
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.runner.constrain import schema
from scheduler.runner.constrain.lexicon import Lexicon

log = logging.getLogger(__name__)

_HEAD: Final = '%llguidance {"no_forcing": true}\n'
_SPACE: Final = r"( |\n{1,2}[ \t]{0,20})"
"""White space as llama.cpp's schema grammars bound it: an endless run of blanks would never end."""
_JSON_OPTIONS: Final = {"whitespace_pattern": _SPACE, "lenient": True}
_MAX_SOURCE: Final = 1 << 20
_NOTHING: Final[dict[str, str]] = dict.fromkeys(("NoExtension", "NoExtensionBias"), "nothing can satisfy it")
_MAX_STATES: Final = 100_000
"""Of the automata of one matcher; a state takes one or two kilobytes."""


class GuideError(ValueError):
    """The source cannot be compiled."""


class Guided:
    """Matcher over an `LLMatcher`."""

    def __init__(self, matcher: Any, lexicon: Lexicon, mask: NDArray[np.int32] | None = None) -> None:
        """`mask`: the first one, when it is known."""
        self._matcher = matcher
        self._lexicon = lexicon
        self._mask = np.zeros((lexicon.size + 31) // 32, np.int32) if mask is None else mask.copy()
        self._address: int = self._mask.ctypes.data
        self._bits = self._mask.data.cast("B")
        self._ready = mask is not None
        self.error = ""
        """What went wrong on the way; from then on only the end may follow."""

    @property
    def active(self) -> bool:
        """It binds every token."""
        return True

    @property
    def ready(self) -> bool:
        """Whether the mask is known."""
        return self._ready

    def clone(self) -> "Guided":
        """Another one at the same position."""
        return Guided(self._matcher.deep_copy(), self._lexicon, self._mask if self._ready else None)

    def prepare(self) -> None:
        """Work out what may come next. Python's lock is free meanwhile."""
        if not self._ready:
            self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
            self._ready = True
            self._note_error()

    def admits(self, token: int) -> bool:
        """Whether the token may come next."""
        if not self._ready:
            self.prepare()
        return bool(self._bits[token >> 3] >> (token & 7) & 1)

    def mask(self) -> NDArray[np.int32]:
        """A bit for each token that may come next; valid until the next `consume`."""
        self.prepare()
        return self._mask

    def consume(self, token: int) -> bool:
        """Advance over a chosen token. True when nothing may follow it."""
        self._ready = False
        if not self._matcher.consume_token(token):
            self._note_error()
        return self._matcher.is_stopped()

    def feed(self, text: bytes) -> bool:
        """Advance over a text that is no token of its own. False, and nothing happens, where it may not come next."""
        try:
            tokens = self._lexicon.guide.greedy_tokenize(text.decode())
        except UnicodeDecodeError:
            return False
        if self._matcher.validate_tokens(tokens) != len(tokens):
            return False
        self._ready = False
        return bool(self._matcher.consume_tokens(tokens))

    def _note_error(self) -> None:
        if not self.error and self._matcher.is_error():
            self.error = _plain(self._matcher.get_error())
            log.warning("structured output broke off: %s", self.error)


def from_schema(lexicon: Lexicon, source: str, *, spaced: bool) -> Guided:
    """`spaced`: white space may stand in front. Raises `SchemaError`."""
    if len(source) > _MAX_SOURCE:
        raise schema.SchemaError((), f"too large: {len(source)} characters, at most {_MAX_SOURCE}")
    adapted, ignored = schema.read(source)
    try:
        json.dumps(adapted, allow_nan=False)
    except ValueError:
        raise schema.SchemaError((), "a number is out of range") from None

    def probe(value: Any) -> str:
        matcher = _matcher(lexicon, _json_grammar(value, spaced=spaced))
        return _plain(matcher.get_error()) if matcher.is_error() else ""

    if problem := probe(adapted):
        ignored |= schema.relax(adapted, probe)
        if problem := probe(adapted):
            raise schema.locate(adapted, probe, problem)
    if ignored:
        log.warning("structured output: not enforced, or not in full: %s", ", ".join(sorted(ignored)))
    try:
        return _start(lexicon, _json_grammar(adapted, spaced=spaced))
    except GuideError as error:
        raise schema.SchemaError((), str(error)) from None


def from_regex(lexicon: Lexicon, source: str) -> Guided:
    """Raises `GuideError`."""
    from llguidance import LLMatcher

    _check_size(source)
    grammar = json.loads(LLMatcher.grammar_from_regex(source))["grammars"][0]["lark_grammar"]
    return _start(lexicon, _HEAD + grammar)


def from_lark(lexicon: Lexicon, source: str) -> Guided:
    """Raises `GuideError`."""
    _check_size(source)
    return _start(lexicon, _HEAD + source)


def _check_size(source: str) -> None:
    if len(source) > _MAX_SOURCE:
        raise GuideError(f"the grammar is too large: {len(source)} characters, at most {_MAX_SOURCE}")


def _json_grammar(value: Any, *, spaced: bool) -> str:
    text = json.dumps({**value, "x-guidance": _JSON_OPTIONS}, allow_nan=False)
    start = f"start: SPACE? value\nSPACE: /{_SPACE}/\n" if spaced else "start: value\n"
    return f"{_HEAD}{start}value: %json {text}\n"


def _matcher(lexicon: Lexicon, grammar: str) -> Any:
    from llguidance import LLMatcher, LLParserLimits

    limits = LLParserLimits(max_lexer_states=_MAX_STATES, verbose_errors=False)
    return LLMatcher(lexicon.guide, grammar, log_level=0, limits=limits)


def _start(lexicon: Lexicon, grammar: str) -> Guided:
    """A matcher with its first mask, at which grammars that lead nowhere show themselves."""
    matcher = _matcher(lexicon, grammar)
    if matcher.is_error():
        raise GuideError(_plain(matcher.get_error()))
    guided = Guided(matcher, lexicon)
    guided.prepare()
    if guided.error:
        raise GuideError(guided.error)
    return guided


def _plain(error: str) -> str:
    """The heart of a message: without the position in our wrapping, and the excerpt of it."""
    _, _, heart = error.rpartition("failed to compile JSON schema: ")
    line = heart.strip().partition("\n")[0]
    return _NOTHING.get(line, line)
