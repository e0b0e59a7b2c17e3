"""Go templates for weights that bring a well-known chat template of their own."""

from collections.abc import Sequence

from modelstore.create.plan import Piece, params_data, written
from modelstore.create.sources import Part
from modelstore.manifest import PARAMS_TYPE, TEMPLATE_TYPE
from modelstore.template import detect


def detected(parts: Sequence[Part]) -> list[Piece]:
    """The template layer, and one with its stop words, for the first part whose chat template is known; else none."""
    for part in parts:
        text = part.header.text("tokenizer.chat_template")
        named = detect(text) if text else None
        if named is not None:
            status = f"using autodetected template {named.name}"
            pieces = [written(TEMPLATE_TYPE, named.text.encode(), status)]
            return pieces + ([written(PARAMS_TYPE, params_data(named.parameters))] if named.stop else [])
    return []
