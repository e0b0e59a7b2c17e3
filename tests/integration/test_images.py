"""Pictures and sounds: what real models make of them, alone and behind a real daemon."""

import base64
import gzip
import hashlib
import io
import itertools
import json
import math
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scheduler import frames
from tests.integration.daemon import MODELS, ROOT, Daemon
from tests.integration.runner import GREEDY, Runner, load

EXPECTED: dict[str, Any] = json.loads(gzip.decompress((MODELS / "media" / "expected.json.gz").read_bytes()))
TINY = ("tinyvision-q8_0.gguf", "tinyvision-mmproj-f16.gguf")
ASK = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PICTURES: dict[str, str] = {
    entry["truth"]: entry["png_base64"] for entry in EXPECTED["tinyvision"] if entry["png_base64"] != "as above"
}
"""Small PNGs in base64 by what they show."""
RED, BLUE = PICTURES["a red circle"], PICTURES["a blue square"]


def evaluate(model: str, projectors: str, cases: Sequence[tuple[str, list[str], int]], batch: int = 512) -> Any:
    """What a loaded model makes of prompts with media, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.evaluate_media", model, projectors, str(batch)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def media_of(one: Any) -> list[Any]:
    """Of what was read, all that is no tokens."""
    return [segment for segment in one["segments"] if not isinstance(segment, list)]


def saved(name: str, kind: str, **options: object) -> str:
    """The picture of that name in another format."""
    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(PICTURES[name]))).save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def wave(seconds: float, pitch: float) -> str:
    """A tone."""
    count = int(16_000 * seconds)
    samples = b"".join(struct.pack("<h", int(9000 * math.sin(math.tau * pitch * n / 16_000))) for n in range(count))
    head = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    body = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(samples)) + samples
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


# -- the model alone


def test_a_small_model_says_what_it_sees() -> None:
    cases: list[tuple[str, list[str], int]] = []
    for entry in EXPECTED["tinyvision"]:
        seen = PICTURES[entry["truth"]]
        cases.append((ASK.format("[img-0]" + entry["question"]), [seen], 40))
    found = evaluate(*TINY, cases)
    assert (found["vision"], found["audio"]) == (True, False)
    assert [one["text"] for one in found["found"]] == [entry["answer"] for entry in EXPECTED["tinyvision"]]


@pytest.mark.parametrize(("model", "batch"), [("gemma3", 512), ("gemma3", 3), ("qwen25vl", 512), ("qwen25vl", 5)])
def test_pictures_seen_as_a_whole_and_in_rows_and_columns(model: str, batch: int) -> None:
    """gemma3 attends to all of a picture at once; qwen25vl gives a cell a row and a column, and fewer positions than
    cells. Tokens and continuations are those of transformers, whatever the size of a batch."""
    entry = EXPECTED[model]
    picture = base64.b64encode((MODELS / "media" / f"{model}.png").read_bytes()).decode()
    prompt = entry["prompt"].replace("<__media__>", "[img-0]")
    wanted = entry["greedy"]["ids"]
    (one,) = evaluate(f"media/{model}.gguf", f"media/{model}-mmproj.gguf", [(prompt, [picture], len(wanted))], batch)[
        "found"
    ]
    tokens: list[int] = []
    for segment in one["segments"]:
        tokens += segment if isinstance(segment, list) else [entry["image_token"]] * segment["tokens"]
    assert tokens == entry["ids"]
    assert one["greedy"] == wanted
    (picture_seen,) = media_of(one)
    assert picture_seen["positions"] == {"gemma3": picture_seen["tokens"], "qwen25vl": 6}[model]


def test_a_picture_behind_others_is_still_seen() -> None:
    """In another place, in another sequence, after a picture of the same request."""
    cases = [
        (ASK.format("[img-0]What colour is it?"), [RED], 9),
        (ASK.format("[img-1]What colour is it?[img-0]"), [BLUE, RED], 9),
    ]
    first, second = evaluate(*TINY, cases)["found"]
    assert first["text"] == "It is red."
    pictures = [one["ids"] for one in media_of(second)]
    assert pictures[0] == first["segments"][1]["ids"], "the mark decides, not the order of the items"
    assert pictures[0] != pictures[1]


def test_sounds_take_cells_and_are_told_apart() -> None:
    """The projector has random weights: what is said has no meaning, but depends on the sound."""
    prompt = ASK.format("[img-0]What is this?")
    cases = [
        (prompt, [wave(1, 440)], 10),
        (prompt, [wave(1, 880)], 10),
        (prompt, [wave(40, 440)], 10),
        (prompt, [wave(1, 440)], 10),
    ]
    found = evaluate(TINY[0], "media/ear.gguf", cases)
    assert (found["vision"], found["audio"]) == (False, True)
    low, high, long, again = found["found"]
    assert low["segments"] == again["segments"]
    assert low["greedy"] == again["greedy"] != high["greedy"]
    assert [one["tokens"] for one in media_of(low)] == [150]
    assert [one["tokens"] for one in media_of(long)] == [150, 150]


def test_a_model_with_two_projectors_takes_both() -> None:
    cases = [
        (ASK.format("[img-0]What colour is it?"), [RED], 9),
        (ASK.format("[img-1][img-0]What is it?"), [RED, wave(1, 440)], 9),
    ]
    found = evaluate(TINY[0], f"{TINY[1]},media/ear.gguf", cases)
    assert (found["vision"], found["audio"]) == (True, True)
    picture, both = found["found"]
    assert picture["text"] == "It is red."
    assert [one["tokens"] for one in media_of(both)] == [150, 16]


# -- the runner


def test_a_projector_of_another_model_is_refused() -> None:
    runner = Runner(load("bare.gguf", projectors=[str(MODELS / TINY[1])]))
    failed = runner.loaded
    assert isinstance(failed, frames.LoadFailed)
    assert failed.message.startswith("failed to load the projector: mismatch between text model")
    assert str(MODELS) not in failed.message
    runner.close()


@pytest.mark.parametrize("kind", ["empty", "text", "cut at its end", "a model"])
def test_a_file_that_is_no_projector_is_refused(kind: str, tmp_path: Path) -> None:
    whole = (MODELS / TINY[1]).read_bytes()
    content = {"empty": b"", "text": b"hello", "cut at its end": whole[:-1000], "a model": None}[kind]
    path = MODELS / "bare.gguf" if content is None else tmp_path / "projector.gguf"
    if content is not None:
        path.write_bytes(content)
    runner = Runner(load(TINY[0], projectors=[str(path)]))
    failed = runner.loaded
    assert isinstance(failed, frames.LoadFailed)
    assert failed.unsupported
    assert failed.message.startswith("failed to load the projector: ")
    assert str(path.parent) not in failed.message
    runner.close()


def test_small_pictures_are_enlarged_for_models_that_need_it() -> None:
    runner = Runner(load("media/qwen25vl.gguf", projectors=[str(MODELS / "media" / "qwen25vl-mmproj.gguf")]))
    picture = base64.b64encode((MODELS / "media" / "qwen25vl.png").read_bytes()).decode()
    assert 1024 <= runner.run(seen(1, "[img-0]What?", picture)).done(1).prompt_tokens < 1200
    runner.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    running = Runner(load(TINY[0], projectors=[str(MODELS / TINY[1])], parallel=2))
    yield running
    assert running.close() == 0


def seen(id: int, prompt: str, *pictures: str, **more: Any) -> frames.Generate:
    items = [base64.b64decode(picture) for picture in pictures]
    return frames.Generate(id=id, prompt=prompt, sampling=GREEDY, images=items, num_predict=24, **more)


def test_a_picture_in_the_cache_is_known_by_its_content(runner: Runner) -> None:
    prompt = ASK.format("[img-0]What is in this picture?")
    first, again, other = (seen(id, prompt, name) for id, name in ((1, RED), (2, RED), (3, BLUE)))
    answers = [runner.run(request) for request in (first, again, other)]
    assert [one.text(id) for id, one in enumerate(answers, 1)] == [
        "The picture shows a red circle.",
        "The picture shows a red circle.",
        "The picture shows a blue square.",
    ]
    ends = [one.done(id) for id, one in enumerate(answers, 1)]
    assert [end.prompt_tokens for end in ends] == [33, 33, 33]
    assert ends[1].cached_tokens == 32
    assert ends[2].cached_tokens <= 3, "the text in front of the picture"


def test_a_prompt_may_end_with_a_picture(runner: Runner) -> None:
    prompt = "<|im_start|>user\nWhat is in this picture?[img-0]"
    texts = [runner.run(seen(id, prompt, RED)).text(id) for id in (10, 11)]
    assert texts[0]
    assert texts[0] == texts[1], "evaluated again as a whole"


def test_pictures_side_by_side_in_one_runner(runner: Runner) -> None:
    prompt = ASK.format("[img-0]What is in this picture?")
    names = [*PICTURES]
    answers = runner.run(*(seen(20 + n, prompt, PICTURES[name]) for n, name in enumerate(names)))
    assert [answers.text(20 + n) for n in range(len(names))] == [f"The picture shows {name}." for name in names]


def test_penalties_and_log_probabilities_go_with_pictures(runner: Runner) -> None:
    prompt = ASK.format("[img-0]What is in this picture?")
    sampling = frames.Sampling(temperature=0, repeat_penalty=1.5, repeat_last_n=-1, presence_penalty=0.5)
    request = frames.Generate(
        id=40, prompt=prompt, sampling=sampling, images=[base64.b64decode(RED)], num_predict=8, logprobs=2
    )
    answers = runner.run(request)
    assert answers.done(40).eval_tokens == 8
    assert sum(len(delta.logprobs) for delta in answers.deltas) == 8


# -- behind the daemon


@pytest.fixture(scope="module")
def seeing(daemon: Daemon) -> Daemon:
    files: dict[str, str] = {}
    for name in TINY:
        data = (MODELS / name).read_bytes()
        files[name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert daemon.http.post(f"/api/blobs/{files[name]}", content=data).status_code in (200, 201)
    assert daemon.http.post("/api/create", json={"model": "vision", "files": files, "stream": False}).status_code == 200
    return daemon


def ask(daemon: Daemon, question: str, images: list[str | None], **more: Any) -> Any:
    body = {
        "model": "vision",
        "messages": [{"role": "user", "content": question, "images": images}],
        "stream": False,
        "think": False,
        "options": {"temperature": 0},
        **more,
    }
    answer = daemon.http.post("/api/chat", json=body)
    return answer.json() | {"status": answer.status_code}


@pytest.mark.parametrize("truth", ["a red circle", "a blue square", "a green triangle", "a yellow star"])
def test_chat_and_generate_say_what_they_see(seeing: Daemon, truth: str) -> None:
    question = "What is in this picture?"
    assert ask(seeing, question, [PICTURES[truth]])["message"]["content"] == f"The picture shows {truth}."
    body = {"model": "vision", "prompt": question, "images": [PICTURES[truth]], "stream": False, "think": False}
    answer = seeing.http.post("/api/generate", json=body | {"options": {"temperature": 0}}).json()
    assert answer["response"] == f"The picture shows {truth}."


@pytest.mark.parametrize(
    ("kind", "options"),
    [("WEBP", {"lossless": True}), ("BMP", {}), ("GIF", {}), ("JPEG", {"quality": 95}), ("PNG", {"bits": 8})],
)
def test_formats_make_no_difference(seeing: Daemon, kind: str, options: dict[str, object]) -> None:
    answer = ask(seeing, "What is in this picture?", [saved("a red circle", kind, **options)])
    assert answer["message"]["content"] == "The picture shows a red circle."


def test_a_conversation_goes_on_about_its_picture(seeing: Daemon) -> None:
    green = PICTURES["a green triangle"]
    first = ask(seeing, "What shape is it?", [green])
    assert first["message"]["content"] == "It is a triangle."
    messages = [
        {"role": "user", "content": "What shape is it?", "images": [green]},
        first["message"],
        {"role": "user", "content": "What colour is it?"},
    ]
    second = ask(seeing, "", [], messages=messages)
    assert second["message"]["content"] == "It is green."
    assert second["prompt_eval_count"] > first["prompt_eval_count"]


def test_each_picture_takes_its_cells(seeing: Daemon) -> None:
    counts = [ask(seeing, "What is it?", [RED] * n, options={"num_predict": 1})["prompt_eval_count"] for n in range(4)]
    assert [after - before for before, after in itertools.pairwise(counts)] == [16, 16, 16]


def png_of(width: int, height: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


BOMB = bytearray(base64.b64decode(RED))
BOMB[16:24] = struct.pack(">II", 50_000, 50_000)
BOMB[29:33] = zlib.crc32(BOMB[12:29]).to_bytes(4)
BAD: list[tuple[str, str | None, str]] = [
    ("nothing", None, "received zero length image"),
    ("an empty text", "", "received zero length image"),
    ("text", encoded(b"hello world"), "not a JPEG, PNG, WebP, GIF or BMP picture"),
    ("text behind the mark of PNG", encoded(b"\x89PNG\r\n\x1a\nhello"), "damaged"),
    ("a bomb", encoded(bytes(BOMB)), "too many pixels"),
    ("half a picture", encoded(base64.b64decode(RED)[:300]), "damaged"),
    ("too narrow", png_of(2000, 2), "too narrow"),
    ("sound", wave(1, 440), "audio input is not supported"),
]


@pytest.mark.parametrize(("kind", "item", "words"), BAD)
def test_what_cannot_be_seen_is_refused_and_all_goes_on(
    seeing: Daemon, kind: str, item: str | None, words: str
) -> None:
    answer = ask(seeing, "What is it?", [item])
    assert answer["status"] == 400, kind
    assert words in answer["error"]
    assert ask(seeing, "What is in this picture?", [RED])["message"]["content"] == "The picture shows a red circle."
    assert not any("runner has ended" in line for line in seeing.log)


def test_a_single_pixel_is_a_picture(seeing: Daemon) -> None:
    assert ask(seeing, "What is it?", [png_of(1, 1)])["status"] == 200


def test_more_pictures_than_the_context_holds(seeing: Daemon) -> None:
    answer = ask(seeing, "What are they?", [RED] * 140)
    assert answer["status"] == 400
    assert "exceeds the available context size (2048 tokens)" in answer["error"]


def test_a_raw_prompt_places_its_pictures_itself(seeing: Daemon) -> None:
    def raw(prompt: str, images: list[str]) -> Any:
        options = {"temperature": 0, "num_predict": 20}
        body = {"model": "vision", "prompt": prompt, "images": images, "raw": True, "stream": False, "options": options}
        return seeing.http.post("/api/generate", json=body).json()

    assert raw(ASK.format("[img-0]What colour is it?"), [BLUE])["response"] == "It is blue."
    assert raw(ASK.format("What colour is it?"), [BLUE])["error"].endswith(
        "the prompt does not say where image 0 stands"
    )
    assert raw(ASK.format("[img-0][img-7]"), [BLUE])["error"].endswith("invalid image index: 7")
    assert "error" not in raw(ASK.format("[img-7]"), []), "without pictures a mark is text"


def test_pictures_and_texts_side_by_side_say_what_they_say_alone(seeing: Daemon) -> None:
    names = [*PICTURES][:4]
    with ThreadPoolExecutor(8) as pool:
        seen = [pool.submit(ask, seeing, "What is in this picture?", [PICTURES[name]]) for name in names]
        said = [pool.submit(ask, seeing, "Hello!", []) for _ in range(4)]
    assert [one.result()["message"]["content"] for one in seen] == [f"The picture shows {name}." for name in names]
    assert len({one.result()["message"]["content"] for one in said}) == 1


# -- where pictures stand in a conversation

TURNS = """\
{{ range .Messages }}<|im_start|>{{ if eq .Role "tool" }}result{{ else }}{{ .Role }}{{ end }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}\
{{ range .ToolCalls }}<tool_call>{{ .Function.Name }}</tool_call>{{ end }}<|im_end|>
{{ end }}{{ if .Tools }}{{ .Tools }}{{ end }}<|im_start|>assistant
"""
"""A Go template that knows as much as the chat template of the weights, which is preferred otherwise."""


@pytest.fixture(scope="module", params=["vision", "vision-go", "vision-qwen"])
def way(request: pytest.FixtureRequest, seeing: Daemon) -> str:
    """A model for each way from messages to a prompt: the weights' own template, a Go template, a renderer."""
    changes = {"vision-go": {"template": TURNS}, "vision-qwen": {"renderer": "qwen3-vl-instruct"}}
    if more := changes.get(request.param):
        body = {"model": request.param, "from": "vision", "stream": False, **more}
        assert seeing.http.post("/api/create", json=body).status_code == 200
    return request.param


def talk(daemon: Daemon, model: str, messages: list[Any], **more: Any) -> Any:
    return ask(daemon, "", [], model=model, messages=messages, **more)


def shown(daemon: Daemon, model: str, messages: list[Any], **more: Any) -> tuple[str, int]:
    """The prompt with its marks, and how many pictures go with it."""
    found = talk(daemon, model, messages, _debug_render_only=True, **more)["_debug_info"]
    for number in itertools.count():
        prompt = re.sub(r"<__ollama_media_\w+__>", f"[img-{number}]", found["rendered_template"], count=1)
        if prompt == found["rendered_template"]:
            return prompt, found.get("image_count", 0)
        found["rendered_template"] = prompt
    raise AssertionError


def user(content: str, *images: str) -> dict[str, Any]:
    return {"role": "user", "content": content, "images": [*images]}


def test_all_pictures_are_seen_in_their_order(seeing: Daemon, way: str) -> None:
    """A conversation is answered as the prompt that is shown for it, with the same pictures."""
    green = PICTURES["a green triangle"]
    messages = [
        {"role": "system", "content": "Be brief."},
        user("What shape [img] is it?", RED, BLUE),
        {"role": "assistant", "content": "It is a circle."},
        {"role": "tool", "content": "A picture", "images": [green], "tool_name": "camera"},
        user("What colour is it?"),
    ]
    prompt, count = shown(seeing, way, messages, truncate=False)
    marks = [int(number) for number in re.findall(r"\[img-(\d)\]", prompt)]
    assert (marks, count) == ([0, 1, 2] if way == "vision" else [1, 0, 2], 3)
    options = {"temperature": 0, "num_predict": 8}
    answer = talk(seeing, way, messages, options=options, logprobs=True, truncate=False)
    body = {"model": way, "prompt": prompt, "raw": True, "stream": False, "options": options, "logprobs": True}

    def continued(*pictures: str) -> Any:
        return seeing.http.post("/api/generate", json=body | {"images": pictures}).json()

    same, other = continued(RED, BLUE, green), continued(BLUE, RED, green)
    assert answer["prompt_eval_count"] == same["prompt_eval_count"]
    chances = [given["logprobs"][0]["logprob"] for given in (answer, same, other)]
    assert chances[0] == pytest.approx(chances[1], rel=1e-2)
    assert chances[0] != pytest.approx(chances[2], rel=1e-1)


def test_dropped_messages_take_their_pictures_along(seeing: Daemon, way: str) -> None:
    """A picture counts as 768 tokens, and the context has 2048."""
    answer = {"role": "assistant", "content": "I see."}
    messages = [user("One", RED), answer, user("Two", BLUE), answer, user("What is in this picture?", RED)]
    prompt, count = shown(seeing, way, messages)
    assert count == 2
    assert "One" not in prompt
    assert [int(number) for number in re.findall(r"\[img-(\d)\]", prompt)] == [0, 1]
    assert prompt.index("Two") < prompt.index("What is in")
    said = talk(seeing, way, messages)
    assert said["status"] == 200
    assert said["truncated"]["messages"] == 1


def test_a_literal_mark_is_no_picture(seeing: Daemon, way: str) -> None:
    """Alone, of a picture that is not there, and of the one that comes later."""
    for text in ("[img-5] [img]", "[img-0]", "x [img-99999999999999999999]"):
        assert talk(seeing, way, [user(text)])["status"] == 200
        with_picture = talk(seeing, way, [user(text), user("What is in this picture?", RED)])
        assert with_picture["status"] == 200, with_picture
        without = talk(seeing, way, [user(text), user("What is in this picture?")])
        cells = with_picture["prompt_eval_count"] - without["prompt_eval_count"]
        assert 16 <= cells <= 18


def test_an_answer_may_begin_beside_a_picture(seeing: Daemon, way: str) -> None:
    begun = {"role": "assistant", "content": "The picture shows a"}
    said = talk(seeing, way, [user("What is in this picture?", RED), begun])
    assert said["status"] == 200


def test_pictures_of_the_models_own_turns(seeing: Daemon) -> None:
    turns = [user("Look", RED), {"role": "assistant", "content": "I do."}]
    body = {"model": "album", "from": "vision", "template": TURNS, "messages": turns, "stream": False}
    assert seeing.http.post("/api/create", json=body).status_code == 200
    prompt, count = shown(seeing, "album", [user("And?", BLUE)])
    assert count == 2
    assert "[img-0]Look" in prompt
    assert "[img-1]And?" in prompt
    assert talk(seeing, "album", [user("What is in this picture?")])["status"] == 200


@pytest.mark.parametrize(
    "more", [{"template": TURNS}, {"template": TURNS, "prompt": "[img-0]What is in this picture?"}, {}]
)
def test_a_completion_sees_its_picture_whatever_its_template(seeing: Daemon, more: dict[str, str]) -> None:
    body = {"model": "vision", "prompt": "What is in this picture?", "images": [RED], "stream": False, "think": False}
    answer = seeing.http.post("/api/generate", json=body | {"options": {"temperature": 0}} | more).json()
    assert answer["response"] == "The picture shows a red circle."
