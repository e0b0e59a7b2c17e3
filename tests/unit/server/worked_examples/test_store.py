"""Examples of models as things: listed, shown, copied, pulled, uploaded; vectors; and who may ask at all."""

import hashlib
import json
import re

import httpx
import numpy as np
import pytest

from modelstore.bundled import PullError
from modelstore.progress import Progress, Report
from scheduler.frames import Embedded
from scheduler.requests import LoadedModel, ModelRef
from scheduler.runner.embedding.embed import finish
from server.app import create_app
from server.services import Services
from tests.unit.modelstore import ggufbytes
from tests.unit.server.conftest import FakeTransfers
from tests.unit.server.fakes import FakeScheduler, install
from tests.unit.server.worked_examples.shop import BARE_JSON, JSON, NDJSON, PLAIN, told

pytestmark = pytest.mark.anyio

EMPTY = (200, "", "")
DIGEST = "sha256:dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff"
DETAILS = '"format":"gguf","family":"llama","families":["llama"],"parameter_size":"3K","quantization_level":"Q4_K_M"'


def weights() -> bytes:
    """One tensor of 3072 numbers, and a vocabulary."""
    keys: list[ggufbytes.Key] = [
        ("general.architecture", ggufbytes.STRING, "llama"),
        ("general.file_type", ggufbytes.U32, 15),
        ("llama.context_length", ggufbytes.U32, 131072),
        ("llama.embedding_length", ggufbytes.U32, 3072),
        ("tokenizer.ggml.merges", ggufbytes.ARRAY, (ggufbytes.STRING, ["a b"])),
        ("tokenizer.ggml.tokens", ggufbytes.ARRAY, (ggufbytes.STRING, ["a", "b"])),
    ]
    return ggufbytes.gguf(keys, [ggufbytes.tensor("output_norm.weight", [3072])], 3072 * 4)


async def test_e1_is_it_there(http: httpx.AsyncClient) -> None:
    assert told(await http.get("/")) == (200, "text/plain; charset=utf-8", "Ollama is running")


async def test_e2_nothing_is_there(http: httpx.AsyncClient) -> None:
    assert told(await http.get("/api/tags")) == (200, JSON, '{"models":[]}')


async def test_e3_one_model(http: httpx.AsyncClient, services: Services) -> None:
    install(services.store, "demo", weights(), template="{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}")
    status, media_type, text = told(await http.get("/api/tags"))
    assert (status, media_type) == (200, JSON)
    assert re.sub(r'"size":\d+', '"size":S', text) == (
        '{"models":[{"name":"demo:latest","model":"demo:latest","modified_at":T,"size":S,"digest":H,'
        f'"details":{{"parent_model":"",{DETAILS},"context_length":131072,"embedding_length":3072}},'
        '"capabilities":["completion","tools"]}]}'
    )


async def test_e4_the_wrong_method(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/show")
    assert told(answer) == (405, "text/plain", "405 method not allowed")
    assert answer.headers["allow"] == "POST"


async def test_e30_vectors(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    scheduler.runner.embedded = Embedded(1, [b"[0.6,0.8]", b"[0.8,-0.6]"], 15)
    body = {"model": "mini-embed", "input": ["why is the sky blue?", "why is grass green?"]}
    assert told(await http.post("/api/embed", json=body)) == (
        200,
        JSON,
        (
            '{"model":"mini-embed","embeddings":[[0.6,0.8],[0.8,-0.6]],"total_duration":D,"load_duration":D,'
            '"prompt_eval_count":15}'
        ),
    )


@pytest.mark.parametrize("members", [{"input": ""}, {"input": []}, {}])
async def test_e31_nothing_to_embed(http: httpx.AsyncClient, shop: Services, members: dict[str, object]) -> None:
    answer = await http.post("/api/embed", json={"model": "mini-embed", **members})
    assert told(answer) == (200, JSON, '{"model":"mini-embed","embeddings":[]}')


@pytest.mark.parametrize(("dimensions", "vector"), [(1, [1.0]), (5, [0.6, 0.8]), (-1, [0.6, 0.8]), (0, [0.6, 0.8])])
async def test_e34_dimensions(
    http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler, dimensions: int, vector: list[float]
) -> None:
    body = {"model": "mini-embed", "input": "x", "dimensions": dimensions}
    assert (await http.post("/api/embed", json=body)).status_code == 200
    assert scheduler.runner.embeds[0].get("dimensions") == dimensions
    (row,) = finish(np.array([[0.6, 0.8]], np.float32), unit=True, dimensions=dimensions)
    assert row == pytest.approx(vector)


async def test_e35_the_older_endpoint(http: httpx.AsyncClient, shop: Services, scheduler: FakeScheduler) -> None:
    scheduler.runner.embedded = Embedded(1, [b"[0.6000000238418579,0.800000011920929]"], 3)
    answer = await http.post("/api/embeddings", json={"model": "mini-embed", "prompt": "hello"})
    assert told(answer) == (200, JSON, '{"embedding":[0.6000000238418579,0.800000011920929]}')
    answer = await http.post("/api/embeddings", json={"model": "mini-embed", "prompt": ""})
    assert told(answer) == (200, JSON, '{"embedding":[]}')


async def test_e36_show(http: httpx.AsyncClient, services: Services) -> None:
    """With `general.quantization_version`, which the reference adds to what it imports."""
    install(services.store, "plain", weights(), template=PLAIN, parameters={"num_ctx": 4096, "stop": ["<|eot_id|>"]})
    status, media_type, text = told(await http.post("/api/show", json={"model": "plain"}))
    assert (status, media_type) == (200, JSON)
    assert re.sub(r"FROM /[^\\]*/blobs/sha256-[0-9a-f]{64}", "FROM PATH", text) == (
        r'{"modelfile":"# Modelfile generated by \"ollama show\"\n'
        r"# To build a new Modelfile based on this, replace FROM with:\n# FROM plain:latest\n\n"
        r"FROM PATH\nTEMPLATE \"{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}\"\n"
        r'PARAMETER num_ctx 4096\nPARAMETER stop \u003c|eot_id|\u003e\n",'
        r'"parameters":"num_ctx                        4096\nstop                           \"\u003c|eot_id|\u003e\"",'
        r'"template":"{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}",'
        f'"details":{{"parent_model":"",{DETAILS}}},'
        '"model_info":{"general.architecture":"llama","general.file_type":15,"general.parameter_count":3072,'
        '"general.quantization_version":2,"llama.context_length":131072,"llama.embedding_length":3072,'
        '"tokenizer.ggml.merges":null,"tokenizer.ggml.tokens":null},'
        '"tensors":[{"name":"output_norm.weight","type":"F32","shape":[3072]}],"capabilities":["completion"],'
        '"modified_at":T}'
    )


async def test_e37_a_model_that_stays(http: httpx.AsyncClient, services: Services) -> None:
    details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]}
    details |= {"parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
    model = ModelRef(key="k", name="demo:latest", digest="a8" * 32, weights=("w",), details=details)
    rows: list[LoadedModel] = services.scheduler.loaded()
    rows.append(LoadedModel(model, size=3500000000, size_vram=0, context_length=4096, expires_at=None))
    answer = await http.get("/api/ps")
    assert told(answer) == (
        200,
        JSON,
        (
            '{"models":[{"name":"demo:latest","model":"demo:latest","size":3500000000,"digest":H,"details":'
            f'{json.dumps(details, separators=(",", ":"))},"expires_at":T,"size_vram":0,"context_length":4096}}]}}'
        ),
    )
    assert int(answer.json()["models"][0]["expires_at"][:4]) > 2300


async def test_e38_copy_and_delete(http: httpx.AsyncClient, shop: Services) -> None:
    async def copy(source: str, destination: str) -> tuple[int, str, str]:
        return told(await http.post("/api/copy", json={"source": source, "destination": destination}))

    async def delete(model: str) -> tuple[int, str, str]:
        return told(await http.request("DELETE", "/api/delete", json={"model": model}))

    assert await copy("demo", "demo2") == EMPTY
    assert await copy("nope", "x") == (404, JSON, r'{"error":"model \"nope\" not found"}')
    assert await copy("a b", "x") == (400, JSON, r'{"error":"source \"a b\" is invalid"}')
    assert await delete("demo2") == EMPTY
    assert await delete("demo2") == (404, JSON, """{"error":"model 'demo2' not found"}""")
    assert await delete("a b") == (400, JSON, r'{"error":"name \"a b\" is invalid"}')


@pytest.mark.parametrize("stream", [True, False])
async def test_e39_pulling_what_does_not_exist(http: httpx.AsyncClient, transfers: FakeTransfers, stream: bool) -> None:
    def work(report: Report) -> None:
        report(Progress("pulling manifest"))
        raise PullError("no-such-model:latest", "pull model manifest: file does not exist")

    transfers.work = work
    answer = await http.post("/api/pull", json={"model": "no-such-model", "stream": stream})
    error = '{"error":"pull model manifest: file does not exist"}'
    lines = (200, NDJSON, f'{{"status":"pulling manifest"}}\n{error}\n')
    assert told(answer) == (lines if stream else (500, BARE_JSON, error))


async def test_e40_pulling(http: httpx.AsyncClient, transfers: FakeTransfers) -> None:
    total = 2019377376

    def work(report: Report) -> None:
        report(Progress("pulling manifest"))
        for completed in (0, total):
            report(Progress("pulling dde5aa3fc5ff", DIGEST, total, completed))
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            report(Progress(status))

    transfers.work = work
    assert told(await http.post("/api/pull", json={"model": "demo"})) == (
        200,
        NDJSON,
        (
            '{"status":"pulling manifest"}\n'
            f'{{"status":"pulling dde5aa3fc5ff","digest":"{DIGEST}","total":{total}}}\n'
            f'{{"status":"pulling dde5aa3fc5ff","digest":"{DIGEST}","total":{total},"completed":{total}}}\n'
            '{"status":"verifying sha256 digest"}\n{"status":"writing manifest"}\n{"status":"success"}\n'
        ),
    )


async def test_e41_blobs(http: httpx.AsyncClient) -> None:
    data, other = b"content", b"something else"
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = f"/api/blobs/{digest}"
    answer = await http.head(path)
    assert (answer.status_code, answer.content) == (404, b"")
    got = f"sha256:{hashlib.sha256(other).hexdigest()}"
    mismatch = rf'{{"error":"digest mismatch, expected \"{digest}\", got \"{got}\""}}'
    assert told(await http.post(path, content=other)) == (400, JSON, mismatch)
    assert told(await http.post(path, content=data)) == (201, "", "")
    assert told(await http.post(path, content=data)) == EMPTY
    assert (await http.head(path)).status_code == 200
    assert (await http.head("/api/blobs/abc")).status_code == 400


@pytest.mark.parametrize(("origin", "status"), [("http://localhost:3000", 204), ("https://evil.example", 403)])
async def test_e42_preflight(http: httpx.AsyncClient, origin: str, status: int) -> None:
    answer = await http.options("/api/chat", headers={"origin": origin})
    assert (answer.status_code, answer.content) == (status, b"")
    assert answer.headers.get("access-control-allow-origin") == (origin if status == 204 else None)


@pytest.mark.parametrize(
    ("host", "check", "status"),
    [("evil.example:11434", True, 403), ("box.local", True, 200), ("evil.example:11434", False, 200)],
)
async def test_e43_rebinding(services: Services, host: str, check: bool, status: int) -> None:
    """Where the daemon listens for other machines, nothing is checked."""
    transport = httpx.ASGITransport(create_app(services, check_hosts=check))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        answer = await client.get("/api/tags", headers={"host": host})
    assert (answer.status_code, answer.content) == (status, b'{"models":[]}' if status == 200 else b"")


async def test_e48_signing_out(http: httpx.AsyncClient) -> None:
    """Nobody is signed in at a server without an account."""
    answer = await http.post("/api/signout")
    assert told(answer) == (401, JSON, '{"error":"you are not currently signed in"}')
