"""From options to choices: what acts, what it has seen, and what one request has to do with another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.frames import Sampling
from scheduler.runner.sampling import chain as sampling
from scheduler.runner.sampling.candidates import Ids
from scheduler.runner.sampling.chain import Chain, SamplingError, bits_set, build_chain, penalty_window, resolve_biases
from scheduler.runner.sampling.choice import Best, Filtered, Mirostat, Shortlist
from scheduler.runner.sampling.randomness import uniform, word

SIZE = 300
Row = NDArray[np.float32]


class Words:
    """A vocabulary of 300 tokens; a text has as many as it has words."""

    size = SIZE

    def __init__(self, suppressed: Sequence[int] = ()) -> None:
        self.suppressed = suppressed

    def tokenize(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]


class Candidates:
    """Stands in for llama.cpp's samplers."""

    def __init__(self, room: int, *, seed: int, **options: Any) -> None:
        self._room = room
        self._choice = Filtered(uniform(-1 if seed == word(-1) else seed), **options)

    def choose(self, ids: Ids, logits: Row) -> int:
        assert len(ids) <= self._room
        place = self._choice(logits)
        return int(ids[place]) if np.isfinite(logits[place]) else -1

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "CandidateSampler", Candidates)


class Rows:
    """Stands in for the engine's context: batch row n predicts `rows[n]`."""

    def __init__(self, *rows: Row) -> None:
        self.rows = rows

    def logits(self, row: int) -> Row:
        return self.rows[row]


class Admitting:
    """A matcher that admits some tokens, and remembers what it was asked."""

    active = True
    error = ""

    def __init__(self, *tokens: int, ready: bool = False) -> None:
        self.tokens = tokens
        self.ready = ready
        self.masks = self.asked = 0

    def prepare(self) -> None: ...

    def admits(self, token: int) -> bool:
        self.asked += 1
        return token in self.tokens

    def mask(self) -> NDArray[np.int32]:
        self.masks += 1
        bits = np.zeros((SIZE + 31) // 32 * 32, np.uint8)
        bits[list(self.tokens)] = 1
        return np.packbits(bits, bitorder="little").view(np.int32)

    def consume(self, token: int) -> bool:
        return False


def chain(*, prompt: Sequence[int] = (), num_ctx: int = 100, suppressed: Sequence[int] = (), **options: Any) -> Chain:
    return build_chain(Sampling(**options), vocabulary=Words(suppressed), num_ctx=num_ctx, prompt=prompt)


def row(seed: int = 0) -> Row:
    return np.random.default_rng(seed).normal(0, 3, SIZE).astype(np.float32)


def rising() -> Row:
    return np.arange(SIZE, dtype=np.float32)


def chosen(chain: Chain, *rows: Row) -> list[int]:
    return [chain.sample(Rows(one), 0) for one in rows]


# -- which choice


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, Shortlist),
        ({"top_k": 1}, Shortlist),
        ({"top_k": 5_000}, Filtered),
        ({"top_k": 0}, Filtered),
        ({"top_k": -5}, Filtered),
        ({"typical_p": 0.5}, Shortlist),
        ({"typical_p": 0.5, "top_k": 0}, Filtered),
        ({"temperature": 0.0}, Best),
        ({"temperature": -1.0}, Best),
        ({"temperature": 1e-30}, Best),
        ({"temperature": 0.0, "typical_p": 0.5}, Shortlist),
        ({"mirostat": 1}, Mirostat),
        ({"mirostat": 2}, Mirostat),
        ({"mirostat": 3}, Shortlist),
        ({"mirostat": 2, "temperature": 0.0}, Best),
    ],
)
def test_options_decide_how_a_token_is_chosen(options: dict[str, Any], kind: type) -> None:
    assert isinstance(chain(**options)._choice, kind)  # pyright: ignore[reportPrivateUsage]


@given(
    temperature=st.floats(-1, 5),
    top_k=st.integers(-1, 400),
    top_p=st.floats(-0.5, 1.5),
    min_p=st.floats(-0.5, 1.5),
    typical_p=st.floats(-0.5, 1.5),
    repeat_penalty=st.floats(-1, 3),
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    repeat_last_n=st.integers(-1, 100),
    mirostat=st.integers(0, 2),
    seed=st.integers(-1, 1 << 33),
)
def test_any_options_give_a_token_and_leave_the_row_alone(seed: int, **options: Any) -> None:
    sampler = chain(prompt=list(range(50)), seed=seed, logit_bias=[(3, 4.0)], **options)
    for number in range(3):
        logits = row(number)
        assert 0 <= chosen(sampler, logits)[0] < SIZE
        assert np.array_equal(logits, row(number))


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty"])
@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e-45, -1e-45])
def test_values_at_the_edge_of_a_float_do_no_harm(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    sampler = chain(prompt=[1, 2, 3], **options)
    assert all(0 <= token < SIZE for token in chosen(sampler, row(1), row(2), -row(3)))


# -- seeds


@given(seed=st.integers(0, 1 << 32), others=st.lists(st.integers(-1, 5), max_size=4), steps=st.integers(1, 20))
def test_a_seed_gives_the_same_draws_whatever_runs_beside_it(seed: int, others: list[int], steps: int) -> None:
    """Given equal logits."""
    options: dict[str, Any] = {"temperature": 2.0, "repeat_penalty": 1.2}
    rows = [row(step) for step in range(steps)]
    alone = chosen(chain(seed=seed, **options), *rows)
    one, beside = chain(seed=seed, **options), [chain(seed=other, **options) for other in others]
    mixed = list[int]()
    for logits in rows:
        for other in beside:
            chosen(other, logits)
        mixed += chosen(one, logits)
    assert mixed == alone


def test_without_a_seed_each_request_draws_others() -> None:
    rows = [row(step) for step in range(20)]
    assert chosen(chain(temperature=2.0), *rows) != chosen(chain(temperature=2.0), *rows)


def test_zero_is_a_seed() -> None:
    rows = [row(step) for step in range(20)]
    assert chosen(chain(temperature=2.0, seed=0), *rows) == chosen(chain(temperature=2.0, seed=0), *rows)


@given(seed=st.integers(0, 99))
def test_top_k_1_is_greedy_at_any_temperature(seed: int) -> None:
    assert chosen(chain(top_k=1, temperature=5.0), row(seed)) == chosen(chain(temperature=0.0), row(seed))


# -- penalties


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({}, 0),
        ({"repeat_penalty": 0.0}, 0),
        ({"repeat_penalty": 1.1}, 64),
        ({"presence_penalty": 0.5}, 64),
        ({"frequency_penalty": -0.5}, 64),
        ({"repeat_penalty": 1.1, "repeat_last_n": 0}, 0),
        ({"repeat_penalty": 1.1, "repeat_last_n": -1}, 100),
        ({"repeat_penalty": 1.1, "repeat_last_n": 1 << 40}, 100),
    ],
)
def test_how_far_penalties_look_back(options: dict[str, Any], window: int) -> None:
    """Never farther than the context."""
    assert penalty_window(Sampling(**options), 100) == window


def test_the_words_of_the_prompt_are_penalized_too() -> None:
    greedy: dict[str, Any] = {"temperature": 0.0, "repeat_penalty": 2.0}
    assert chosen(chain(**greedy), rising()) == [299]
    assert chosen(chain(prompt=[299, 298], **greedy), rising()) == [297]
    assert chosen(chain(prompt=[299, 298], repeat_last_n=1, **greedy), rising()) == [299]
    assert chosen(chain(prompt=[299, 298], repeat_last_n=0, **greedy), rising()) == [299]
    assert chosen(chain(prompt=[299] + [0] * 99, repeat_last_n=-1, **greedy), rising()) == [298]


def test_what_was_chosen_is_penalized_until_it_is_forgotten() -> None:
    sampler = chain(temperature=0.0, presence_penalty=10.0, repeat_last_n=2)
    assert chosen(sampler, *[rising()] * 4) == [299, 298, 297, 299]


def test_a_repeat_penalty_of_nothing_or_less_repeats_freely() -> None:
    sampler = chain(temperature=0.0, repeat_penalty=-1.0, presence_penalty=0.25)
    assert chosen(sampler, rising(), rising()) == [299, 299]


# -- biases


def test_biases_act_before_everything_else() -> None:
    assert chosen(chain(temperature=0.0, logit_bias=[(7, 1000.0)]), rising()) == [7]
    assert chosen(chain(logit_bias=[(299, -1000.0), (298, -1000.0)], top_k=1), rising()) == [297]


def test_a_token_may_be_given_by_its_text() -> None:
    assert resolve_biases(Sampling(logit_bias=[("five", 2.0), (9, 1.0)]), Words()) == [(4, 2.0), (9, 1.0)]


def test_the_file_forbids_tokens() -> None:
    assert chosen(chain(temperature=0.0, suppressed=[299, 298]), rising()) == [297]
    assert chosen(chain(temperature=0.0, suppressed=[299], logit_bias=[(299, 1000.0)]), rising()) == [298]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (SIZE, "logit_bias: token 300 is not in the vocabulary of 300"),
        (-1, "logit_bias: token -1 is not in the vocabulary of 300"),
        ("two words", "logit_bias: 'two words' is not one token but 2; give ids instead"),
        ("", "logit_bias: '' is not one token but 0; give ids instead"),
    ],
)
def test_what_is_no_token_is_named(key: int | str, text: str) -> None:
    with pytest.raises(SamplingError) as refused:
        chain(logit_bias=[(key, 1.0)])
    assert str(refused.value) == text


# -- under a constraint


def test_a_free_choice_that_is_admitted_stands_and_needs_no_mask() -> None:
    matcher = Admitting(299, 5)
    assert chain(temperature=0.0).sample_constrained(Rows(rising()), 0, matcher) == 299
    assert matcher.masks == 0


def test_where_few_are_known_to_be_admitted_the_choice_is_among_them() -> None:
    few = Admitting(299, 5, ready=True)
    assert chain(temperature=0.0).sample_constrained(Rows(rising()), 0, few) == 299
    assert (few.masks > 0, few.asked) == (True, 0)
    one = Admitting(7, ready=True)
    assert chain(seed=1).sample_constrained(Rows(rising()), 0, one) == 7


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {}, {"top_k": 0}, {"mirostat": 2}, {"typical_p": 0.5}])
@given(seed=st.integers(0, 50), tokens=st.sets(st.integers(0, SIZE - 1), min_size=1), ready=st.booleans())
def test_what_is_chosen_is_admitted(options: dict[str, Any], seed: int, tokens: set[int], ready: bool) -> None:
    logits = row(seed)
    token = chain(**options).sample_constrained(Rows(logits), 0, Admitting(*tokens, ready=ready))
    assert token in tokens
    assert np.array_equal(logits, row(seed))


def test_a_choice_that_is_refused_is_not_penalized() -> None:
    sampler = chain(temperature=0.0, presence_penalty=1000.0)
    assert sampler.sample_constrained(Rows(rising()), 0, Admitting(4, 5)) == 5
    assert sampler.sample(Rows(rising()), 0) == 299
    assert sampler.sample_constrained(Rows(rising()), 0, Admitting(4, 5)) == 4


def test_mirostat_learns_nothing_from_a_choice_that_is_refused() -> None:
    sampler = chain(mirostat=2, seed=1)
    matcher = Admitting(299)
    assert sampler.sample_constrained(Rows(rising()), 0, matcher) == 299
    assert matcher.masks == 1, "it does not choose freely first"


def test_a_constraint_leaves_the_proportions_of_what_it_admits() -> None:
    """Choosing freely first and masking only after a refusal draws as masking at once does."""
    logits = np.full(SIZE, -50, np.float32)
    logits[:4] = np.log([0.4, 0.3, 0.2, 0.1])
    for ready in (False, True):
        sampler = chain(temperature=1.0, top_p=1.0, seed=3)
        drawn = [sampler.sample_constrained(Rows(logits), 0, Admitting(1, 3, ready=ready)) for _ in range(4_000)]
        assert drawn.count(1) / len(drawn) == pytest.approx(0.75, abs=0.03)


def test_where_nothing_is_admitted_the_free_choice_stands() -> None:
    for ready in (False, True):
        assert chain(temperature=0.0).sample_constrained(Rows(rising()), 0, Admitting(ready=ready)) == 299
    assert 0 <= chain(mirostat=1).sample_constrained(Rows(rising()), 0, Admitting()) < SIZE


@given(st.sets(st.integers(0, 319)), st.integers(1, 320))
def test_bits_of_a_mask(tokens: set[int], size: int) -> None:
    """A mask may have room for more tokens than there are."""
    bits = np.zeros(320, np.uint8)
    bits[list(tokens)] = 1
    mask = np.packbits(bits, bitorder="little").view(np.int32)
    assert bits_set(mask, size).tolist() == sorted(token for token in tokens if token < size)
