"""`run`: ask a model, once or in a conversation; fetch it first where it is missing."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from server.cli import account, media
from server.cli.answer import Json, items
from server.cli.call import Call
from server.cli.commands.pull import pull
from server.cli.conversation import Conversation
from server.cli.errors import BadInput, CliError, ServerError, SignInNeeded
from server.cli.reply import THINK_LEVELS
from server.gojson import duration, scan

_SWITCHES: Final = {"true": True, "false": False}


def run(call: Call) -> None:
    name, *words = call.args
    think = think_value(call.text("think")) if "think" in call.flags else None
    keep_alive = keep_alive_value(call.text("keepalive")) if "keepalive" in call.flags else None
    prompt = _prompt(words)
    if name.startswith((".", "/", "~")) or name.lower().endswith(".gguf"):
        from server.cli import weights

        name = weights.resolved(call, name)
    try:
        model = _described(call, name)
    except SignInNeeded as error:
        account.explain(error.url)
        return
    capabilities = items(model, "capabilities")
    if "embedding" in capabilities:
        _embed(call, name, prompt, keep_alive)
        return
    if "image" in capabilities:
        raise CliError("image generation models are not currently supported")
    conversation = Conversation(
        call.client, name, model,
        format=format_value(call.text("format")),
        think=True if think is None and "thinking" in capabilities else think,
        keep_alive=keep_alive,
        wordwrap=not call.on("nowordwrap"),
        verbose=call.on("verbose"),
        hide_thinking=call.on("hidethinking"),
    )  # fmt: skip
    try:
        _converse(conversation, prompt, interactive=not words and sys.stdin.isatty() and sys.stdout.isatty())
    except SignInNeeded as error:
        account.explain(error.url)


def _converse(conversation: Conversation, prompt: str, *, interactive: bool) -> None:
    if interactive:
        from server.cli import prompt as session

        session.interactive(conversation)
        return
    text, images = media.extract(prompt) if conversation.takes_media else (prompt, [])
    try:
        conversation.generate(text, images)
    except KeyboardInterrupt:
        return


def _prompt(words: list[str]) -> str:
    """What came through a pipe, then the words of the command line."""
    piped = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode(errors="replace")
    return " ".join([piped, *words] if piped else words)


def _described(call: Call, name: str) -> Json:
    """What the daemon knows about the model, which is fetched if it is not there."""
    body = {"model": name}
    try:
        return call.client.call("POST", "/api/show", body)
    except ServerError as error:
        if error.status != 404:
            raise
    pull(call.client, name, insecure=call.on("insecure"))
    return call.client.call("POST", "/api/show", body)


def _embed(call: Call, name: str, prompt: str, keep_alive: str | int | None) -> None:
    """Print the vector of the text. Its numbers keep the digits in which the daemon wrote them."""
    if not prompt:
        raise CliError(f'embedding models require input text. Usage: {call.program} run {name} "your text here"')
    body: Json = {"model": name, "input": prompt}
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    if "truncate" in call.flags:
        body["truncate"] = call.on("truncate")
    if dimensions := call.flags.get("dimensions"):
        body["dimensions"] = dimensions
    answer = json.loads(call.client.raw("POST", "/api/embed", body), parse_float=str, parse_int=str)
    if not answer.get("embeddings"):
        raise CliError("no embeddings returned")
    print(f"[{','.join(answer['embeddings'][0])}]")


def think_value(text: str) -> bool | str:
    """Raises BadInput."""
    if text in _SWITCHES:
        return _SWITCHES[text]
    if text in THINK_LEVELS:
        return text
    raise BadInput(f'invalid value for --think: "{text}" (must be true, false, high, medium, low, or max)')


def keep_alive_value(text: str) -> str | int:
    """A duration in the daemon's own spelling; -1 for any negative one, which means for ever. Raises BadInput."""
    try:
        nanoseconds = duration.parse(text)
    except duration.InvalidDuration as error:
        raise BadInput(str(error)) from error
    return -1 if nanoseconds < 0 else duration.format_nanoseconds(nanoseconds)


def format_value(text: str) -> Any:
    """`json`, a JSON schema, or `@` and a file with one; None for nothing. Raises BadInput."""
    if not text or text == "json":
        return text or None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise BadInput(f"--format: {error}") from error
    try:
        return json.loads(text)
    except ValueError:
        raise BadInput(f"json: error calling MarshalJSON for type json.RawMessage: {_syntax(text)}") from None


def _syntax(text: str) -> str:
    """What is wrong with a JSON text."""
    try:
        scan.scan(text.encode())
    except (scan.EmptyText, scan.UnexpectedEnd):
        return "unexpected end of JSON input"
    except scan.ScanError as error:
        return str(error)
    return "invalid character after top-level value"
