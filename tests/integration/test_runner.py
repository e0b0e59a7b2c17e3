"""A real runner process on real small models, spoken to in frames."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler import frames
from tests.integration.runner import EXPECTED, GREEDY, MODELS, Runner, load

TALKATIVE = frames.Constraint(
    "json_schema", '{"type": "array", "items": {"enum": ["one", "two", "three"]}, "minItems": 500}'
)
"""Keeps the model from ending its answer."""
QUESTION = "<|im_start|>user\nCount from 1 to 10.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def chat() -> Iterator[Runner]:
    runner = Runner(load("tinychat-f16.gguf", parallel=8))
    yield runner
    assert runner.close() == 0, "the end of stdin ends the process"


@pytest.fixture(scope="module")
def small() -> Iterator[Runner]:
    """Few tokens of context, small batches."""
    runner = Runner(load("tinychat-f16.gguf", num_ctx=200, num_batch=32, parallel=2))
    yield runner
    runner.close()


def expected(file: str, kind: str = "chat") -> list[dict[str, Any]]:
    return EXPECTED[file][kind]


def test_loading_reports_progress_and_memory(chat: Runner) -> None:
    assert chat.progress == sorted(chat.progress)
    loaded = chat.loaded
    assert isinstance(loaded, frames.Loaded)
    assert (loaded.num_ctx, loaded.vocab_size, loaded.can_shift) == (2048, 2560, True)
    kinds = {buffer.kind for buffer in loaded.buffers}
    assert {"model", "KV", "compute"} <= kinds


def test_greedy_answers_are_those_of_the_training_framework(chat: Runner) -> None:
    for entry in expected("tinychat-f16.gguf"):
        request = frames.Generate(
            id=1, prompt=entry["prompt"], sampling=GREEDY, num_predict=len(entry["ids"]) + 4, want_context=True
        )
        answers = chat.run(request)
        assert answers.text(1).strip() == entry["text"].strip(), entry["label"]
        assert answers.done(1).prompt_tokens == entry["prompt_tokens"]


def test_log_probabilities_are_those_of_the_training_framework(chat: Runner) -> None:
    entry = next(entry for entry in expected("tinychat-f16.gguf") if entry.get("logprobs"))
    answers = chat.run(frames.Generate(id=2, prompt=entry["prompt"], sampling=GREEDY, logprobs=5))
    got = [logprob for delta in answers.deltas for logprob in delta.logprobs]
    for one, reference in zip(got, entry["logprobs"], strict=False):
        assert one.logprob == pytest.approx(reference["logprob"], abs=0.02)
        assert len(one.top) == 5
        assert one.top[0].logprob >= one.top[4].logprob


def test_eight_streams_interleave_and_say_what_each_says_alone(chat: Runner) -> None:
    entries = [entry for entry in expected("tinychat-f16.gguf") if entry.get("logprobs")]
    requests = [
        frames.Generate(id=10 + n, prompt=entries[n % len(entries)]["prompt"], sampling=GREEDY) for n in range(8)
    ]
    answers = chat.run(*requests)
    for n, request in enumerate(requests):
        assert answers.text(request.id).strip() == entries[n % len(entries)]["text"].strip()
    order = [delta.id for delta in answers.deltas]
    finished_first = order[: order.index(order[-1])]
    assert len(set(finished_first)) > 1, "the streams ran side by side"


def test_a_second_turn_evaluates_only_what_is_new(chat: Runner) -> None:
    first = chat.run(frames.Generate(id=30, prompt=QUESTION, sampling=GREEDY)).text(30)
    follow_up = f"{QUESTION}{first}<|im_end|>\n<|im_start|>user\nThank you!<|im_end|>\n<|im_start|>assistant\n"
    alone = chat.run(frames.Generate(id=31, prompt=follow_up, sampling=GREEDY))
    done = alone.done(31)
    assert done.cached_tokens > done.prompt_tokens // 2
    again = chat.run(frames.Generate(id=32, prompt=follow_up, sampling=GREEDY))
    assert again.done(32).cached_tokens == done.prompt_tokens - 1
    assert again.done(32).prompt_tokens == done.prompt_tokens
    assert again.text(32) == alone.text(31)


def test_a_seed_decides_the_answer(chat: Runner) -> None:
    def sample(id: int, seed: int) -> str:
        sampling = frames.Sampling(temperature=3.0, top_k=0, top_p=1.0, seed=seed)
        return chat.run(frames.Generate(id=id, prompt=QUESTION, sampling=sampling, num_predict=12)).text(id)

    assert sample(40, 42) == sample(41, 42)
    assert sample(42, 0) == sample(43, 0)
    assert len({sample(44 + n, seed) for n, seed in enumerate((-1, -1, -1, 7))}) > 1


def test_top_k_1_is_greedy_at_any_temperature(chat: Runner) -> None:
    hot = frames.Sampling(temperature=5.0, top_k=1)
    assert chat.run(frames.Generate(id=50, prompt=QUESTION, sampling=hot, num_predict=20)).text(50) == chat.run(
        frames.Generate(id=51, prompt=QUESTION, sampling=GREEDY, num_predict=20)
    ).text(51)


def test_repeat_penalty_looks_back_on_the_prompt_too(chat: Runner) -> None:
    plain = chat.run(frames.Generate(id=52, prompt=QUESTION, sampling=GREEDY, num_predict=20)).text(52)
    punished = frames.Sampling(temperature=0, repeat_penalty=2.0, repeat_last_n=-1)
    ignored = frames.Sampling(temperature=0, repeat_penalty=2.0, repeat_last_n=0)
    assert chat.run(frames.Generate(id=53, prompt=QUESTION, sampling=punished, num_predict=20)).text(53) != plain
    assert chat.run(frames.Generate(id=54, prompt=QUESTION, sampling=ignored, num_predict=20)).text(54) == plain


def test_stop_strings_across_tokens_are_not_said(chat: Runner) -> None:
    answers = chat.run(frames.Generate(id=60, prompt=QUESTION, sampling=GREEDY, stop=["5, 6", "zebra"]))
    assert answers.text(60) == "1, 2, 3, 4, "
    assert answers.done(60).reason == "stop"


def test_num_predict_bounds_the_answer(chat: Runner) -> None:
    done = chat.run(frames.Generate(id=61, prompt=QUESTION, sampling=GREEDY, num_predict=3)).done(61)
    assert (done.reason, done.eval_tokens) == ("length", 3)


def test_a_schema_is_obeyed(chat: Runner) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    prompt = "<|im_start|>user\nZoe is 31 years old.<|im_end|>\n<|im_start|>assistant\n"
    constraint = frames.Constraint("json_schema", json.dumps(schema))
    answers = chat.run(frames.Generate(id=62, prompt=prompt, sampling=GREEDY, constraint=constraint, num_predict=80))
    said = json.loads(answers.text(62))
    assert list(said) == ["name", "age"]
    assert isinstance(said["age"], int)


def test_a_schema_that_makes_no_sense_fails_its_request_only(chat: Runner) -> None:
    constraint = frames.Constraint("json_schema", '{"type": "nonsense"}')
    answers = chat.run(frames.Generate(id=63, prompt=QUESTION, constraint=constraint))
    failed = answers.ends[63]
    assert isinstance(failed, frames.Failed)
    assert failed.status == 400
    assert chat.run(frames.Generate(id=64, prompt=QUESTION, num_predict=1)).done(64)


def test_a_cancelled_generation_stops(chat: Runner) -> None:
    chat.send(frames.Generate(id=70, prompt="Once upon a time", sampling=frames.Sampling(temperature=1.5)))
    while not isinstance(chat.next(), frames.Step):
        pass
    chat.send(frames.Cancel(70))
    answers = chat.run(frames.Generate(id=71, prompt=QUESTION, sampling=GREEDY, num_predict=30))
    assert answers.done(71)
    last_of_cancelled = max((n for n, delta in enumerate(answers.deltas) if delta.id == 70), default=-1)
    assert last_of_cancelled < len(answers.deltas) - 10, "only what was on its way may still arrive"


def test_tokens_and_text_convert_both_ways(chat: Runner) -> None:
    for entry in EXPECTED["tokenizer"]["encodings"]:
        answer = chat.ask(frames.Tokenize(id=80, texts=[entry["text"]]))
        assert isinstance(answer, frames.Tokens)
        assert answer.tokens == [entry["ids"]]
        text = chat.ask(frames.Detokenize(id=81, tokens=entry["ids"]))
        assert isinstance(text, frames.Text)
        assert text.text == entry["text"]


def test_an_unknown_token_is_refused(chat: Runner) -> None:
    answer = chat.ask(frames.Detokenize(id=82, tokens=[1_000_000]))
    assert isinstance(answer, frames.Failed)


def test_a_full_context_slides_on(small: Runner) -> None:
    answers = small.run(frames.Generate(id=1, prompt="Count: ", sampling=GREEDY, num_predict=400, constraint=TALKATIVE))
    done = answers.done(1)
    assert (done.reason, done.eval_tokens) == ("length", 400), "twice the context of 200"


def test_without_shift_the_answer_ends_with_the_context(small: Runner) -> None:
    answers = small.run(
        frames.Generate(id=2, prompt="Count: ", sampling=GREEDY, num_predict=400, constraint=TALKATIVE, shift=False)
    )
    done = answers.done(2)
    assert done.reason == "length"
    assert done.prompt_tokens + done.eval_tokens == 200


def test_a_prompt_that_is_too_long_is_cut_or_refused(small: Runner) -> None:
    prompt = "word " * 300
    cut = small.run(frames.Generate(id=3, prompt=prompt, sampling=GREEDY, num_predict=2)).done(3)
    assert cut.truncated_tokens > 0
    assert cut.prompt_tokens < 200
    for id, shift, truncate in ((4, False, True), (5, True, False)):
        end = small.run(frames.Generate(id=id, prompt=prompt, shift=shift, truncate=truncate)).ends[id]
        assert isinstance(end, frames.Failed)
        assert end.status == 400
        assert "context" in end.message


def test_long_prompts_are_evaluated_in_several_batches_beside_a_stream(small: Runner) -> None:
    entry = next(entry for entry in expected("tinychat-f16.gguf") if entry["label"] == "hello")
    long = frames.Generate(id=6, prompt="sky blue " * 50, sampling=GREEDY, num_predict=2)
    stream = frames.Generate(id=7, prompt=entry["prompt"], sampling=GREEDY)
    answers = small.run(stream, long)
    assert answers.text(7).strip() == entry["text"].strip()
    assert answers.done(6).prompt_tokens - answers.done(6).cached_tokens > 2 * 32


def test_a_chat_model_embeds_too(chat: Runner) -> None:
    answer = chat.ask(frames.Embed(id=90, inputs=["hello world", "good bye"], encoding="float32"))
    assert isinstance(answer, frames.Embedded)
    assert [len(vector) for vector in answer.vectors] == [256 * 4] * 2
    assert chat.run(frames.Generate(id=91, prompt=QUESTION, sampling=GREEDY, num_predict=6)).text(91) == "1, 2, "


def test_an_adapter_changes_the_answers() -> None:
    runner = Runner(load("tinychat-f16.gguf", adapters=[(str(MODELS / "tinylora-f16.gguf"), 1.0)]))
    entry = expected("tinychat-f16.gguf + tinylora-f16.gguf")[0]
    assert runner.run(frames.Generate(id=1, prompt=entry["prompt"], sampling=GREEDY)).text(1).strip() == entry["text"]
    runner.close()


def test_a_file_that_is_no_model_is_named_without_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "sha256-feed"
    file.write_bytes(b"this is not a model")
    runner = Runner(frames.Load(weights=[str(file)], num_ctx=8, parallel=1, num_batch=8))
    failed = runner.loaded
    assert isinstance(failed, frames.LoadFailed)
    assert failed.unsupported
    assert str(tmp_path) not in failed.message
    assert runner.process.wait() == 1
    runner.close()


@pytest.mark.parametrize("num_batch", [-(2**63), 0, 1, 3])
def test_a_batch_smaller_than_its_sequences_is_widened(num_batch: int) -> None:
    """The engine would abort; every sequence needs a row."""
    runner = Runner(load("bare.gguf", num_batch=num_batch, parallel=4, num_ctx=64))
    assert isinstance(runner.loaded, frames.Loaded)
    assert runner.run(frames.Generate(id=1, prompt="a b c d e f g h", num_predict=2)).done(1).eval_tokens <= 2
    runner.close()


@pytest.mark.parametrize(("num_batch", "num_ctx"), [(255, 256), (1, 256), (7, 16), (512, 100), (33, 33)])
def test_an_embedding_batch_of_any_size_loads(num_batch: int, num_ctx: int) -> None:
    runner = Runner(load("tinyembed-random-f16.gguf", num_batch=num_batch, num_ctx=num_ctx, embedding=True))
    answer = runner.ask(frames.Embed(id=1, inputs=["a text", "word " * 500]))
    assert isinstance(answer, frames.Embedded)
    assert answer.prompt_tokens <= 4 + num_ctx
    runner.close()
