"""Records what a running Ollama daemon makes of made-up conversations: the prompts of its built-in renderers.

    python -m tests.replay.renderers http://127.0.0.1:11434 [RENDERER …]

Two models are made for each renderer, and removed at the end: one that may think, and one that may not, for the
requests that do not say whether to (a daemon says yes for models that may). Prompts that come out differently each time
(the reference walks over some objects in random order) are recorded with `varies`.
"""

import argparse
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from tests.replay.conversations import conversation, think

HERE: Final = Path(__file__).resolve().parent
RECORDS: Final = HERE / "renderers.json.gz"
WEIGHTS: Final = HERE.parent / "models" / "tinychat-q8_0.gguf"
NAMES: Final = (
    "qwen3-coder", "qwen3-vl-instruct", "qwen3-vl-thinking", "qwen3.5", "cogito", "deepseek3.1", "olmo3", "olmo3.1",
    "olmo3-think", "olmo3-32b-think", "nemotron-3-nano", "gemma4-small", "gemma4-large", "functiongemma", "glm-4.7",
    "glm-ocr", "lfm2", "lfm2-thinking", "laguna",
)  # fmt: skip
CONVERSATIONS: Final = 64
PARSERS: Final = {"thinks": "qwen3.5", "plain": "qwen3-coder"}
"""Parsers that let a model have tools; the first lets it think, too."""
ATTEMPTS: Final = 4
PREFIX: Final = "renders-"


class Daemon:
    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=300, trust_env=False)
        self.digest = "sha256:" + hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()

    def __enter__(self) -> "Daemon":
        self.http.post(f"/api/blobs/{self.digest}", content=WEIGHTS.read_bytes()).raise_for_status()
        return self

    def __exit__(self, *_: object) -> None:
        for model in self.http.get("/api/tags").json()["models"]:
            if model["name"].startswith(PREFIX):
                self.http.request("DELETE", "/api/delete", json={"model": model["name"]}).raise_for_status()
        self.http.close()

    def create(self, model: str, renderer: str, parser: str) -> None:
        body = {"model": model, "files": {"a.gguf": self.digest}, "renderer": renderer, "parser": parser}
        self.http.post("/api/create", json=body | {"template": "{{ .Prompt }}", "stream": False}).raise_for_status()

    def prompt(self, model: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The prompt as `prompt`, or the `error`."""
        body = asked | {"model": model, "stream": False, "truncate": False, "_debug_render_only": True}
        answer = self.http.post("/api/chat", json=body)
        if answer.status_code == 200:
            return {"prompt": answer.json()["_debug_info"]["rendered_template"]}
        return {"error": answer.json()["error"] if answer.content else "", "status": answer.status_code}


def record(daemon: Daemon, renderer: str) -> Iterator[dict[str, Any]]:
    models = {kind: f"{PREFIX}{renderer}-{kind}" for kind in PARSERS}
    for kind, model in models.items():
        daemon.create(model, renderer, PARSERS[kind])
    for number in range(CONVERSATIONS):
        given = think(number, renderer)
        asked = conversation(number) | ({} if given is None else {"think": given})
        model = models["plain" if given is None else "thinks"]
        answers = [daemon.prompt(model, asked) for _ in range(ATTEMPTS)]
        varies = any(answer != answers[0] for answer in answers)
        yield {"conversation": number, "think": given} | answers[0] | ({"varies": True} if varies else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("names", nargs="*", default=NAMES)
    given = parser.parse_args()
    records = {}
    with Daemon(given.address) as daemon:
        version = daemon.http.get("/api/version").json()["version"]
        for name in given.names:
            records[name] = list(record(daemon, name))
            print(name, len(records[name]), sum("varies" in each for each in records[name]), flush=True)
    content = {
        "version": version,
        "conversations": [conversation(number) for number in range(CONVERSATIONS)],
        "renderers": records,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    RECORDS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
