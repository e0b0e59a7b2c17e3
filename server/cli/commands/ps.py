"""`ps`: the models that are loaded."""

from datetime import UTC, datetime

from server.cli import human, tables
from server.cli.answer import Json, objects, text, whole
from server.cli.call import Call

HEADER = ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")


def run(call: Call) -> None:
    prefix = call.args[0] if call.args else ""
    models = objects(call.client.call("GET", "/api/ps"), "models")
    now = datetime.now(UTC)
    print(tables.listing(HEADER, [_row(m, now) for m in models if text(m, "name").startswith(prefix)]), end="")


def _row(model: Json, now: datetime) -> tuple[str, ...]:
    size = whole(model, "size")
    expires = human.instant(text(model, "expires_at"))
    until = "Stopping..." if expires is not None and expires < now else human.when(expires, now)
    return (
        text(model, "name"),
        text(model, "digest")[:12],
        human.size(size),
        processor(size, whole(model, "size_vram")),
        str(whole(model, "context_length")),
        until,
    )


def processor(size: int, in_vram: int) -> str:
    """How a model of `size` bytes is spread over the processors."""
    if in_vram == 0:
        return "100% CPU"
    if in_vram == size:
        return "100% GPU"
    if in_vram > size or size == 0:
        return "Unknown"
    cpu = int(100 * (size - in_vram) / size + 0.5)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"
