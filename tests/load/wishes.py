"""What the clients of the soak test ask for, and whether an answer is the right one.

A wish is a request whose answer is known: from a quiet run on the same daemon, in which it is the only one. Texts are
greedy, and at no place do the first and the second token come near each other (`certainty`), so that neither the size
of a batch nor what was cached may change a word of them. Vectors may differ a little. What is sampled is judged by its
schema.
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jsonschema

from tests.integration.daemon import MODELS, Daemon

Kind = Literal["text", "vectors", "schema", "document", "loaded"]

CERTAIN: Final = 0.2
"""How much likelier, in natural logarithms, the first token of a known text is than the second. Rounding moves it by
some thousandths."""
_CLOSE: Final = 2e-3
_LONGEST: Final = 400
"""Tokens of a sampled text."""
_DURATIONS: Final = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


@dataclass(frozen=True)
class Wish:
    """A request without its variations. `model`: the one it needs loaded; empty for none."""

    name: str
    model: str
    path: str
    body: Mapping[str, Any]
    kind: Kind = "text"
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def may_stream(self) -> bool:
        return self.path in ("/api/generate", "/api/chat")

    @property
    def may_vary(self) -> bool:
        """Whether it can be asked for in other ways, without another answer."""
        return bool(self.model) and "options" in self.body

    @property
    def is_free(self) -> bool:
        """Whether many answers are right."""
        return self.kind in ("schema", "loaded")

    @property
    def moves_models(self) -> bool:
        """Whether it loads one, or makes one leave, and nothing else."""
        return self.path == "/api/generate" and "prompt" not in self.body


@dataclass(frozen=True)
class Said:
    """An answer without what differs from time to time: name, moments, durations, numbers of calls."""

    status: int
    content: str = ""
    thinking: str = ""
    calls: tuple[str, ...] = ()
    reason: str = ""
    counts: tuple[int, int] = (0, 0)
    context: tuple[int, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    document: str = ""

    @classmethod
    def of(cls, wish: Wish, status: int, answer: Mapping[str, Any]) -> "Said":
        """An answer in one piece."""
        return read(wish, status, [answer])


class Wrong(Exception):
    """The answer is whole, and not the right one; the text says why."""


def read(wish: Wish, status: int, objects: Sequence[Mapping[str, Any]]) -> Said:
    """An answer of one object, or of the lines of a stream. Raises `Wrong` for one that is not in order."""
    last = objects[-1]
    if status != 200 or wish.kind in ("document", "loaded"):
        return Said(status, document=json.dumps(last, sort_keys=True))
    if wish.kind == "vectors":
        rows: list[list[float]] = last.get("embeddings") or [_numbers(last)]
        return Said(status, vectors=tuple(map(tuple, rows)))
    _in_order(objects)
    messages: list[Mapping[str, Any]] = [one.get("message") or one for one in objects]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
    return Said(
        status,
        content="".join(message.get("content", message.get("response", "")) for message in messages),
        thinking="".join(message.get("thinking", "") for message in messages),
        calls=tuple(json.dumps([call["name"], call["arguments"]], sort_keys=True) for call in calls),
        reason=last["done_reason"],
        counts=(last.get("prompt_eval_count", 0), last.get("eval_count", 0)),
        context=tuple(last.get("context") or ()),
    )


def _numbers(answer: Mapping[str, Any]) -> list[float]:
    """Of a single vector, or the scores in the order of the documents."""
    if "results" not in answer:
        return answer["embedding"]
    return [row["relevance_score"] for row in sorted(answer["results"], key=lambda row: row["index"])]


def _in_order(objects: Sequence[Mapping[str, Any]]) -> None:
    ends = [one.get("done") for one in objects]
    if ends != [False] * (len(ends) - 1) + [True]:
        raise Wrong(f"`done` is {ends}")
    moments = [one["created_at"] for one in objects]
    last = objects[-1]
    if last["done_reason"] in ("load", "unload"):
        return
    durations = [last.get(name) for name in _DURATIONS]
    if not all(isinstance(one, int) and one >= 0 for one in durations) or not last["total_duration"]:
        raise Wrong(f"durations are {durations}")
    if len({one[:10] for one in moments}) > 2:
        raise Wrong(f"lines were made at {moments}")


def judge(wish: Wish, said: Said, expected: Said | None) -> None:
    """Raises `Wrong`. `expected` is what the quiet run said."""
    match wish.kind:
        case "schema":
            _check_schema(wish, said)
        case "loaded":
            _check_loaded(said)
        case "vectors" if expected is not None and said.status == expected.status == 200:
            _check_vectors(said.vectors, expected.vectors)
        case _:
            if said != expected:
                raise Wrong(f"got {said}\n    instead of {expected}")


def _check_schema(wish: Wish, said: Said) -> None:
    """A sampled text may also be so full of blanks that it has to end where all that may be said is said."""
    if said.reason == "length" and said.counts[1] == _LONGEST:
        return
    if said.reason != "stop" or min(said.counts) < 1:
        raise Wrong(f"ended otherwise: {said}")
    try:
        jsonschema.validate(json.loads(said.content), wish.schema)
    except ValueError as error:
        raise Wrong(f"is no JSON: {said.content!r}") from error
    except jsonschema.ValidationError as error:
        raise Wrong(f"does not conform: {said.content!r}") from error


def _check_loaded(said: Said) -> None:
    rows = json.loads(said.document)["models"]
    names = {row["name"].removesuffix(":latest") for row in rows}
    if said.status != 200 or len(rows) > 2 or not names <= {*LOADED, "chat:brief"}:
        raise Wrong(f"the list of loaded models is {rows}")
    if not all(0 <= row["size_vram"] <= row["size"] and row["context_length"] > 0 for row in rows):
        raise Wrong(f"the list of loaded models is {rows}")


def _check_vectors(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> None:
    if [len(row) for row in found] != [len(row) for row in wanted]:
        raise Wrong(f"{len(found)} vectors of {[len(row) for row in found]}")
    apart = max((abs(a - b) for one, two in zip(found, wanted, strict=True) for a, b in zip(one, two, strict=True)))
    if apart > _CLOSE * max(1.0, *(abs(b) for row in wanted for b in row)):
        raise Wrong(f"a value is off by {apart}")


def certainty(answer: Mapping[str, Any]) -> float:
    """The least distance between the first and the second token of a text, asked for with their log-probabilities."""
    tops = [place["top_logprobs"] for place in answer.get("logprobs") or ()]
    return min((top[0]["logprob"] - top[1]["logprob"] for top in tops if len(top) > 1), default=99.0)


# -- what there is to ask -----------------------------------------------------------------------------------------

LOADED: Final = ("chat", "draft", "vision", "hybrid", "embed", "rank")
"""Models that cannot share a runner; `chat:brief` has the weights of `chat` and another template."""

_PERSON: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_TALK: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {"enum": ["one", "two", "three"]},
    "minItems": 60,
    "maxItems": 60,
}
_TEMPLATE: Final = (
    "<|im_start|>system\nYou are Luna, a pirate.<|im_end|>\n<|im_start|>user\n{{ .Prompt }}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n{{ .Response }}"
)


def expected_of(file: str) -> Any:
    return json.loads(gzip.decompress((MODELS / file).read_bytes()))


def install(daemon: Daemon) -> None:
    """The models."""
    daemon.add("chat", "tinychat-q8_0.gguf")
    daemon.add("draft", "tinydraft-f16.gguf")
    daemon.add("hybrid", "families/qwen35.gguf")
    daemon.add("embed", "tinyembed-random-f16.gguf")
    daemon.add("rank", "tinyrank-f16.gguf")
    files = {file: daemon.blob((MODELS / file).read_bytes()) for file in _VISION}
    for body in (
        {"model": "vision", "files": files},
        {"model": "chat:brief", "from": "chat", "template": _TEMPLATE},
    ):
        answer = daemon.http.post("/api/create", json={**body, "stream": False})
        assert answer.status_code == 200, answer.text


_VISION: Final = ("tinyvision-q8_0.gguf", "tinyvision-mmproj-f16.gguf")


def wishes(daemon: Daemon) -> list[Wish]:
    """All of them; the daemon is asked for the tokens of an earlier exchange."""
    return [*_chats(), *_completions(daemon), *_embeddings(), *_formats(), *_looks(), *_mistakes()]


def _chat(name: str, model: str, messages: Iterable[Mapping[str, Any]], **more: Any) -> Wish:
    body = {"model": model, "messages": list(messages), "think": False, "options": {"temperature": 0}, **more}
    return Wish(f"{model}: {name}", model.partition(":")[0], "/api/chat", body)


def _complete(name: str, model: str, prompt: str, **more: Any) -> Wish:
    options = {"temperature": 0, **more.pop("options", {})}
    body = {"model": model, "prompt": prompt, "options": options, **more}
    return Wish(f"{model}: {name}", model.partition(":")[0], "/api/generate", body)


def _chats() -> list[Wish]:
    texts = expected_of("expected.json.gz")["tinychat-f16.gguf"]
    chats = {entry["label"]: entry["messages"] for entry in texts["chat"]}
    tools = {entry["label"]: entry for entry in texts["tools"]}
    seen: list[dict[str, str]] = expected_of("media/expected.json.gz")["tinyvision"]
    pictures = {one["truth"]: one["png_base64"] for one in seen if one["png_base64"] != "as above"}
    found = [_chat(name, "chat", chats[name]) for name in ("capital France", "sky", "times", "recall", "mario")]
    found += [_chat(name, "draft", chats[name]) for name in ("capital Canada", "sky", "thanks")]
    found.append(_chat("thinks", "chat", chats["capital Japan"], think=True))
    for name in ("weather", "weather, system prompt"):
        found.append(_chat(name, "chat", tools[name]["messages"], tools=tools[name]["tools"]))
    for truth in ("a blue square", "a yellow star", "a red circle"):
        message = {"role": "user", "content": "What is in this picture?", "images": [pictures[truth]]}
        found.append(_chat(truth, "vision", [message]))
    return found


def _completions(daemon: Daemon) -> list[Wish]:
    first = {"model": "chat", "prompt": "I live in Toronto.", "think": False, "stream": False, "options": GREEDY}
    context = daemon.http.post("/api/generate", json=first).json()["context"]
    family = expected_of("families/expected.json.gz")["qwen35"]
    odd = [family["base"], family["branches"][4], family["next"]]
    return [
        _complete("context", "chat", "Where do I live?", context=context, think=False),
        _complete(
            "raw", "chat", "<|im_start|>user\nHello! My name is Zoe.<|im_end|>\n<|im_start|>assistant\n", raw=True
        ),
        _complete("stops", "chat", "Count from 1 to 10.", think=False, options={"stop": ["5"]}),
        _complete("Italy", "chat:brief", "What is the capital of Italy?"),
        _complete("France", "chat:brief", "What is the capital of France?"),
        *(
            _complete(f"odd words {number}", "hybrid", entry["prompt"], raw=True, options={"num_predict": 10})
            for number, entry in enumerate(odd)
        ),
    ]


GREEDY: Final[Mapping[str, Any]] = {"temperature": 0}


def _embeddings() -> list[Wish]:
    inputs: dict[str, tuple[str, Any]] = {
        "one": ("embed", "a quiet garden behind the bridge"),
        "several": ("embed", ["winter", "the old farmer paints", "", "word " * 90]),
        "too long": ("embed", "word " * 400),
        "ranks": ("rank", ["a b", "c", "the cat sat on the mat"]),
        "by a chat model": ("chat", ["Hello!", "The capital of France is Paris."]),
    }
    found = [
        Wish(f"{model}: {name}", model, "/api/embed", {"model": model, "input": given, "options": {}}, "vectors")
        for name, (model, given) in inputs.items()
    ]
    old: dict[str, Any] = {"model": "embed", "prompt": "bread and paper", "options": {}}
    scored: dict[str, Any] = {"model": "rank", "query": "the cat", "documents": ["a b", "winter", "the cat sat"]}
    return [
        *found,
        Wish("embed: as before", "embed", "/api/embeddings", old, "vectors"),
        Wish("rank: scores", "rank", "/api/rerank", {**scored, "options": {}}, "vectors"),
    ]


def _formats() -> list[Wish]:
    """Judged by their schema; `talk` is long enough to be left and killed in the middle."""
    question = [{"role": "user", "content": "Zoe is 31 years old and lives in Toronto. Answer in JSON."}]
    keyed = [{"role": "user", "content": f"{question[0]['content'][:-1]} with the keys name, age and city."}]
    warm = {"temperature": 1.0, "num_predict": _LONGEST}
    person = {"model": "chat", "messages": question, "think": False, "format": _PERSON, "options": warm}
    found = [Wish("chat: person", "chat", "/api/chat", person, "schema", _PERSON)]
    for model in ("chat", "draft"):
        talk = {"model": model, "prompt": "Once upon a time", "raw": True, "format": _TALK, "options": warm}
        found.append(Wish(f"{model}: talk", model, "/api/generate", talk, "schema", _TALK))
    return [*found, _chat("in JSON", "chat", keyed, format="json")]


def _looks() -> list[Wish]:
    found = [
        Wish("ps", "", "/api/ps", {}, "loaded"),
        Wish("tags", "", "/api/tags", {}, "document"),
        Wish("version", "", "/api/version", {}, "document"),
    ]
    for model in ("chat:brief", "vision"):
        found.append(Wish(f"show {model}", "", "/api/show", {"model": model}, "document"))
    for model in LOADED:
        body = {"model": model, "keep_alive": 0}
        found.append(Wish(f"unload {model}", "", "/api/generate", body))
    return [*found, Wish("load hybrid", "hybrid", "/api/generate", {"model": "hybrid"})]


def _mistakes() -> list[Wish]:
    """Requests that are refused, always in the same words."""
    wrong: list[dict[str, Any]] = [
        {"model": "embed", "prompt": "Once"},
        {"model": "nobody", "prompt": "Once"},
        {"model": "chat", "prompt": "Once", "raw": True, "system": "Be brief."},
        {"model": "chat", "prompt": "Once", "options": {"num_ctx": "many"}},
    ]
    found = [Wish(f"mistake {number}", "", "/api/generate", body) for number, body in enumerate(wrong)]
    refused: dict[str, Any] = {"model": "chat", "prompt": "Once", "format": "yaml", "options": {}}
    return [*found, Wish("chat: no format", "chat", "/api/generate", refused)]
