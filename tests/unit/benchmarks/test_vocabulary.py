"""Vocabularies whose prompts have a length known beforehand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import vocabulary
from benchmarks.vocabulary import SPACE


@pytest.fixture(scope="module")
def sentencepiece() -> dict[str, float]:
    """Text → score of what SentencePiece may merge to."""
    made = vocabulary.sentencepiece(32_000)
    return dict(zip(made.texts[made.silent :], made.scores[made.silent :], strict=True))


def merged(text: str, scores: dict[str, float]) -> list[str]:
    """SentencePiece's merging, written for clarity: the best pair of neighbours first, the leftmost of equals."""
    symbols = list(SPACE + text.replace(" ", SPACE))
    while True:
        neighbours = enumerate(itertools.pairwise(symbols))
        pairs = [(scores[a + b], -i) for i, (a, b) in neighbours if a + b in scores]
        if not pairs:
            return symbols
        at = -max(pairs)[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]


def test_sentencepiece_has_exactly_the_size_asked_for() -> None:
    """Every token has a text of its own, a type and a score."""
    made = vocabulary.sentencepiece(32_000)
    assert len(made.texts) == len(set(made.texts)) == len(made.types) == len(made.scores) == 32_000


def test_silent_tokens_come_first() -> None:
    """Control tokens, the end token among them, and bytes: nothing of it may appear in an answer."""
    made = vocabulary.sentencepiece(32_000)
    assert made.silent > vocabulary.EOS
    assert made.texts[vocabulary.EOS] == "</s>"
    assert all(kind == 1 for kind in made.types[made.silent :])
    assert all(kind != 1 for kind in made.types[: made.silent])


@given(words=st.integers(1, 40), seed=st.integers(0, 1 << 32))
def test_a_prompt_has_as_many_tokens_as_words(sentencepiece: dict[str, float], words: int, seed: int) -> None:
    """Each word merges into one token, whatever stands beside it."""
    text = vocabulary.prompt(words, seed)
    assert merged(text, sentencepiece) == [SPACE + word for word in text.split(" ")]
    assert len(text.split(" ")) == words


@given(seed=st.integers(0, 1 << 32))
def test_neighbouring_prompts_share_no_beginning(seed: int) -> None:
    """A cache of prefixes has nothing to save."""
    first, second = (vocabulary.prompt(4, number).split()[0] for number in (seed, seed + 1))
    assert first != second


def test_wordpiece_knows_the_words_of_prompts() -> None:
    """One token a word, and the special tokens where BERT has them."""
    made = vocabulary.wordpiece(30_522)
    assert len(made.texts) == len(set(made.texts)) == 30_522
    assert (made.texts[0], made.texts[100:104]) == ("[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    known = set(made.texts)
    assert all(SPACE + word in known for word in vocabulary.prompt(500, 1).split())
