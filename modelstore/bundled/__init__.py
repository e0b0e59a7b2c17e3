"""A registry of one model, which comes with the program: `tinychat`, trained from nothing by `tools/models`.

Its weights and its licence lie beside this file; pulling it needs no network and tells the same events as any pull.
"""

from typing import TYPE_CHECKING, Final

from modelstore.bundled.content import Blob, blobs, manifest
from modelstore.bundled.errors import PullError
from modelstore.errors import StoreError
from modelstore.manifest import Manifest
from modelstore.names import Name
from modelstore.progress import Progress, Report
from modelstore.transaction import Transaction

if TYPE_CHECKING:
    from modelstore.store import Store

__all__ = ["PullError", "names", "pull"]

CHUNK: Final = 1 << 20
"""Bytes copied between two events."""
_NAMES: Final = (Name.parse("tinychat"),)


def names() -> tuple[Name, ...]:
    """The models that can be pulled from here."""
    return _NAMES


def has(name: Name) -> bool:
    """Whether it can be pulled from here; case does not count."""
    wanted = str(name).lower()
    return any(str(known).lower() == wanted for known in _NAMES)


def pull(store: "Store", name: Name, report: Report) -> None:
    """Put a model into the store. Raises PullError for a name that is not offered, and what `report` raises.

    When anything fails, nothing that was copied stays.
    """
    report(Progress("pulling manifest"))
    if not has(name):
        raise PullError(name.short, "pull model manifest: file does not exist")
    content = manifest()
    with Transaction(store) as transaction:
        for blob in blobs():
            _pull_blob(transaction, blob, report)
        report(Progress("verifying sha256 digest"))
        report(Progress("writing manifest"))
        replaced = transaction.write(store.catalog.resolve(name), _as_from_registry(content))
    if store.prune and replaced:
        report(Progress("removing unused layers"))
        try:
            store.remove_unused(replaced)
        except (StoreError, OSError) as error:  # the model is complete all the same
            reason = error.strerror if isinstance(error, OSError) else error
            report(Progress(f"couldn't remove unused layers: {reason}"))
    report(Progress("success"))


def _pull_blob(transaction: Transaction, blob: Blob, report: Report) -> None:
    """Copy one blob, with an event for each chunk; one that is there already has a single event."""

    def tell(completed: int) -> None:
        report(Progress(f"pulling {blob.digest.short12}", str(blob.digest), blob.size, completed))

    if transaction.has(blob.digest):
        tell(blob.size)
        return
    tell(0)
    with blob.open() as source, transaction.store.blobs.create(blob.size) as writer:
        while chunk := source.read(CHUNK):
            writer.write(chunk)
            if writer.size < blob.size:
                tell(writer.size)
        transaction.commit(writer, blob.digest)
    tell(blob.size)


def _as_from_registry(content: Manifest) -> bytes:
    """A pulled manifest has no newline at its end."""
    return content.encode().removesuffix(b"\n")
