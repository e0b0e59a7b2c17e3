"""Grammars of llguidance: JSON Schema, regular expressions, Lark.

Tokens are never forced. Where only one text can follow, llguidance would allow nothing but the one token that its idea
of the tokenizer makes of it: a wrong one in vocabularies that put a space in front of a text, and a call back into
Python from the thread that prepares masks.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.frames import Calls, Constraint
from scheduler.runner.constrain import schema
from scheduler.runner.constrain.lexicon import Lexicon

log = logging.getLogger(__name__)

_HEAD: Final = '%llguidance {"no_forcing": true}\n'
_SPACE: Final = r"( |\n{1,2}[ \t]{0,20})"
"""White space as llama.cpp's schema grammars bound it: an endless run of blanks would never end."""
_JSON_OPTIONS: Final = {
    "whitespace_pattern": _SPACE,
    "lenient": True,
    "json_allow_general_unicode_escapes": True,
}
_MAX_SOURCE: Final = 1 << 20
_NOTHING: Final[dict[str, str]] = dict.fromkeys(("NoExtension", "NoExtensionBias"), "nothing can satisfy it")
_BAD_REGEX: Final = re.compile(
    r'at \d+\(\d+\): invalid regex ".*?" \(in regex\): (?:regex parse error:\n.*?\nerror: )?([^\n]*)', re.DOTALL
)
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

    @property
    def complete(self) -> bool:
        """Whether the text may end here."""
        return bool(self._matcher.is_accepting())

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
    value = _value(lexicon, source)
    start = f"start: BLANK? value\nBLANK: /{_SPACE}/\n" if spaced else "start: value\n"
    try:
        return _start(lexicon, f"{_HEAD}{start}value: {value}\n")
    except GuideError as error:
        raise schema.SchemaError((), str(error)) from None


def _value(lexicon: Lexicon, source: str) -> str:
    """A Lark expression for what the schema admits. Raises `SchemaError`."""
    if len(source) > _MAX_SOURCE:
        raise schema.SchemaError((), f"too large: {len(source)} characters, at most {_MAX_SOURCE}")
    adapted, ignored = schema.read(source)
    try:
        json.dumps(adapted, allow_nan=False)
    except ValueError:
        raise schema.SchemaError((), "a number is out of range") from None

    def probe(value: Any) -> str:
        matcher = _matcher(lexicon, f"{_HEAD}start: {_json(value)}\n")
        return _plain(matcher.get_error()) if matcher.is_error() else ""

    if problem := probe(adapted):
        ignored |= schema.relax(adapted, probe)
        if problem := probe(adapted):
            raise schema.locate(adapted, probe, problem)
    if ignored:
        log.warning("structured output: not enforced, or not in full: %s", ", ".join(sorted(ignored)))
    return _json(adapted)


def _json(value: Any) -> str:
    return "%json " + json.dumps({**value, "x-guidance": _JSON_OPTIONS}, allow_nan=False)


def from_calls(lexicon: Lexicon, calls: Calls, otherwise: Constraint | None) -> Guided:
    """What follows an opening; where nothing but calls is admitted, or they or `otherwise`, all of it.

    Raises `SchemaError`, `GuideError`.
    """
    rules = [calls.rules, *_marks(lexicon, calls.marks)]
    rules += [f"json_{index}: {_enforceable(lexicon, source)}" for index, source in enumerate(calls.schemas)]
    rules.append(f"SPACE_IN_FRONT: /{_SPACE}/")
    start, sides = "rest", dict[str, str]()
    if calls.required:
        start = "SPACE_IN_FRONT? calls"
    elif otherwise is not None:
        start = "SPACE_IN_FRONT? (calls | lead otherwise)"
        rules += _marks(lexicon, calls.lead, "lead")
        rules.append(f"lead: {' '.join(f'lead_{index}?' for index in range(len(calls.lead))) or chr(34) * 2}")
        rules.append(f"otherwise: {_alternative(lexicon, otherwise, sides)}")
    source = "\n".join([f"{_HEAD}start: {start}", *rules])
    _check_size(source)
    grammars = [{"lark_grammar": source}, *({"name": name, "lark_grammar": text} for name, text in sides.items())]
    return _start(lexicon, json.dumps({"grammars": grammars}) if sides else source)


def _marks(lexicon: Lexicon, marks: Sequence[str], name: str = "mark") -> Iterator[str]:
    """Each as a rule `<name>_<index>`: the text, or the control token that is written so."""
    for index, mark in enumerate(marks):
        tokens = sorted(lexicon.named([mark]) & lexicon.hidden)
        ways = [json.dumps(mark, ensure_ascii=False), *(f"<[{token}]>" for token in tokens)]
        yield f"{name}_{index}: {' | '.join(ways)}"


def _enforceable(lexicon: Lexicon, source: str) -> str:
    """What the schema of a tool admits; where it cannot be understood, anything of its kind."""
    try:
        return _value(lexicon, source)
    except schema.SchemaError as error:
        log.warning("the parameters of a tool are not enforced: %s", error)
        return _json({"type": "object"} if '"type": "object"' in source else {})


def _alternative(lexicon: Lexicon, constraint: Constraint, sides: dict[str, str]) -> str:
    """What may be said instead of calls; other grammars than JSON stand beside the main one."""
    match constraint.kind:
        case "json_schema":
            return _value(lexicon, constraint.source)
        case "regex":
            sides["said"] = _HEAD + _regex(constraint.source)
        case "lark":
            sides["said"] = _HEAD + constraint.source
        case _:
            raise GuideError(f"a {constraint.kind.upper()} grammar cannot be combined with tools")
    return "@said"


def from_regex(lexicon: Lexicon, source: str) -> Guided:
    """Raises `GuideError`."""
    return _start(lexicon, _HEAD + _regex(source))


def _regex(source: str) -> str:
    """The Lark grammar for it."""
    from llguidance import LLMatcher

    _check_size(source)
    return str(json.loads(LLMatcher.grammar_from_regex(source))["grammars"][0]["lark_grammar"])


def from_lark(lexicon: Lexicon, source: str) -> Guided:
    """Raises `GuideError`."""
    _check_size(source)
    return _start(lexicon, _HEAD + source)


def _check_size(source: str) -> None:
    if len(source) > _MAX_SOURCE:
        raise GuideError(f"the grammar is too large: {len(source)} characters, at most {_MAX_SOURCE}")


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
    if found := _BAD_REGEX.search(error):
        return f"invalid regex: {found[1]}"
    _, _, heart = error.rpartition("failed to compile JSON schema: ")
    line = heart.strip().partition("\n")[0]
    return _NOTHING.get(line, line)
