"""A store to create models in, and the models that recorded answers rely on."""

import copy
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelstore.bundled import PullError
from modelstore.create import CreateRequest, create
from modelstore.errors import CreateError, StoreError
from modelstore.names import Name
from modelstore.progress import Progress, Report
from modelstore.store import Store
from tests.unit.modelstore import tinygguf

VECTORS = Path(__file__).parents[2] / "vectors"
THINKING_TOOLS = "{{ tools }}<think>{{ message.reasoning_content }}</think>"
FILES = {
    "tinychat-q8_0.gguf": tinygguf.model(file_type=7, tokenizer__chat_template=THINKING_TOOLS),
    "tinychat-f16.gguf": tinygguf.model(file_type=1, tokenizer__chat_template=THINKING_TOOLS),
    "tinyvision-q8_0.gguf": tinygguf.model(file_type=7, general__name="tinyvision"),
    "tinyvision-mmproj-f16.gguf": tinygguf.gguf(
        {"general.architecture": "clip", "general.type": "mmproj", "clip.projector_type": "mlp"}
    ),
    "tinylora-f16.gguf": tinygguf.gguf(
        {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    ),
    "tinyembed-random-f16.gguf": tinygguf.model("bert", 1, pooling_type=1),
    "bare.gguf": tinygguf.model(),
}
"""In place of the files that the answers were recorded with."""


MINIMAL = bytes.fromhex(
    "474755460300000000000000000000000100000000000000140000000000000067656e6572616c2e61726368697465637475726508000000"
    "040000000000000074657374"
)
"""The smallest file that is a model: 68 bytes."""


def recorded(name: str) -> list[dict[str, Any]]:
    return json.loads(gzip.decompress((VECTORS / f"{name}.json.gz").read_bytes()))


def no_pull(_store: Store, name: Name, _report: Report) -> None:
    raise PullError(name.short, "pull model manifest: file does not exist")


def request_of(body: dict[str, Any]) -> CreateRequest:
    """A body as the server hands it over: nulls are absent, deprecated names are read."""
    given = {key: value for key, value in body.items() if value is not None}
    fields: dict[str, Any] = {
        "model": given.get("model") or given.get("name", ""),
        "base": given.get("from", ""),
        "quantize": given.get("quantize") or given.get("quantization", ""),
    }
    same = ("files", "adapters", "draft_files", "draft_quantize", "remote_host", "template", "system", "license")
    same += ("parameters", "messages", "renderer", "parser", "requires", "info")
    return CreateRequest(**fields, **{key: given[key] for key in same if key in given})


class Shop:
    """A store, and what creating models in it said."""

    def __init__(self, root: Path, prune: bool = True) -> None:
        self.store = Store.open(root, prune=prune)
        self.events: list[str] = []
        self.pull: Callable[[Store, Name, Report], object] = no_pull

    def upload(self, data: bytes) -> str:
        return str(self.store.blobs.put(data))

    def create(self, model: str, **body: Any) -> list[str]:
        self.events = []
        create(self.store, request_of({"model": model, **body}), self._note, pull=self.pull)
        return self.events

    def refused(self, model: str, **body: Any) -> tuple[str, int]:
        with pytest.raises(CreateError) as caught:
            self.create(model, **body)
        return str(caught.value), caught.value.status

    def layers(self, name: str) -> list[tuple[str, str]]:
        """Last word of the media type, and the origin."""
        manifest = self.store.catalog.get(Name.parse(name)).manifest
        return [(layer.media_type.rpartition(".")[2], layer.from_) for layer in manifest.layers]

    def contents(self) -> dict[str, bytes]:
        root = self.store.layout.root
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def _note(self, event: Progress) -> None:
        self.events.append(event.status)


class Recorded:
    """A store with the models that every recorded answer relies on, and the real digests behind the placeholders."""

    def __init__(self, root: Path) -> None:
        self.shop = Shop(root)
        self.digests: dict[str, str] = {}
        self.placeholders: dict[str, str] = {}
        for entry in recorded("models"):
            for name, digest in entry["files"].items():
                self.digests[digest] = self.shop.upload(FILES[name])
            body = self.translated(entry["create"])
            self.shop.create(**body)
            self._learn(body["model"])

    def copied(self, root: Path) -> "Recorded":
        """The same in a folder of its own."""
        shutil.copytree(self.shop.store.layout.root, root, dirs_exist_ok=True)
        other = copy.copy(self)
        other.shop = Shop(root)
        return other

    def _learn(self, model: str) -> None:
        stored = self.shop.store.catalog.get(self.shop.store.catalog.resolve(Name.parse(model)))
        paths = [*stored.weights, *stored.adapters, *stored.projectors]
        for number, path in enumerate(paths):
            word = f"<layer:{model}{number}>" if number else f"<weights:{model}>"
            self.placeholders.setdefault(path.name.removeprefix("sha256-"), word)

    def translated(self, body: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(body)
        for theirs, ours in self.digests.items():
            text = text.replace(theirs, ours)
        return json.loads(text)

    def answer(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines of the stream."""
        lines: list[dict[str, Any]] = []
        try:
            create(
                self.shop.store,
                request_of(self.translated(body)),
                lambda event: lines.append({"status": self._plain(event.status)}),
                pull=no_pull,
            )
        except StoreError as error:
            lines.append({"error": str(error), "code": getattr(error, "status", 500)})
        return lines

    def _plain(self, status: str) -> str:
        for digest, word in self.placeholders.items():
            status = status.replace(digest, word)
        return status.replace("creating new layer", "layer").replace("using existing layer", "layer")
