"""Requests made up from the document: every answer is as documented, and each 500 in words of the error catalogue.

Half of the requests break the document on purpose. Those that name a model name one that is there, more often than not,
and the fake runner fails now and then in every way that real ones do.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode, config
from schemathesis.specs.openapi import checks

from scheduler import frames
from scheduler.errors import LoadFailed, QueueFull, RunnerDied, RunnerFailed
from scheduler.ports import Chunk
from server.app import create_app
from server.services import Services
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import LOADED, FakeScheduler, ScriptedRunner, done, install, say

# Schemathesis leaves the type parameters of its classes open.
Case: TypeAlias = Any
Context: TypeAlias = Any
Document: TypeAlias = Any
Response: TypeAlias = Any
STANDARD: Final[Any] = checks
CONFIGURATION: Final[Any] = config.SchemathesisConfig
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE

BASE: Final = "http://127.0.0.1:11434"
TOOLS: Final = (
    "{{ range .Messages }}{{ .Role }}: {{ .Content }}{{ range .ToolCalls }}{{ . }}{{ end }}{{ end }}{{ .Tools }}"
)
JINJA: Final = "{{ tools }}{% for m in messages %}<think></think>{{ m.role }}: {{ m.content }}{% endfor %}"
MODELS: Final[dict[str, Callable[[Services], None]]] = {
    "plain": lambda services: install(services.store, "plain", template="{{ .Suffix }}{{ .Prompt }}", system="s"),
    "tools": lambda services: install(services.store, "tools", template=TOOLS),
    "jinja": lambda services: install(services.store, "jinja", tinygguf.model(tokenizer__chat_template=JINJA)),
    "embed": lambda services: install(services.store, "embed", tinygguf.model(pooling_type=1)),
    "rank": lambda services: install(services.store, "rank", tinygguf.model(pooling_type=4)),
}
SCRIPTS: Final[list[list[Chunk | Exception]]] = [
    [say("Hel", "lo"), done(context=[1, 2])],
    [done("{}", reason="length")],
    [RunnerFailed("the input length exceeds the context length", 400)],
    [RunnerFailed("request canceled", 499)],
    [say("x"), RunnerDied("exit status 1")],
    [RunnerDied("exit status 1")],
]
REFUSALS: Final = [None, None, None, None, QueueFull(1), LoadFailed("the load was canceled")]
CATALOGUE: Final = re.compile(
    "|".join(
        (
            r'option ".*" must be of (type (integer|float32|boolean|array|object)|an array of strings)',
            r'invalid format: ".*"; expected "json" or a valid JSON Schema object',
            r"json: cannot unmarshal .* into Go (value|struct field .*) of type .*",
            r"template: .*",
            r'\{"error":\{"code":500,"message":"Failed to parse tools: .*',
            r'unknown renderer ".*"',
            r"unsupported quantization type .* - supported types are .*",
            r"quantization is only supported for F16, BF16 and F32 models",
            r"the load was canceled",
            r"model runner has unexpectedly stopped, this may be due to resource limitations .*",
            r"an error was encountered while running the model: .*",
            r"insecure protocol http",
            r"pull model manifest: .*",
            r"pushing .* needs a registry",
            r"unqualified name: .*",
            r"open .*: (no such file or directory|file name too long)",
        )
    ),
    re.DOTALL,
)
WEIGHTS: Final = {"/api/chat": 40, "/api/generate": 40, "/api/create": 20}
QUESTIONS: Final[dict[str, Any]] = {
    "messages": [{"role": "user", "content": "hi"}],
    "prompt": "hi",
    "input": ["a", "b"],
    "query": "q",
    "documents": ["a", "b"],
    "tokens": [72],
    "destination": "copy",
}


class Ranker(ScriptedRunner):
    """Finds all documents equal."""

    async def rank(self, query: str, documents: list[str], *, truncate: bool) -> frames.Ranked:
        return frames.Ranked(1, [0.0] * len(documents), 3)


@pytest.fixture(autouse=True)
def same_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis would draw constants from the modules that happen to be loaded."""
    inside: Any = providers
    monkeypatch.setattr(inside, "_get_local_constants", Constants)
    monkeypatch.setattr(inside, "CONSTANTS_CACHE", type(inside.CONSTANTS_CACHE)(1024))


def speaks_the_catalogue(context: Context, response: Response, case: Case) -> None:
    """A 500 has a text that clients know; no answer has FastAPI's `detail`."""
    assert b'"detail"' not in response.content
    if response.status_code == 500:
        assert response.content, "unforeseen"
        assert CATALOGUE.fullmatch(response.json()["error"]), response.text


def lines_conform(context: Context, response: Response, case: Case) -> None:
    """Every line of a stream is what the document says of lines."""
    if response.headers.get("content-type") != ["application/x-ndjson"]:
        return
    document = case.operation.schema.raw_schema
    told = document["paths"][case.operation.path][case.operation.method.lower()]["responses"]["200"]["content"]
    judge: Any = Draft202012Validator({**told["application/x-ndjson"]["schema"], "components": document["components"]})
    for line in response.content.splitlines():
        judge.validate(json.loads(line))


CHECKS: Final[list[Any]] = [
    STANDARD.status_code_conformance,
    STANDARD.content_type_conformance,
    STANDARD.response_schema_conformance,
    lines_conform,
    speaks_the_catalogue,
]


def put_back(services: Services) -> None:
    """Install what an earlier request removed."""
    present = {model.name.short for model in services.store.catalog.list()}
    for name, make in MODELS.items():
        if f"{name}:latest" not in present:
            make(services)


def steer(body: Any, model: str) -> None:
    """Have the request be about a model that is there, and ask something of it."""
    if isinstance(body, dict) and model:
        members = cast("dict[str, Any]", body)
        members.update(dict.fromkeys(("model", "from", "source"), model))
        members.update({name: value for name, value in QUESTIONS.items() if not members.get(name)})


def requests(schema: Document, mode: GenerationMode) -> st.SearchStrategy[Case]:
    """For every operation; more for those that read a body."""
    operations = [result.ok() for result in schema.get_all_operations()]
    return st.one_of(
        [
            operation.as_strategy(generation_mode=mode)
            for operation in operations
            for _ in range(WEIGHTS.get(operation.path, 9 if operation.body else 1))
        ]
    )


def explore(services: Services, scheduler: FakeScheduler, mode: GenerationMode, number: int) -> None:
    app = create_app(services)
    plain = CONFIGURATION.from_dict({"analysis": {"constants": {"enabled": False}}})  # no gleaning from the sources
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", app, config=plain, headers={"Host": "localhost"})
    schema.validate()

    @seed(1)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(
        case=requests(schema, mode),
        model=st.sampled_from([*MODELS, ""]),
        script=st.sampled_from(SCRIPTS),
        refusal=st.sampled_from(REFUSALS),
    )
    def ask(case: Case, model: str, script: list[Chunk | Exception], refusal: Exception | None) -> None:
        put_back(services)
        steer(case.body, model)
        scheduler.refusal = refusal
        scheduler.info = msgspec.structs.replace(LOADED, ranks=model == "rank")
        scheduler.runner = Ranker()
        scheduler.runner.script = [list(script)]
        case.validate_response(case.call(base_url=BASE), checks=CHECKS)

    ask()


@pytest.mark.parametrize(("mode", "number"), [(POSITIVE, 60), (NEGATIVE, 40)])
def test_answers_are_as_documented(
    services: Services, scheduler: FakeScheduler, mode: GenerationMode, number: int
) -> None:
    """In short."""
    explore(services, scheduler, mode, number)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mode", "number"), [(POSITIVE, 1200), (NEGATIVE, 800)])
def test_2000_answers_are_as_documented(
    services: Services, scheduler: FakeScheduler, mode: GenerationMode, number: int
) -> None:
    explore(services, scheduler, mode, number)
