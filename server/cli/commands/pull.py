"""`pull`: have the daemon fetch a model."""

from contextlib import closing

from server.cli import progress
from server.cli.answer import Json, text, whole
from server.cli.call import Call
from server.cli.errors import BadInput
from server.cli.transport import Client


def run(call: Call) -> None:
    pull(call.client, call.args[0], insecure=call.on("insecure"))


def pull(client: Client, name: str, *, insecure: bool) -> None:
    """Fetch a model, showing how far it is."""
    if name.startswith("http://") and not insecure:
        raise BadInput("insecure protocol http")
    body: Json = {"model": name}
    if insecure:
        body["insecure"] = True
    with progress.display() as shown, closing(client.stream("/api/pull", body)) as events:
        for event in events:
            show(shown, event, f"pulling {text(event, 'digest')[7:19]}:")


def show(shown: progress.Display, event: Json, title: str) -> None:
    """One event of a transfer: a bar for a layer of which something is there, else a message."""
    digest, completed = text(event, "digest"), whole(event, "completed")
    if not digest:
        shown.status(text(event, "status"))
    elif completed:
        shown.bar(digest, title, completed, whole(event, "total"))
