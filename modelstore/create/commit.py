"""Puts a finished plan into the store."""

import logging

from modelstore.create.plan import Piece, Plan, written
from modelstore.errors import StoreError
from modelstore.manifest import CONFIG_TYPE, Manifest, ModelConfig
from modelstore.names import Name
from modelstore.progress import Progress, Report
from modelstore.transaction import Transaction

log = logging.getLogger(__name__)


def commit(transaction: Transaction, name: Name, plan: Plan, config: ModelConfig, report: Report) -> None:
    """Write the blobs that are missing, then the manifest, with an event for each layer."""
    store = transaction.store
    end = written(CONFIG_TYPE, config.encode())
    transaction.keep(piece.layer.digest for piece in (*plan.pieces, end))
    for piece in plan.pieces:
        report(Progress(_placed(transaction, piece)))
    _placed(transaction, end)
    report(Progress("writing manifest"))
    replaced = transaction.write(name, Manifest(tuple(piece.layer for piece in plan.pieces), end.layer))
    try:
        store.remove_unused(replaced)
    except (StoreError, OSError) as error:  # the model is complete all the same
        log.warning("unused layers stay: %s", error)
    report(Progress("success"))


def _placed(transaction: Transaction, piece: Piece) -> str:
    """The words for a layer, after its blob has been written if it was not there."""
    digest = piece.layer.digest
    if piece.data is not None:
        is_new = transaction.put(piece.data, digest)
    else:
        is_new = transaction.made(digest) or not transaction.has(digest)
    return piece.status or f"{'creating new' if is_new else 'using existing'} layer {digest}"
