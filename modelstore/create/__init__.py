"""Makes a model out of another one or of uploaded files.

    check          what can be refused at once: names, digests that are not there
    base           the layers to build upon: sources (GGUF files, shards), a stored model, an address
    quantization   weights in another type, if one is asked for
    config         what the config blob says
    plan           all layers in their order, overrides on top
    commit         blobs, then the manifest

Hardly anything is written before the plan stands, and what has been goes again when the request fails.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelstore import bundled, quantize
from modelstore.create import quantization
from modelstore.create.base import Base, Pull, check_base, find_base
from modelstore.create.commit import commit
from modelstore.create.config import computed, defaults, requested
from modelstore.create.limits import check_size
from modelstore.create.overrides import apply, check_template, licenses
from modelstore.create.plan import Plan
from modelstore.create.projector import typed
from modelstore.create.request import CreateRequest, check, check_adapters
from modelstore.create.sources import Part, read_adapter, read_parts
from modelstore.digest import Digest
from modelstore.errors import CreateError, InvalidDigest
from modelstore.progress import Progress, Report
from modelstore.quantize.types import target_type
from modelstore.quoting import quote
from modelstore.transaction import Transaction

if TYPE_CHECKING:
    from modelstore.store import Store

__all__ = ["CreateRequest", "Progress", "Pull", "check", "create"]


def create(
    store: "Store",
    request: CreateRequest,
    report: Report,
    *,
    pull: Pull = bundled.pull,
    quantizer: quantization.Quantizer = quantize.quantized,
) -> None:
    """Carry out a request, with an event for each step. Blocks; call it from a thread.

    A base that is not in the store is fetched with `pull`. Raises CreateError (its status is the HTTP status that
    fits while nothing has been reported), other errors of the store, and what `pull` and `report` raise. After an
    error, also one of `report`, the blobs written here are gone and a model of that name is as it was.
    """
    name = store.catalog.resolve(check(request))
    if not request.base and request.files is None:
        raise CreateError("neither 'from' or 'files' was specified")
    check_base(request)
    check_adapters(request)
    config = requested(request)
    licenses(request.license)
    if request.template:
        check_template(request.template)
    if request.quantize:
        target_type(request.quantize)
    with _others_at_work(), Transaction(store) as transaction:
        base = find_base(store, request, config, report, pull)
        drafts = read_parts(store.blobs, request.draft_files, report, draft=True) if request.draft_files else []
        adapters = _adapters(store, request, base, report)
        quantization.check(request, base, drafts, transaction)
        step = quantization.Quantization(transaction, report, quantizer)
        base = step.base(base, request.quantize)
        _verify(base, report)
        drafts = step.parts(drafts, request.draft_quantize)
        pieces = typed(base.pieces, base.parts, transaction, report) if base.is_new else base.pieces
        plan = Plan([*pieces, *(piece for part in (*adapters, *drafts) for piece in part.pieces)])
        apply(plan, request, store.blobs, defaults(base.config, base.parts) | dict(request.parameters))
        config = computed(base.config, [*base.parts, *base.drafts, *drafts])
        check_size(plan, config)
        commit(transaction, name, plan, config, report)


@contextmanager
def _others_at_work() -> Generator[None]:
    """Another program may delete a blob between two looks at it: that is a blob that is not there."""
    try:
        yield
    except FileNotFoundError as error:
        try:
            digest = Digest.parse(os.path.basename(os.fsdecode(error.filename or "")))
        except InvalidDigest:
            raise error from None
        raise CreateError(f"blob {quote(str(digest))} not found") from error


def _adapters(store: "Store", request: CreateRequest, base: Base, report: Report) -> list[Part]:
    """Nothing can be laid over a model that runs elsewhere."""
    if not request.adapters or base.is_remote:
        return []
    return read_adapter(store.blobs, request.adapters, base.architecture, report)


def _verify(base: Base, report: Report) -> None:
    """Name the step: reading the header has checked every tensor's place in the file, so the blob stays as it is."""
    for part in base.parts if base.is_new else ():
        if part.is_text_model and not part.quantized:
            report(Progress("verifying conversion"))
