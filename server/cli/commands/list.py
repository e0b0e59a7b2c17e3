"""`list`: the models that the daemon has."""

from datetime import UTC, datetime

from server.cli import human, tables
from server.cli.answer import Json, objects, text, whole
from server.cli.call import Call
from server.cli.transport import Client

HEADER = ("NAME", "ID", "SIZE", "MODIFIED")


def run(call: Call) -> None:
    print(listing(call.client, call.args[0] if call.args else "", datetime.now(UTC)), end="")


def listing(client: Client, prefix: str, now: datetime) -> str:
    """The table of models whose names begin with the prefix, in any case; in the daemon's order."""
    models = objects(client.call("GET", "/api/tags"), "models")
    rows = [_row(model, now) for model in models if text(model, "name").lower().startswith(prefix.lower())]
    return tables.listing(HEADER, rows)


def _row(model: Json, now: datetime) -> tuple[str, ...]:
    size = "-" if model.get("remote_model") else human.size(whole(model, "size"))
    modified = human.when(human.instant(text(model, "modified_at")), now)
    return text(model, "name"), text(model, "digest")[:12], size, modified
