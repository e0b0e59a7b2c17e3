"""Sampling against llama.cpp's own samplers, and on a real runner."""

import ctypes
import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scheduler import frames
from scheduler.frames import Sampling
from scheduler.runner.engine.library import native
from scheduler.runner.sampling.chain import build_chain, penalty_window
from tests.integration.runner import GREEDY, MODELS, Runner, load
from tests.integration.test_runner import QUESTION

Row = NDArray[np.float32]
CONTEXT = 100


class Vocabulary:
    """As many tokens as a test wants."""

    suppressed: Sequence[int] = ()

    def __init__(self, size: int) -> None:
        self.size = size

    def tokenize(self, text: str) -> list[int]:
        raise AssertionError("only ids are used here")


class Rows:
    def __init__(self, row: Row) -> None:
        self.row = row

    def logits(self, row: int) -> Row:
        return self.row


class Reference:
    """The chain of llama.cpp's samplers for the same options."""

    def __init__(self, options: Sampling, size: int, prompt: Sequence[int]) -> None:
        self._lib = native()
        self._chain = self._lib.llama_sampler_chain_init(self._lib.llama_sampler_chain_default_params())
        self._array = np.zeros(size, [("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        window = penalty_window(options, CONTEXT)
        for link in self._links(options, size, window):
            self._lib.llama_sampler_chain_add(self._chain, link)
        for token in prompt[-window:] if window else ():
            self._lib.llama_sampler_accept(self._chain, token)

    def _links(self, options: Sampling, size: int, window: int) -> Iterator[Any]:
        lib = self._lib
        if options.logit_bias:
            biases = [lib.llama_logit_bias(token, bias) for token, bias in options.logit_bias]
            yield lib.llama_sampler_init_logit_bias(size, len(biases), (lib.llama_logit_bias * len(biases))(*biases))
        if window:
            penalties = (options.repeat_penalty, options.frequency_penalty, options.presence_penalty)
            yield lib.llama_sampler_init_penalties(size, window, *penalties)
        seed = options.seed & 0xFFFFFFFF
        if options.mirostat and options.temperature > 0:
            yield lib.llama_sampler_init_temp(options.temperature)
            tau, eta = options.mirostat_tau, options.mirostat_eta
            if options.mirostat == 1:
                yield lib.llama_sampler_init_mirostat(size, seed, tau, eta, 100)
            else:
                yield lib.llama_sampler_init_mirostat_v2(seed, tau, eta)
            return
        yield lib.llama_sampler_init_top_k(options.top_k)
        yield lib.llama_sampler_init_typical(options.typical_p, 1)
        yield lib.llama_sampler_init_top_p(options.top_p, 1)
        yield lib.llama_sampler_init_min_p(options.min_p, 1)
        yield lib.llama_sampler_init_temp(options.temperature)
        yield lib.llama_sampler_init_dist(seed)

    def sample(self, row: Row) -> int:
        self._array["id"] = np.arange(len(row))
        self._array["logit"] = row
        data = self._array.ctypes.data_as(self._lib.llama_token_data_p)
        candidates = self._lib.llama_token_data_array(data=data, size=len(row), selected=-1, sorted=False)
        self._lib.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        token = int(self._array["id"][candidates.selected])
        self._lib.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        self._lib.llama_sampler_free(self._chain)


def rows(size: int, spread: float, seed: int) -> Iterator[Row]:
    """Like those of a trained model: few tokens stand out of a long tail, others each time."""
    generator = np.random.default_rng(seed)
    tail = -1.1 * np.log(np.arange(1, size + 1))
    while True:
        yield np.ascontiguousarray(generator.permutation(tail + generator.normal(0, spread, size)), dtype=np.float32)


def agree(options: Sampling, size: int, spread: float, steps: int = 30) -> None:
    prompt = [random.Random(1).randrange(size) for _ in range(20)]
    theirs = Reference(options, size, prompt)
    ours = build_chain(options, vocabulary=Vocabulary(size), num_ctx=CONTEXT, prompt=prompt)
    for _, row in zip(range(steps), rows(size, spread, options.seed), strict=False):
        assert ours.sample(Rows(row), 0) == theirs.sample(row)
    theirs.close()


@pytest.mark.parametrize("size", [300, 2_500, 32_000])
@pytest.mark.parametrize("spread", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 1},
        {"top_k": 5, "top_p": 0.5, "min_p": 0.2},
        {"top_k": 200, "top_p": 1.0},
        {"top_k": 500},
        {"top_k": 64, "typical_p": 0.7},
        {"top_k": 300, "typical_p": 0.7},
        {"typical_p": 0.3, "temperature": 0.0},
        {"top_k": 64, "typical_p": 0.5, "top_p": 0.8, "min_p": 0.1, "temperature": 2.0},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.05},
        {"top_k": 0, "top_p": 1.0},
        {"temperature": 0.0},
        {"temperature": 0.1},
        {"temperature": 3.0},
        {"repeat_penalty": 1.3},
        {"repeat_penalty": 1.3, "temperature": 0.0, "repeat_last_n": 3},
        {"presence_penalty": 0.7, "frequency_penalty": 0.3, "repeat_last_n": -1},
        {"frequency_penalty": -0.4},
        {"logit_bias": [(3, 6.0), (7, -100.0)]},
        {"mirostat": 1, "mirostat_tau": 3.0},
        {"mirostat": 2},
        {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.5, "temperature": 1.3, "repeat_penalty": 1.2},
    ],
)
def test_a_seed_gives_what_llama_cpp_gives(options: dict[str, Any], spread: float, size: int) -> None:
    """Token by token, for the same logits: every option means the same, in the same order."""
    for seed in (0, 42):
        agree(Sampling(seed=seed, **options), size, spread)


@pytest.mark.parametrize("spread", [2.0, 4.0])
@pytest.mark.parametrize("options", [{"top_k": 0, "top_p": 0.6}, {"top_k": 0, "top_p": 1.0, "typical_p": 0.3}])
def test_among_all_tokens_too_as_long_as_few_are_left(options: dict[str, Any], spread: float) -> None:
    """Where hundreds are left they are drawn from in another order."""
    agree(Sampling(seed=1, **options), 2_500, spread)


@pytest.mark.parametrize("top_k", [1, 5, 40])
@pytest.mark.parametrize("size", [300, 2_500, 32_000])
def test_of_equal_logits_another_may_be_drawn_but_none_that_differs(size: int, top_k: int) -> None:
    """The k best have the same logits, whichever of the equal ones they are."""
    options = Sampling(top_k=top_k, seed=3)
    theirs = Reference(options, size, [])
    ours = build_chain(options, vocabulary=Vocabulary(size), num_ctx=CONTEXT, prompt=[])
    for step, row in zip(range(30), rows(size, 1.0, 3), strict=False):
        levels = np.round(row * np.float32(0.5 + step % 3))
        assert levels[ours.sample(Rows(levels), 0)] == levels[theirs.sample(levels)]
    theirs.close()


# -- a real runner


@pytest.fixture(scope="module")
def chat() -> Iterator[Runner]:
    runner = Runner(load("tinychat-f16.gguf", parallel=4))
    yield runner
    assert runner.close() == 0


def generate(id: int, sampling: Sampling, **changes: Any) -> frames.Generate:
    fields: dict[str, Any] = {"prompt": QUESTION, "num_predict": 12, **changes}
    return frames.Generate(id=id, sampling=sampling, **fields)


def test_every_option_gives_an_answer(chat: Runner) -> None:
    options: list[dict[str, Any]] = [
        {"typical_p": 0.5},
        {"min_p": 0.1, "top_k": 0},
        {"mirostat": 1},
        {"mirostat": 2},
        {"repeat_penalty": 1.5, "repeat_last_n": -1},
        {"presence_penalty": 3.0e38},
        {"top_p": 0.0},
        {"temperature": 3.4e38},
    ]
    answers = chat.run(*(generate(id, Sampling(seed=1, **one)) for id, one in enumerate(options, 10)))
    assert all(answers.done(id).eval_tokens > 0 for id in range(10, 10 + len(options)))


def test_a_bias_forces_a_token_and_keeps_one_away(chat: Runner) -> None:
    plain = chat.run(generate(20, GREEDY, num_predict=1)).text(20)
    tokens = chat.ask(frames.Tokenize(21, [plain, "x"]))
    assert isinstance(tokens, frames.Tokens)
    (said,), forced = tokens.tokens[0], tokens.tokens[1][-1]
    away = Sampling(temperature=0, logit_bias=[(said, -100.0)])
    assert chat.run(generate(22, away, num_predict=1)).text(22) != plain
    force = Sampling(temperature=0, logit_bias=[(forced, 1000.0)])
    assert chat.run(generate(23, force, num_predict=3)).text(23).replace(" ", "") == "xxx"


def forbidding(source: Path, target: Path, tokens: Sequence[int]) -> None:
    """A copy of a GGUF file whose first two metadata entries are new: forbidden tokens, and padding.

    Tensor data stays where its alignment of 32 bytes wants it.
    """
    data = source.read_bytes()
    magic, version, tensors, entries = struct.unpack_from("<4sIQQ", data)
    name = b"tokenizer.ggml.suppress_tokens"
    entry = struct.pack(f"<Q{len(name)}sIIQ{len(tokens)}i", len(name), name, 9, 5, len(tokens), *tokens)
    padding = b"test." + b"x" * ((-len(entry) - 18) % 32)
    entry += struct.pack(f"<Q{len(padding)}sI?", len(padding), padding, 7, True)
    target.write_bytes(struct.pack("<4sIQQ", magic, version, tensors, entries + 2) + entry + data[24:])


def test_tokens_that_the_file_forbids_are_not_chosen(chat: Runner, tmp_path: Path) -> None:
    plain = chat.run(generate(24, GREEDY, num_predict=1)).text(24)
    tokens = chat.ask(frames.Tokenize(25, [plain]))
    assert isinstance(tokens, frames.Tokens)
    forbidding(MODELS / "tinychat-f16.gguf", tmp_path / "m.gguf", tokens.tokens[0])
    runner = Runner(load(str(tmp_path / "m.gguf")))
    answers = [runner.run(generate(id, one, num_predict=1)) for id, one in ((1, GREEDY), (2, Sampling(top_k=1)))]
    assert runner.close() == 0
    assert answers[0].text(1) == answers[1].text(2) != plain


@pytest.mark.parametrize(
    ("key", "text"), [(10**8, "token 100000000 is not in the vocabulary"), ("a b c", "'a b c' is not one token")]
)
def test_a_bias_for_what_is_no_token_is_refused(chat: Runner, key: int | str, text: str) -> None:
    failed = chat.run(generate(30, Sampling(logit_bias=[(key, 1.0)]))).ends[30]
    assert isinstance(failed, frames.Failed)
    assert failed.status == 400
    assert text in failed.message


def test_a_seed_gives_the_same_text_whatever_runs_beside_it(chat: Runner) -> None:
    """With one token at a time, alone and beside three others."""
    seeded = Sampling(temperature=1.5, seed=7)
    alone = chat.run(generate(40, seeded)).text(40)
    others = [generate(id, Sampling(temperature=1.5, seed=id)) for id in range(41, 44)]
    assert chat.run(generate(44, seeded), *others).text(44) == alone


def test_log_probabilities_do_not_depend_on_how_tokens_are_chosen(chat: Runner) -> None:
    cold, warm = GREEDY, Sampling(temperature=1.0, top_k=1, repeat_penalty=1.0, logit_bias=[(0, -100.0)], seed=1)
    entries = [
        [entry for delta in chat.run(generate(id, sampling, logprobs=3)).deltas for entry in delta.logprobs]
        for id, sampling in ((50, cold), (51, warm))
    ]
    assert [entry.token for entry in entries[0]] == [entry.token for entry in entries[1]]
    for one, other in zip(*entries, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_a_hundred_thousand_stop_strings_do_not_slow_an_answer(chat: Runner) -> None:
    stops = [f"stop {number:06}" for number in range(100_000)]
    answers = chat.run(generate(60, GREEDY, stop=[*stops, "3"], num_predict=40))
    assert answers.done(60).reason == "stop"
    assert answers.done(60).eval_ns < 5e9
