"""The texts of a vocabulary's tokens, in the form that grammars need them.

Reading the texts of 128,000 tokens takes some tenths of a second and building llguidance's tables over them half a
second more, which holds Python's lock: both happen once a model, for the first request that needs them, and never on
the engine's thread.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

from scheduler.runner.engine import Vocabulary
from scheduler.runner.engine.grammar import Grammar

_SPECIAL: Final = b"\xff"
"""Put before a token's text, it marks a token that no text matches."""
_SLICES: Final = ['[^"\\\\\\x00-\\x1F\\x7F]{1,10}', '[^"\\\\\\x00-\\x1F\\x7F]+']
"""Sets of tokens whose masks are made in advance: what may stand in a JSON string, and the shorter ones of them for
strings of limited length. More sets (llguidance has 4) double the time it takes to build the tables and gain little."""


class Lexicon:
    """Built on demand, by one thread at a time; afterwards for any."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.size = vocabulary.size
        self.end_tokens = sorted(vocabulary.end_tokens)

    @cached_property
    def written(self) -> list[bytes]:
        """The text of each token, control tokens written out."""
        return self._vocabulary.texts()

    @cached_property
    def hidden(self) -> frozenset[int]:
        """Tokens that add nothing to the answer."""
        return frozenset(filter(self._vocabulary.hides, range(self.size)))

    @cached_property
    def guide(self) -> Any:
        """`llguidance.LLTokenizer` over the vocabulary."""
        import llguidance

        table: Any = _Table(self, self._vocabulary)
        return llguidance.LLTokenizer(table, eos_token=self.end_tokens, slices=_SLICES)

    def grammar(self, source: str) -> Grammar:
        """llama.cpp's grammar over the vocabulary. Raises `GrammarError`."""
        return Grammar(self._vocabulary, source)

    def named(self, texts: Iterable[str]) -> frozenset[int]:
        """The tokens that are written so."""
        return self._vocabulary.control_tokens(texts)

    def cover(self, text: bytes) -> list[int]:
        """Tokens whose texts joined are this one; nothing where the tokenizer has its own mind about it."""
        tokens = self._vocabulary.tokenize(text.decode("utf-8", "replace"))
        return tokens if b"".join(self.written[token] for token in tokens) == text else []


class _Table:
    """The vocabulary as `LLTokenizer` reads it."""

    def __init__(self, lexicon: Lexicon, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.eos_token_id = vocabulary.eos_id if vocabulary.eos_id >= 0 else lexicon.end_tokens[0]
        self.bos_token_id = vocabulary.bos_id if vocabulary.bos_id >= 0 else None
        hidden = lexicon.hidden
        self.tokens = [_SPECIAL + text if token in hidden else text for token, text in enumerate(lexicon.written)]
        self.special_token_ids = sorted(hidden)
        self.is_tokenizer_wrapper = True

    def __call__(self, text: str | bytes) -> list[int]:
        """Not called as long as grammars force no tokens; a space that some tokenizers put in front would be wrong."""
        return self._vocabulary.tokenize(text if isinstance(text, str) else text.decode("utf-8", "replace"))
