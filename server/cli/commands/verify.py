"""`verify`: check what lies in the store, and say what to do about what is damaged."""

from contextlib import closing
from urllib.parse import quote

from server.cli import human, progress, tables
from server.cli.answer import Json, items, text, whole
from server.cli.call import Call
from server.cli.errors import CliError

HEADER = ("STATUS", "WHAT", "SIZE", "MODELS")


def run(call: Call) -> int:
    name = call.args[0] if call.args else ""
    path = f"/api/verify?model={quote(name, safe='')}" if name else "/api/verify"
    end: Json = {}
    rows: list[tuple[str, ...]] = []
    with progress.wheel() as shown, closing(call.client.stream(path, method="GET")) as events:
        shown.status("checking blobs")
        for event in events:
            status = text(event, "status")
            if status == "verifying":
                title = f"checking {text(event, 'digest')[7:19]}:"
                shown.bar(text(event, "digest"), title, whole(event, "completed"), whole(event, "total"))
            elif text(event, "digest") or text(event, "manifest"):
                if status != "ok":
                    rows.append(_row(event))
            else:
                end = event
    if not end:
        raise CliError("the daemon ended before everything was checked")
    if rows:
        print(tables.listing(HEADER, rows), end="\n")
    return _conclude(call.program, end)


def _row(event: Json) -> tuple[str, ...]:
    what = f"blob {text(event, 'digest')[7:19]}" if text(event, "digest") else f"manifest {text(event, 'manifest')}"
    size = human.size(whole(event, "size")) if text(event, "digest") else "-"
    models = ", ".join(str(model) for model in items(event, "models")) or "-"
    if why := text(event, "reason"):
        models += f" ({why})"
    return text(event, "status"), what, size, models


def _conclude(program: str, end: Json) -> int:
    """The last lines, and the exit status: 1 when something is damaged."""
    damaged, unused = whole(end, "damaged"), whole(end, "unused")
    blobs = "1 blob" if whole(end, "blobs") == 1 else f"{whole(end, 'blobs')} blobs"
    print(f"checked {blobs}, {human.size(whole(end, 'size'))}: {damaged or 'none'} damaged")
    if unused:
        verb = "is" if unused == 1 else "are"
        print(f"{unused} {verb} needed by no model; '{program} prune' removes what has not changed for an hour")
    for model in items(end, "models"):
        print(f"to mend {model}: '{program} pull {model}', or create it again")
    return 1 if damaged else 0
