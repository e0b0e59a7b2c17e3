"""The answer of `/api/show`: everything that is known about one model. Pure apart from reading the model's files."""

import re
from typing import Any, Final

from modelstore import options
from modelstore.capabilities import CHAT_TEMPLATE_KEY, TemplateMode
from modelstore.gguf import Header, Tensor
from modelstore.model import StoredModel
from modelstore.recipe import recipe
from server import jsonout
from server.details import details
from server.schema.native import ShowRequest

NO_TEMPLATE: Final = "{{ .Prompt }}"
"""The template of a model that has none."""
_HIDDEN: Final = ("general.name", CHAT_TEMPLATE_KEY)
_QUANTIZATION_VERSION: Final = "general.quantization_version"
"""The reference copies files that it is given, sorted, and notes this; ours stay as they are, and are only shown so."""
_BLOCK: Final = re.compile(r"blk\.(\d{1,9})\.(.*)")


def describe(model: StoredModel, request: ShowRequest) -> dict[str, Any]:
    """The members in their order. Blocks. Raises errors of the store, `OSError`."""
    system = request.system or model.system
    header, projector = model.header, model.projector_header
    return {
        **jsonout.omit_empty(
            license="\n".join(model.licenses),
            modelfile=recipe(model, system=system, options=request.options),
            parameters=options.format_parameters(model.params),
            template=_template(model, header),
            system=system,
        ),
        "details": details(model),
        **jsonout.omit_empty(
            messages=[{"role": item.get("role", ""), "content": item.get("content", "")} for item in model.messages],
            remote_model=model.config.remote_model,
            remote_host=model.config.remote_host,
        ),
        "model_info": jsonout.free(_model_info(header, request.verbose)),
        **jsonout.omit_empty(
            projector_info=jsonout.free(projector.metadata(request.verbose)) if projector else None,
            tensors=_tensors(header),
            capabilities=model.capabilities,
        ),
        "modified_at": jsonout.local_time(model.modified_at),
        **jsonout.omit_empty(requires=model.config.requires),
    }


def _template(model: StoredModel, header: Header | None) -> str:
    if model.template_mode is TemplateMode.JINJA and header is not None:
        return header.text(CHAT_TEMPLATE_KEY)
    return NO_TEMPLATE if model.template is None else model.template


def _model_info(header: Header | None, verbose: bool) -> dict[str, Any]:
    if header is None:
        return {}
    members = {key: value for key, value in header.metadata(verbose).items() if key not in _HIDDEN}
    return {_QUANTIZATION_VERSION: 2, **members}


def _tensors(header: Header | None) -> list[dict[str, Any]]:
    tensors = sorted(header.tensors, key=_place) if header else []
    return [{"name": tensor.name, "type": tensor.type, "shape": tensor.shape} for tensor in tensors]


def _place(tensor: Tensor) -> tuple[int, str]:
    """Where a tensor stands in the list: what is not part of a block comes first, then block by block."""
    block = _BLOCK.match(tensor.name)
    return (int(block[1]), block[2]) if block else (-1, tensor.name)
