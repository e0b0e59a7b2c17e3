"""`cp`: a second name for a model."""

from server.cli.call import Call


def run(call: Call) -> None:
    source, destination = call.args
    call.client.call("POST", "/api/copy", {"source": source, "destination": destination})
    print(f"copied '{source}' to '{destination}'")
