"""`show`: one field of a model, or a report about it."""

from typing import Final

from server.cli import report
from server.cli.answer import Json, items, text
from server.cli.call import Call
from server.cli.errors import CliError, UsageError

FIELDS: Final = ("license", "modelfile", "parameters", "system", "template")
_AS_IS: Final = ("system", "template")
"""Fields printed without a line end behind them."""


def run(call: Call) -> None:
    chosen = [field for field in FIELDS if call.on(field)]
    if len(chosen) > 1:
        raise UsageError(
            "only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified"
        )
    body: Json = {"model": call.args[0]}
    if call.on("verbose"):
        body["verbose"] = True
    model = call.client.call("POST", "/api/show", body)
    if "image" in items(model, "capabilities"):
        raise CliError("image generation models are not currently supported")
    for field in chosen:
        print(text(model, field), end="" if field in _AS_IS else "\n")
    if not chosen:
        print(report.describe(model, verbose=call.on("verbose")), end="")
