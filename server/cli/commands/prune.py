"""`prune`: remove what no model needs."""

from server.cli import human, tables
from server.cli.answer import Json, objects, text, whole
from server.cli.call import Call

HEADER = ("WHAT", "SIZE")


def run(call: Call) -> None:
    dry_run = call.on("dry-run")
    answer = call.client.call("POST", "/api/prune", {"dry_run": dry_run})
    removed = objects(answer, "removed")
    if removed:
        print(tables.listing(HEADER, [_row(each) for each in removed]), end="\n")
    verb = "would free" if dry_run else "freed"
    print(f"{verb} {human.size(whole(answer, 'freed'))}")


def _row(removed: Json) -> tuple[str, str]:
    digest = text(removed, "digest")
    return f"blob {digest[7:19]}" if digest else text(removed, "file"), human.size(whole(removed, "size"))
