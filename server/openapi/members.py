"""Members of requests: what their handlers ask of those that decode to anything, and a line about each."""

from typing import Final

from modelstore.options import OPTIONS, Kind, Option
from server.gojson.walk import Schema

_KINDS: Final[dict[Kind, Schema]] = {
    Kind.INT: {"type": ["number", "null"]},
    Kind.FLOAT: {"type": ["number", "null"]},
    Kind.BOOL: {"type": ["boolean", "null"]},
    Kind.STRINGS: {"type": ["array", "null"], "items": {"type": "string"}},
    Kind.NUMBERS: {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
}


def _option(option: Option) -> Schema:
    schema: Schema = {"deprecated": True} if option.deprecated else dict(_KINDS[option.kind])
    default = {} if option.default is None else {"default": option.default}
    return {**schema, **default, "description": option.help}


_STRING_OR_STRINGS: Final[Schema] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]
}
_NAMED_FUNCTION: Final[Schema] = {
    "type": "object",
    "required": ["function"],
    "properties": {
        "type": {"const": "function"},
        "function": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    },
}
_TEXT_MEMBER: Final[Schema] = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
COMPONENTS: Final[dict[str, Schema]] = {
    "Options": {
        "type": ["object", "null"],
        "properties": {name: _option(option) for name, option in OPTIONS.items()},
    },
}
_NARROWER: Final[dict[str, Schema]] = {
    "format": {"anyOf": [{"enum": ["json", "", None]}, {"type": "object"}]},
    "tool_choice": {"anyOf": [{"enum": ["auto", "none", "required", "any", None]}, _NAMED_FUNCTION]},
    "EmbedRequest.input": _STRING_OR_STRINGS,
    "CreateRequest.license": _STRING_OR_STRINGS,
    "RerankRequest.documents": {"type": "array", "items": {"anyOf": [{"type": "string"}, _TEXT_MEMBER]}},
    "options": {"$ref": "#/components/schemas/Options"},
}
_REQUIRED: Final = {
    **dict.fromkeys(("GenerateRequest", "ChatRequest", "EmbedRequest", "EmbeddingRequest"), ("model",)),
    **dict.fromkeys(("TokenizeRequest", "DetokenizeRequest"), ("model",)),
    "RerankRequest": ("model", "query", "documents"),
    "CopyRequest": ("source", "destination"),
}
"""Members without which a request is always refused, by component; `model` may be called `name` in the others."""

_OTHER_NAME: Final = "Older spelling of `model`; counts where that is empty."
_TEXTS: Final[dict[str, str]] = {
    "model": "Name of the model, `[[host/]namespace/]model[:tag]`.",
    "name": _OTHER_NAME,
    "stream": "Whether the answer comes line by line; true where it is left out.",
    "keep_alive": "How long the model stays loaded afterwards: seconds, or a text such as `5m`; negative is for ever.",
    "options": "Options of the model; names that are not listed are ignored.",
    "format": '`"json"`, or a JSON Schema that the answer has to follow.',
    "think": "Whether the model reasons first, and how hard.",
    "truncate": "Whether what does not fit into the context is cut off; true where it is left out.",
    "shift": "Whether a full context drops its oldest part and goes on; true where it is left out.",
    "logprobs": "Whether tokens come with their log-probabilities.",
    "grammar": "A grammar that the answer has to follow, in GBNF.",
    "regex": "A regular expression that the answer has to match.",
    "top_logprobs": "How many alternatives of each token to tell, 0 to 20.",
    "_debug_render_only": "Answer with the prompt instead of using it.",
    "insecure": "Use plain HTTP.",
    "GenerateRequest.prompt": "Without one, the model is only loaded, or unloaded where `keep_alive` is 0.",
    "GenerateRequest.suffix": "What follows the text to be written, for models that can fill in the middle.",
    "GenerateRequest.system": "Replaces the model's system message.",
    "GenerateRequest.template": "Replaces the model's template; in the language of Go's text/template.",
    "GenerateRequest.context": "The `context` of an earlier answer, to go on from.",
    "GenerateRequest.raw": "Whether the prompt is taken as it is, without a template.",
    "GenerateRequest.images": "Pictures in base64.",
    "ChatRequest.messages": "Without any, the model is only loaded, or unloaded where `keep_alive` is 0.",
    "ChatRequest.tools": "Functions that the model may call.",
    "ChatRequest.tool_choice": "Which of the tools must or may be called.",
    "ChatRequest.parallel_tool_calls": "Whether there may be more than one call; true where it is left out.",
    "EmbedRequest.input": "One text or several; a vector for each.",
    "EmbedRequest.dimensions": "Length to which vectors are cut, if it is less than theirs.",
    "TokenizeRequest.prompt": "The text; no template is put around it.",
    "TokenizeRequest.add_special": "Whether the tokenizer adds what it puts around a text; true where it is left out.",
    "RerankRequest.documents": "What is to be ranked.",
    "RerankRequest.top_n": "How many results to return, best first; 0: all.",
    "RerankRequest.return_documents": "Whether the results repeat the documents.",
    "ShowRequest.verbose": "Whether long lists of the metadata are told, too.",
    "ShowRequest.template": "Without effect.",
    "CreateRequest.from": "The model to build on.",
    "CreateRequest.files": "Digests of uploaded blobs by file name.",
    "CreateRequest.adapters": "Digests of uploaded adapters by file name.",
    "CreateRequest.draft_files": "Digests of an uploaded draft model by file name.",
    "CreateRequest.quantize": "Type that the weights are to have.",
    "CreateRequest.quantization": "Older spelling of `quantize`.",
    "PruneRequest.dry_run": "Whether only to tell what would be removed.",
}
STATED: Final = frozenset(
    {*_NARROWER, *_TEXTS, *(f"{name}.{member}" for name, all in _REQUIRED.items() for member in all)}
)
"""All that this module speaks of: a member, or the member of one component."""


def narrower(component: str, member: str) -> Schema:
    """Keywords for a member of which the decoder knows less than its handler."""
    return _NARROWER.get(f"{component}.{member}", _NARROWER.get(member, {}))


def required(component: str) -> Schema:
    """The keyword `required`, if there is something for it."""
    return {"required": list(_REQUIRED[component])} if component in _REQUIRED else {}


def text(component: str, member: str) -> str:
    """What the member is for; empty if its name says so."""
    return _TEXTS.get(f"{component}.{member}", _TEXTS.get(member, ""))
