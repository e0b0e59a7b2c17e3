"""The report about a model: sections of rows, made from an answer of `/api/show`."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from modelstore.numbers import listed_number, parameter_size
from server.cli import tables
from server.cli.answer import Json, inner, items, objects, text, whole
from server.cli.tables import section, width

Row = list[str]

_LIST_COLUMNS: Final = 10
_EXCERPT_LINES: Final = 2


def describe(model: Json, *, verbose: bool) -> str:
    """All sections that apply, each followed by a blank line."""
    return "".join(_sections(model, verbose=verbose))


def _sections(model: Json, *, verbose: bool) -> Iterator[str]:
    yield section("Model", _model_rows(model))
    if capabilities := items(model, "capabilities"):
        yield section("Capabilities", [[str(capability)] for capability in capabilities])
    if projector := inner(model, "projector_info"):
        yield section("Projector", _projector_rows(projector))
    if parameters := text(model, "parameters"):
        yield section("Parameters", [line.split() for line in parameters.split("\n") if line.strip()])
    if verbose:
        if info := inner(model, "model_info"):
            yield section("Metadata", [[key, metadata(info[key])] for key in sorted(info)])
        if tensors := objects(model, "tensors"):
            yield section("Tensors", [_tensor_row(tensor) for tensor in tensors])
    for title in ("System", "License"):
        if long := text(model, title.lower()):
            yield section(title, [[line] for line in excerpt(long)], tables.WIDE_CELL)


def _model_rows(model: Json) -> list[Row]:
    details, info = inner(model, "details"), inner(model, "model_info")
    rows: list[Row] = []
    if text(model, "remote_host"):
        rows += [["Remote model", text(model, "remote_model")], ["Remote URL", text(model, "remote_host")]]
    size = text(details, "parameter_size")
    if info:
        architecture = text(info, "general.architecture")
        size = size or parameter_size(whole(info, "general.parameter_count"))
        rows += [["architecture", architecture], ["parameters", size]]
        lengths = (("context length", "context_length"), ("embedding length", "embedding_length"))
        rows += _numbers(info, architecture, lengths)
    else:
        rows += [["architecture", text(details, "family")], ["parameters", size]]
    rows.append(["quantization", text(details, "quantization_level")])
    return [*rows, ["requires", text(model, "requires")]] if text(model, "requires") else rows


def _projector_rows(info: Json) -> list[Row]:
    architecture = text(info, "general.architecture")
    part = next((part for part in ("vision", "audio") if f"{architecture}.{part}.embedding_length" in info), "vision")
    rows = [["architecture", architecture], ["parameters", parameter_size(whole(info, "general.parameter_count"))]]
    lengths = (("embedding length", "embedding_length"), ("dimensions", "projection_dim"))
    return rows + _numbers(info, f"{architecture}.{part}", lengths)


def _numbers(info: Json, prefix: str, wanted: Sequence[tuple[str, str]]) -> list[Row]:
    """A row for each number that is there."""
    return [[label, str(whole(info, key))] for label, name in wanted if (key := f"{prefix}.{name}") in info]


def _tensor_row(tensor: Json) -> Row:
    shape = " ".join(map(str, items(tensor, "shape")))
    return [text(tensor, "name"), text(tensor, "type"), f"[{shape}]"]


def metadata(value: Any) -> str:
    """A value of a model file: numbers in their shortest form, lists cut to some ten columns, null as nothing."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return listed_number(float(value))
        case list():
            return _list(cast(list[Any], value))
        case _:
            return str(value)


def _list(items: Sequence[Any]) -> str:
    used, shown = 1, list[str]()
    for item in items:
        shape = metadata(item)
        used += width(shape) + (2 if shown else 0)
        if used > _LIST_COLUMNS:
            break
        shown.append(shape)
    more = f" ...+{len(items) - len(shown)} more" if len(shown) < len(items) else ""
    return f"[{' '.join(shown)}{more}]"


def excerpt(long: str) -> list[str]:
    """The first lines that say something, and dots for the others."""
    lines = [line.strip() for line in long.split("\n") if line.strip()]
    return lines if len(lines) <= _EXCERPT_LINES else [*lines[:_EXCERPT_LINES], "..."]
