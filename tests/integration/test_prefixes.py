"""Prefixes that are continued, forked, put into host memory and brought back, in a real runner.

Which answers are equal is asked of prompts whose best token leads by a wide margin throughout: a batch of another size
is rounded otherwise, and a narrow choice may fall otherwise with it.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from scheduler import frames
from tests.integration.test_runner import EXPECTED, GREEDY, MODELS, Runner

WIDE = 0.2
"""Least gap between the log-probabilities of the best and the second token."""
ENTRIES: list[dict[str, Any]] = EXPECTED["tinychat-f16.gguf"]["chat"]
SYSTEM = "<|im_start|>system\nYou are a helpful assistant who knows a lot.<|im_end|>\n"


def trunk(topic: str) -> str:
    """A long beginning of many conversations."""
    return SYSTEM + "".join(
        f"<|im_start|>user\nWhat is {topic} {n} plus 1?<|im_end|>\n<|im_start|>assistant\n{n + 1}<|im_end|>\n"
        for n in range(25)
    )


def load(**changes: Any) -> frames.Load:
    fields: dict[str, Any] = {"num_ctx": 2048, "parallel": 2, "num_batch": 256, "num_thread": 1}
    return frames.Load([str(MODELS / "tinychat-f16.gguf")], **(fields | changes))


def runner(**changes: Any) -> Iterator[Runner]:
    started = Runner(load(**changes))
    yield started
    assert started.close() == 0


@pytest.fixture(scope="module")
def keeping() -> Iterator[Runner]:
    """Two slots and host memory."""
    yield from runner(archive_bytes=64 << 20)


@pytest.fixture(scope="module")
def forgetting() -> Iterator[Runner]:
    """Two slots and nothing else."""
    yield from runner()


def conversation(topic: str, n: int = 0, words: int = 40) -> str:
    """A beginning that all of a topic share, and many words that no other conversation has.

    Copies are made where they are measured to be cheaper; here they are, by far, on any machine.
    """
    said = " ".join(f"{topic} {n} and {n + word}" for word in range(words))
    return f"{trunk(topic)}<|im_start|>user\nRemember this: {said}.<|im_end|>\n<|im_start|>assistant\n"


def ask(runner: Runner, id: int, prompt: str, num_predict: int = 4) -> frames.Done:
    return runner.run(frames.Generate(id, prompt, sampling=GREEDY, num_predict=num_predict)).done(id)


def test_a_shared_beginning_is_computed_once(keeping: Runner) -> None:
    first = ask(keeping, 1, conversation("apple", 1))
    second = ask(keeping, 2, conversation("apple", 2))
    assert first.cached_tokens < 40, "the system prompt at most"
    assert second.cached_tokens > 400


def test_conversations_that_take_turns_on_fewer_slots_are_put_away_and_brought_back(keeping: Runner) -> None:
    for n in range(6):
        ask(keeping, 10 + n, conversation("pear", n))
    missing = [
        done.prompt_tokens - done.cached_tokens
        for done in (ask(keeping, 20 + n, conversation("pear", n)) for n in range(6))
    ]
    assert missing == [1] * 6, "all but the token that gives the first logits is there"


def test_without_host_memory_they_are_computed_behind_the_shared_beginning(forgetting: Runner) -> None:
    for n in range(6):
        ask(forgetting, 10 + n, conversation("pear", n))
    done = ask(forgetting, 20, conversation("pear", 0))
    assert 400 < done.cached_tokens < done.prompt_tokens - 20


def test_a_busy_sequence_is_forked(keeping: Runner) -> None:
    prompt = conversation("plum")
    keeping.send(frames.Generate(30, prompt, sampling=GREEDY, num_predict=300))
    done = keeping.run(frames.Generate(31, prompt + "1", sampling=GREEDY, num_predict=3)).done(31)
    assert done.prompt_tokens - done.cached_tokens == 1
    keeping.send(frames.Cancel(30))


def test_equal_prompts_at_once_are_computed_once(keeping: Runner) -> None:
    prompts = [conversation(("cherry", "grape")[n // 2]) for n in range(4)]
    answers = keeping.run(*(frames.Generate(40 + n, prompts[n], sampling=GREEDY, num_predict=2) for n in range(4)))
    missing = sorted(answers.done(40 + n).prompt_tokens - answers.done(40 + n).cached_tokens for n in range(4))
    assert missing[:2] == [1, 1]
    assert missing[2] > 400


@pytest.fixture(scope="module")
def firm() -> Iterator[list[dict[str, Any]]]:
    """Entries that each runner must repeat, found by asking one question after the other."""
    one_by_one = Runner(load(parallel=1))
    entries: list[dict[str, Any]] = []
    for id, entry in enumerate(ENTRIES, 1):
        answers = one_by_one.run(frames.Generate(id, entry["prompt"], sampling=GREEDY, logprobs=2))
        tokens = [token for delta in answers.deltas for token in delta.logprobs]
        if min(token.top[0].logprob - token.top[1].logprob for token in tokens) > WIDE:
            entries.append(entry)
    yield entries
    one_by_one.close()


@pytest.mark.parametrize("slots", ["keeping", "forgetting"])
def test_answers_do_not_depend_on_where_a_prefix_came_from(
    slots: str, firm: list[dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    """All questions at once, in two orders: they are those of the training framework."""
    runner: Runner = request.getfixturevalue(slots)
    assert len(firm) >= 10
    for turn, entries in enumerate((firm, firm[::-1])):
        requests = [
            frames.Generate(1000 * (turn + 1) + n, entry["prompt"], sampling=GREEDY) for n, entry in enumerate(entries)
        ]
        answers = runner.run(*requests)
        for asked, entry in zip(requests, entries, strict=True):
            assert answers.text(asked.id).strip() == entry["text"].strip(), entry["label"]


def test_a_sequence_outgrows_the_cache_it_began_with(keeping: Runner) -> None:
    """Memory for 512 tokens a sequence is made at first; conversations beyond it are moved as they are."""
    prompt = conversation("quince")
    count = keeping.ask(frames.Tokenize(70, [prompt], count_only=True))
    assert isinstance(count, frames.Tokens)
    assert count.counts[0] > 512
    long = ask(keeping, 71, prompt, num_predict=64)
    assert long.prompt_tokens == count.counts[0]
    assert ask(keeping, 72, prompt).cached_tokens == long.prompt_tokens - 1
