"""Models whose memory is not a plain KV cache, through a real runner: sliding windows, recurrent states, both, and MLA.

Whatever a runner has stored, copied, cut back or shifted before, an answer is the one that llama.cpp gives to the
prompt alone, in one go. tests/models/families has the models and those answers; tools/models/families makes them.
"""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduler import frames
from scheduler.runner.limits import kept_tokens, shift_range
from tests.integration.runner import MODELS, Answers, Runner, load

EXPECTED: dict[str, Any] = json.loads(gzip.decompress((MODELS / "families" / "expected.json.gz").read_bytes()))
FAMILIES = sorted(EXPECTED)
TOLERANCE = {"gpt-oss": 0.4, "gemma3": 0.2}
"""Of a log-probability; the models' rounding differs. A wrong memory moves them by 0.5 to 14."""

Entry = dict[str, Any]


def entries(name: str) -> list[Entry]:
    """All prompts of a model: short ones, a base, what leaves it at several places, and two next turns."""
    family = EXPECTED[name]
    return [*family["short"], family["base"], *family["branches"], family["next"], family["long"]]


def request(id: int, entry: Entry, **fields: Any) -> frames.Generate:
    fields = {"num_predict": len(entry["answer_ids"]), "logprobs": 0, **fields}
    return frames.Generate(id=id, prompt=entry["prompt"], sampling=frames.Sampling(temperature=0), **fields)


def check(name: str, answers: Answers, id: int, entry: Entry) -> frames.Done:
    """The answer is the expected one, its log-probabilities too."""
    done = answers.done(id)
    assert answers.text(id) == entry["answer"]
    assert done.prompt_tokens == len(entry["ids"])
    assert 0 <= done.cached_tokens < done.prompt_tokens
    got = [one.logprob for delta in answers.deltas if delta.id == id for one in delta.logprobs]
    assert got == pytest.approx(entry["logprobs"], abs=TOLERANCE.get(name, 0.1))
    return done


def ask(name: str, runner: Runner, entry: Entry) -> frames.Done:
    return check(name, runner.run(request(1, entry)), 1, entry)


def load_family(name: str, **changes: Any) -> Runner:
    return Runner(load(f"families/{name}.gguf", **{"num_ctx": 1024, "num_batch": 64, **changes}))


@pytest.fixture(scope="module", params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def runner(name: str) -> Iterator[Runner]:
    """Four sequences, and host memory for those that have to leave."""
    running = load_family(name, parallel=4, archive_bytes=1 << 24)
    yield running
    assert running.close() == 0


@pytest.fixture
def start(name: str) -> Iterator[Callable[..., Runner]]:
    """Starts a runner of its own kind; all of them end by themselves when asked to."""
    running: list[Runner] = []

    def begin(**changes: Any) -> Runner:
        running.append(load_family(name, **changes))
        return running[-1]

    yield begin
    for one in running:
        assert one.close() == 0 or isinstance(one.loaded, frames.LoadFailed)


@pytest.mark.parametrize("name", [name for name in FAMILIES if EXPECTED[name]["reference"] is not None])
def test_the_conversion_agrees_with_the_reference(name: str) -> None:
    """Greedy continuations are those of the model's own framework; one model's random weights exist nowhere else."""
    reference = EXPECTED[name]["reference"]
    for row in (*reference["stored"], *reference["wide"]):
        assert row["equal"] == row["greedy"]
    assert not reference["tokenization"]["wrong"]


def test_an_answer_is_the_same_the_second_time(name: str, runner: Runner) -> None:
    for entry in EXPECTED[name]["short"]:
        ask(name, runner, entry)
        ask(name, runner, entry)
    ask(name, runner, EXPECTED[name]["base"])
    again = ask(name, runner, EXPECTED[name]["base"])
    assert again.cached_tokens > 0.9 * again.prompt_tokens, "what is stored is used"


def test_a_conversation_goes_on_and_branches(name: str, runner: Runner) -> None:
    """The base, its next turns, prompts that leave it early and late, and each time the base again."""
    family = EXPECTED[name]
    for entry in (family["next"], family["long"], *family["branches"]):
        ask(name, runner, family["base"])
        ask(name, runner, entry)
    ask(name, runner, family["base"])


@pytest.mark.long
@pytest.mark.parametrize(("parallel", "archive_bytes"), [(1, 1 << 24), (2, 0), (3, 150_000)])
def test_any_order_gives_the_same_answers(
    name: str, start: Callable[..., Runner], parallel: int, archive_bytes: int
) -> None:
    """With few sequences everything is cut back or put away, with more it is copied; host memory may be short."""
    order = random.Random(parallel)
    running = start(parallel=parallel, archive_bytes=archive_bytes)
    for _ in range(3):
        for entry in order.sample(entries(name), len(entries(name))):
            ask(name, running, entry)


def test_prompts_at_once_are_answered_as_alone(name: str, runner: Runner) -> None:
    """Two at a time, then all of them over four sequences."""
    family = EXPECTED[name]
    for pair in ((family["base"], family["short"][0]), (family["base"], family["next"]), family["branches"][:2]):
        answers = runner.run(*(request(10 + n, entry) for n, entry in enumerate(pair)))
        for n, entry in enumerate(pair):
            check(name, answers, 10 + n, entry)
    answers = runner.run(*(request(100 + n, entry) for n, entry in enumerate(entries(name))))
    for n, entry in enumerate(entries(name)):
        check(name, answers, 100 + n, entry)


# -- a context that is too small


def long_answer(name: str, runner: Runner, **fields: Any) -> frames.Done:
    """One that does not end, nor run in circles."""
    never = [(id, -1000.0) for id in EXPECTED[name]["end_ids"]]
    sampling = frames.Sampling(temperature=0, logit_bias=never, frequency_penalty=1.0)
    prompt = EXPECTED[name]["short"][0]["prompt"]
    request = frames.Generate(id=1, prompt=prompt, sampling=sampling, num_predict=150, **fields)
    return runner.run(request).done(1)


@pytest.mark.parametrize(
    ("name", "kv_cache_type"),
    [
        *((name, "f16") for name in FAMILIES),
        *((name, "q8_0") for name in FAMILIES if EXPECTED[name]["quantized_memory"]),
    ],
)
def test_a_full_context_ends_the_answer_or_slides(name: str, start: Callable[..., Runner], kv_cache_type: str) -> None:
    """Without `shift` the answer ends there; with it, it goes on as long as asked for, where the model can do that.
    Nothing that was shifted taints a later answer."""
    running = start(num_ctx=64, parallel=2, kv_cache_type=kv_cache_type)
    for _ in range(2):
        done = long_answer(name, running, shift=False)
        full = 64 - done.prompt_tokens
        assert (done.reason, abs(done.eval_tokens - full) <= 1) == ("length", True)
        done = long_answer(name, running)
        assert (done.reason, done.eval_tokens == 150 or abs(done.eval_tokens - full) <= 1) == ("length", True)
        for entry in EXPECTED[name]["short"]:
            ask(name, running, entry)


def test_what_has_slid_is_not_taken_for_new(name: str, start: Callable[..., Runner]) -> None:
    """After the context has slid, what is stored remembers the tokens that went. A prompt that looks exactly like it
    is answered as by a runner that never saw anything else."""
    running, fresh = (start(num_ctx=64, parallel=1, num_batch=32) for _ in range(2))
    first, second = next(_sliding_pairs(name, running))
    long = frames.Generate(id=1, prompt=first, sampling=frames.Sampling(temperature=0), num_predict=16)
    running.run(long)
    answers = [one.run(frames.Generate(id=2, prompt=second, logprobs=20, num_predict=1)) for one in (running, fresh)]
    best = [[top.logprob for top in one.deltas[0].logprobs[0].top] for one in answers]
    assert best[0] == pytest.approx(best[1], abs=TOLERANCE.get(name, 0.1))


def _sliding_pairs(name: str, runner: Runner) -> Iterator[tuple[str, str]]:
    """A prompt that nearly fills 64 tokens, and the text of what is left of it after it has slid."""
    words = EXPECTED[name]["base"]["prompt"].split(" ")
    for at in range(len(words) - 60):
        for count in range(10, 60):
            text = " ".join(words[at : at + count])
            ids = _tokenize(runner, text)
            if not 56 <= len(ids) <= 61:
                continue
            loaded = runner.loaded
            assert isinstance(loaded, frames.Loaded)
            keep = kept_tokens(4, len(ids), 64, adds_bos=loaded.add_bos)
            gone, rest = shift_range(63, 64, keep)
            left = ids[:gone] + ids[rest:]
            said = runner.ask(frames.Detokenize(id=9, tokens=left[1:] if loaded.add_bos else left))
            assert isinstance(said, frames.Text)
            if _tokenize(runner, said.text) == left:
                yield text, said.text


def _tokenize(runner: Runner, text: str) -> list[int]:
    tokens = runner.ask(frames.Tokenize(id=8, texts=[text], add_special=True))
    assert isinstance(tokens, frames.Tokens)
    return tokens.tokens[0]


def test_a_prompt_too_long_is_cut_or_refused(name: str, start: Callable[..., Runner]) -> None:
    """Cutting is for models whose context may slide; both times it is the same."""
    running = start(num_ctx=256, parallel=2)
    ends = [running.run(request(n, EXPECTED[name]["base"], num_predict=5)).ends[n] for n in range(2)]
    loaded = running.loaded
    assert isinstance(loaded, frames.Loaded)
    for end in ends:
        if loaded.can_shift:
            assert isinstance(end, frames.Done)
            assert end.truncated_tokens == len(EXPECTED[name]["base"]["ids"]) - end.prompt_tokens > 0
        else:
            assert isinstance(end, frames.Failed)
            assert end.status == 400
    ask(name, running, EXPECTED[name]["short"][0])


# -- other kinds of memory


@pytest.mark.long
@pytest.mark.parametrize("flash_attention", [False, True])
def test_flash_attention_changes_nothing(name: str, start: Callable[..., Runner], flash_attention: bool) -> None:
    running = start(parallel=2, flash_attention=flash_attention)
    for entry in (EXPECTED[name]["base"], *EXPECTED[name]["branches"], EXPECTED[name]["next"]):
        ask(name, running, entry)


def test_eight_bit_memory_answers_the_same_or_is_sixteen_bit(name: str, start: Callable[..., Runner]) -> None:
    running = start(parallel=2, kv_cache_type="q8_0")
    assert isinstance(running.loaded, frames.Loaded)
    family = EXPECTED[name]
    assert running.loaded.kv_cache_type == ("q8_0" if family["quantized_memory"] else "f16")
    for entry in (family["base"], family["next"], *family["branches"], family["base"]):
        answers = running.run(request(1, entry))
        assert answers.text(1) == entry["answer"]
