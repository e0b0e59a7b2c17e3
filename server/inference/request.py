"""What a dialect asks for, whichever words it uses."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from scheduler.frames import Constraint
from server.messages import Message, Tool

Think: TypeAlias = bool | Literal["low", "medium", "high", "max"]


@dataclass(frozen=True, slots=True)
class Named:
    """The one tool that must be called."""

    tool: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | Named


@dataclass(slots=True, kw_only=True)
class TextRequest:
    """A wish for text: a conversation to continue, or a prompt to complete."""

    model: str
    """As sent; answers repeat it to the letter."""
    format: str = ""
    """JSON text: `"json"`, a JSON Schema, or empty."""
    grammar: Constraint | None = None
    """What the text must conform to in place of a format."""
    keep_alive: float | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    think: Think | None = None
    truncate: bool = True
    shift: bool | None = None
    logprobs: int | None = None
    """None: none; n: with the n best alternatives."""
    render_only: bool = False
    """Return the prompt instead of an answer."""


@dataclass(slots=True, kw_only=True)
class ChatRequest(TextRequest):
    """Continue a conversation."""

    messages: list[Message] = field(default_factory=list[Message])
    tools: list[Tool] = field(default_factory=list[Tool])
    tool_choice: ToolChoice = "auto"
    """Whether tools must be called; with "none" the request is one without tools."""
    parallel_tool_calls: bool = True
    """Whether an answer may hold more than one call."""

    def __post_init__(self) -> None:
        if self.tool_choice == "none":
            self.tools = []


@dataclass(slots=True, kw_only=True)
class CompletionRequest(TextRequest):
    """Complete a prompt, wrapped in the model's template unless `raw`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[int] | None = None
    """Tokens of an earlier exchange to put in front; an empty list counts as given."""
    raw: bool = False
    images: list[bytes] = field(default_factory=list[bytes])
