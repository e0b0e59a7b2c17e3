"""Text that must conform to a grammar: a matcher says which tokens may come next, the others are masked out."""

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.frames import Constraint
from scheduler.runner.engine import Vocabulary
from scheduler.runner.schema import closed

_SPECIAL: Final = b"\xff"
"""Put before a token's text, it marks a token that no text matches."""
_JSON_SPACING: Final[Any] = {"whitespace_pattern": r"( |\n{1,2}[ \t]{0,20})", "lenient": True}
"""White space as llama.cpp's schema grammars bound it: an endless run of blanks would never end."""


class ConstraintError(ValueError):
    """The grammar or schema cannot be compiled. The client's fault."""


class Matcher:
    """Follows one text through its grammar."""

    def __init__(self, matcher: Any, words: int) -> None:
        self._matcher = matcher
        self._mask: NDArray[np.int32] = np.zeros((1, words), np.int32)

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Make every token that may not come next impossible, in place."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        allowed = np.unpackbits(self._mask.view(np.uint8), bitorder="little")[: len(logits)]
        logits[: len(allowed)][allowed == 0] = -np.inf
        logits[len(allowed) :] = -np.inf

    def consume(self, token: int) -> bool:
        """Advance over a chosen token. True when nothing may follow it."""
        self._matcher.consume_token(token)
        return self._matcher.is_stopped()


class Constraints:
    """Compiles constraints for one vocabulary. The tokenizer's tables are built at the first use."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokenizer: Any = None

    def compile(self, constraint: Constraint) -> Matcher:
        """Raises `ConstraintError` with the compiler's words."""
        import llguidance

        if self._tokenizer is None:
            if not self._vocabulary.end_tokens:
                raise ConstraintError("a format needs an end-of-sequence token, which the model does not have")
            table: Any = _VocabularyTable(self._vocabulary)
            self._tokenizer = llguidance.LLTokenizer(table, eos_token=sorted(self._vocabulary.end_tokens))
        try:
            grammar = _grammar(constraint)
        except (ValueError, RecursionError) as error:
            raise ConstraintError(str(error)) from error
        if problem := llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer):
            raise ConstraintError(problem)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar)
        return Matcher(matcher, (self._tokenizer.vocab_size + 31) // 32)


class _VocabularyTable:
    """The vocabulary in the form that the matcher's tokenizer reads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.eos_token_id = vocabulary.eos_id
        self.bos_token_id = vocabulary.bos_id if vocabulary.bos_id >= 0 else None
        self.tokens = [self._text(token) for token in range(vocabulary.size)]
        self.special_token_ids = [token for token, text in enumerate(self.tokens) if text.startswith(_SPECIAL)]
        self.is_tokenizer_wrapper = True

    def _text(self, token: int) -> bytes:
        plain = self._vocabulary.piece(token)
        return plain or _SPECIAL + self._vocabulary.written_piece(token)

    def __call__(self, text: str | bytes) -> list[int]:
        return self._vocabulary.tokenize(text if isinstance(text, str) else text.decode("utf-8", "replace"))


def _grammar(constraint: Constraint) -> str:
    from llguidance import LLMatcher, grammar_from

    if constraint.kind == "json_schema":
        schema = closed(json.loads(constraint.source))
        return LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=_JSON_SPACING)
    return grammar_from(constraint.kind, constraint.source)
