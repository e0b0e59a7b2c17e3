"""The requests of the native API (`/api/*`): dataclasses, and beside each the decoder that reads it from a body.

An absent member has the dataclass's default. `None` as default means that absent differs from every value.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from server.gojson.types import ANY, BOOL, IMAGE, INT, RAW, STRING, Custom, ListOf, Object
from server.messages import Message, Tool
from server.schema.conversation import MESSAGES, TOOLS
from server.schema.members import KEEP_ALIVE, OPTIONS, STRINGS, THINK, Think


@dataclass(slots=True)
class GenerateRequest:
    """POST /api/generate"""

    model: str = ""
    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[int] | None = None
    """Tokens to put in front; an empty list counts as given."""
    stream: bool = True
    raw: bool = False
    format: str = ""
    """JSON text as sent; empty when there is none."""
    grammar: str = ""
    """GBNF."""
    regex: str = ""
    keep_alive: float | None = None
    """Seconds; FOREVER."""
    images: list[bytes] = field(default_factory=list[bytes])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    debug_render_only: bool = False


_SHARED: Final = {
    "model": STRING,
    "stream": BOOL,
    "format": RAW,
    "grammar": STRING,
    "regex": STRING,
    "keep_alive": Custom(KEEP_ALIVE),
    "options": OPTIONS,
    "think": Custom(THINK),
    "truncate": BOOL,
    "shift": BOOL,
    "logprobs": BOOL,
    "top_logprobs": INT,
    "_debug_render_only": BOOL,
}
_DEBUG: Final = {"_debug_render_only": "debug_render_only"}

GENERATE: Final = Object(
    "GenerateRequest",
    GenerateRequest,
    {
        **_SHARED,
        "prompt": STRING,
        "suffix": STRING,
        "system": STRING,
        "template": STRING,
        "context": ListOf(INT),
        "raw": BOOL,
        "images": ListOf(IMAGE),
    },
    names=_DEBUG,
)


@dataclass(slots=True)
class ChatRequest:
    """POST /api/chat"""

    model: str = ""
    messages: list[Message] = field(default_factory=list[Message])
    tools: list[Tool] = field(default_factory=list[Tool])
    tool_choice: Any = None
    """As sent: a word, or an object that names a function."""
    parallel_tool_calls: bool = True
    stream: bool = True
    format: str = ""
    """JSON text as sent; empty when there is none."""
    grammar: str = ""
    """GBNF."""
    regex: str = ""
    keep_alive: float | None = None
    """Seconds; FOREVER."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    debug_render_only: bool = False


CHAT: Final = Object(
    "ChatRequest",
    ChatRequest,
    {**_SHARED, "messages": MESSAGES, "tools": TOOLS, "tool_choice": ANY, "parallel_tool_calls": BOOL},
    names=_DEBUG,
)


@dataclass(slots=True)
class EmbedRequest:
    """POST /api/embed"""

    model: str = ""
    input: Any = None
    """Whatever was sent; the handler accepts a string or a list of strings."""
    truncate: bool | None = None
    dimensions: int = 0
    keep_alive: float | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])


EMBED: Final = Object(
    "EmbedRequest",
    EmbedRequest,
    {
        "model": STRING,
        "input": ANY,
        "truncate": BOOL,
        "dimensions": INT,
        "keep_alive": Custom(KEEP_ALIVE),
        "options": OPTIONS,
    },
)


@dataclass(slots=True)
class EmbeddingsRequest:
    """POST /api/embeddings"""

    model: str = ""
    prompt: str = ""
    keep_alive: float | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])


EMBEDDINGS: Final = Object(
    "EmbeddingRequest",
    EmbeddingsRequest,
    {"model": STRING, "prompt": STRING, "keep_alive": Custom(KEEP_ALIVE), "options": OPTIONS},
)


@dataclass(slots=True)
class ShowRequest:
    """POST /api/show"""

    model: str = ""
    name: str = ""
    verbose: bool = False
    system: str = ""
    template: str = ""
    """Without effect."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])


SHOW: Final = Object(
    "ShowRequest",
    ShowRequest,
    {"model": STRING, "name": STRING, "verbose": BOOL, "system": STRING, "template": STRING, "options": OPTIONS},
)


@dataclass(slots=True)
class CreateRequest:
    """POST /api/create"""

    model: str = ""
    name: str = ""
    source: str = ""
    """`from`: the model to build on."""
    files: dict[str, str] | None = None
    """Digest by file name; an empty object differs from none."""
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str = ""
    license: Any = None
    """A string or a list of strings; anything else is refused later."""
    system: str = ""
    parameters: dict[str, Any] | None = None
    messages: list[Message] = field(default_factory=list[Message])
    quantize: str = ""
    quantization: str = ""
    draft_quantize: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    info: dict[str, Any] | None = None
    remote_host: str = ""
    stream: bool = True


CREATE: Final = Object(
    "CreateRequest",
    CreateRequest,
    {
        "model": STRING,
        "name": STRING,
        "from": STRING,
        "files": STRINGS,
        "adapters": STRINGS,
        "draft_files": STRINGS,
        "template": STRING,
        "license": ANY,
        "system": STRING,
        "parameters": OPTIONS,
        "messages": MESSAGES,
        "quantize": STRING,
        "quantization": STRING,
        "draft_quantize": STRING,
        "renderer": STRING,
        "parser": STRING,
        "requires": STRING,
        "info": OPTIONS,
        "remote_host": STRING,
        "stream": BOOL,
    },
    names={"from": "source"},
)


@dataclass(slots=True)
class CopyRequest:
    """POST /api/copy"""

    source: str = ""
    destination: str = ""


COPY: Final = Object("CopyRequest", CopyRequest, {"source": STRING, "destination": STRING})


@dataclass(slots=True)
class DeleteRequest:
    """DELETE /api/delete"""

    model: str = ""
    name: str = ""


DELETE: Final = Object("DeleteRequest", DeleteRequest, {"model": STRING, "name": STRING})


@dataclass(slots=True)
class PruneRequest:
    """POST /api/prune; the body may be left out."""

    dry_run: bool = False


PRUNE: Final = Object("PruneRequest", PruneRequest, {"dry_run": BOOL})


@dataclass(slots=True)
class TransferRequest:
    """POST /api/pull and POST /api/push"""

    model: str = ""
    name: str = ""
    insecure: bool = False
    stream: bool = True


_TRANSFER: Final = {"model": STRING, "name": STRING, "insecure": BOOL, "stream": BOOL}
PULL: Final = Object("PullRequest", TransferRequest, _TRANSFER)
PUSH: Final = Object("PushRequest", TransferRequest, _TRANSFER)
