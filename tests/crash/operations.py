"""What is done to a store while its process is killed: a state before, and one operation.

There are several states for each operation, by number: the model exists already or not, blobs are shared or not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelstore import bundled
from modelstore.clone import take
from modelstore.create import CreateRequest, create
from modelstore.digest import Digest
from modelstore.names import Name
from modelstore.progress import Progress
from modelstore.quantize import quantized
from modelstore.store import Store
from tests.unit.modelstore import tinygguf
from tests.unit.modelstore.quantize.files import program

STATES = 4
"""Different states before each operation."""
_SHARED = tinygguf.model(file_type=7, general__name="shared")
_HALF = tinygguf.model(file_type=1)
_QUARTER = tinygguf.model(file_type=7)
_MODELS = Path(__file__).parents[1] / "models"
_UPLOAD = [bytes([number]) * 5000 for number in range(3)]


def _silent(_event: Progress) -> None:
    pass


def _open(root: Path, state: int) -> Store:
    return Store.open(root, prune=state != 2)


def _make(store: Store, model: str, weights: bytes, system: str, license: str = "") -> None:
    files = {"weights.gguf": str(store.blobs.put(weights))}
    request = CreateRequest(model=model, files=files, template="{{ .Prompt }}", system=system, license=license or None)
    create(store, request, _silent)


def _neighbour(root: Path, state: int) -> None:
    """A model that the operation has nothing to do with, which shares blobs with the others."""
    _make(_open(root, state), "neighbour", _SHARED, "Be brief.", "MIT")


def _former(root: Path, state: int) -> None:
    """In every second state there is a model of the name in question."""
    _neighbour(root, state)
    if state % 2:
        _make(_open(root, state), "it", _SHARED, "I was here first.")


def _upload(root: Path, state: int) -> None:
    digest = Digest.of(b"".join(_UPLOAD))
    with _open(root, state).blobs.create() as writer:
        for piece in _UPLOAD:
            writer.write(piece)
        writer.commit(digest)


def _before_upload(root: Path, state: int) -> None:
    _neighbour(root, state)
    if state % 2:
        _upload(root, state)


def _before_import(root: Path, state: int) -> None:
    _neighbour(root, state)
    if state % 2:
        _import(root, state)


def _import(root: Path, state: int) -> None:
    path = _MODELS / "tinyrank-f16.gguf"
    with path.open("rb") as file:
        take(_open(root, state), file.fileno(), Digest.of_file(path), lambda _done, _total: None)


def _before_create(root: Path, state: int) -> None:
    _former(root, state)
    _open(root, state).blobs.put(tinygguf.model(general__name=f"new {state}"))


def _create(root: Path, state: int) -> None:
    store = _open(root, state)
    weights = _SHARED if state == 3 else tinygguf.model(general__name=f"new {state}")
    request = CreateRequest(
        model="it",
        files={"weights.gguf": str(Digest.of(weights))},
        template="{{ .System }} {{ .Prompt }}",
        system="Be long.",
        license=["MIT", "BSD"],
        parameters={"temperature": state},
        messages=[{"role": "user", "content": "Hello"}],
    )
    create(store, request, _silent)


def _quantization(digest: Digest) -> CreateRequest:
    return CreateRequest(model="it", files={"half.gguf": str(digest)}, quantize="Q8_0", system="Be exact.")


def _before_quantize(root: Path, state: int) -> None:
    _former(root, state)
    _open(root, state).blobs.put(_HALF)
    if state == 3:
        _open(root, state).blobs.put(_QUARTER)


def _quantize(root: Path, state: int) -> None:
    """With a program in the engine's place that has its result at hand, and leaves it behind when the daemon dies."""
    said = (f"write({_QUARTER!r})", "say('finished')", "sys.stdin.read()")
    quantizer = partial(quantized, command=program(root.with_suffix(".py"), *said))
    create(_open(root, state), _quantization(Digest.of(_HALF)), _silent, quantizer=quantizer)


def _before_quantize_by_engine(root: Path, state: int) -> None:
    _former(root, state)
    _open(root, state).blobs.put((_MODELS / "tinydraft-f16.gguf").read_bytes())


def _quantize_by_engine(root: Path, state: int) -> None:
    digest = Digest.of_file(_MODELS / "tinydraft-f16.gguf")
    create(_open(root, state), _quantization(digest), _silent)


def _copy(root: Path, state: int) -> None:
    name = "it" if state < 2 else "somewhere/else:v1"
    _open(root, state).catalog.copy(Name.parse("neighbour"), Name.parse(name))


def _before_delete(root: Path, state: int) -> None:
    _neighbour(root, state)
    weights = _SHARED if state % 2 else tinygguf.model(general__name="alone")
    _make(_open(root, state), "it", weights, "I am to go.", "MIT" if state < 2 else "BSD")


def _delete(root: Path, state: int) -> None:
    _open(root, state).catalog.delete(Name.parse("it"))


def _before_pull(root: Path, state: int) -> None:
    _neighbour(root, state)
    if state % 2:
        _make(_open(root, state), "tinychat", _SHARED, "I was here first.")


def _pull(root: Path, state: int) -> None:
    bundled.pull(_open(root, state), Name.parse("tinychat"), _silent)


@dataclass(frozen=True, slots=True)
class Operation:
    """Both take the root of the store and the number of the state."""

    prepare: Callable[[Path, int], None]
    run: Callable[[Path, int], None]
    repeatable: bool = True
    """Whether it can be done again once it has been done."""


OPERATIONS = {
    "upload": Operation(_before_upload, _upload),
    "import": Operation(_before_import, _import),
    "create": Operation(_before_create, _create),
    "quantize": Operation(_before_quantize, _quantize),
    "quantize-by-engine": Operation(_before_quantize_by_engine, _quantize_by_engine),
    "copy": Operation(_former, _copy),
    "delete": Operation(_before_delete, _delete, repeatable=False),
    "pull": Operation(_before_pull, _pull),
}
