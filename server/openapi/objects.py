"""Schemas of answers: every object with all members that it can have, and no others."""

from typing import Final

from server.gojson.walk import Schema
from server.openapi.requests import nullable, reference

STRING: Final[Schema] = {"type": "string"}
BOOL: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "format": "int64", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
FREE: Final[Schema] = {"type": "object"}
NANOSECONDS: Final[Schema] = {**COUNT, "description": "Nanoseconds."}


def array(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object; the members in `optional` are left out where they are empty."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


_CAPABILITIES: Final = ("completion", "tools", "insert", "vision", "embedding", "thinking", "image", "audio")
_NAMED: Final[dict[str, Schema]] = {"name": STRING, "model": STRING}
_REMOTE: Final[dict[str, Schema]] = {"remote_model": STRING, "remote_host": STRING}
_DETAILS: Final[dict[str, Schema]] = {
    "parent_model": STRING,
    "format": STRING,
    "family": STRING,
    "families": nullable(array(STRING)),
    "parameter_size": STRING,
    "quantization_level": STRING,
}
_METRICS: Final[dict[str, Schema]] = {
    "total_duration": NANOSECONDS,
    "load_duration": NANOSECONDS,
    "prompt_eval_count": COUNT,
    "prompt_eval_duration": NANOSECONDS,
    "eval_count": COUNT,
    "eval_duration": NANOSECONDS,
}
_LOADED: Final[dict[str, Schema]] = {"total_duration": NANOSECONDS, "load_duration": NANOSECONDS}
_TOKEN: Final[dict[str, Schema]] = {"token": STRING, "logprob": NUMBER}
_BYTES: Final[dict[str, Schema]] = {"bytes": array({"type": "integer", "minimum": 0, "maximum": 255})}
_LAST: Final[dict[str, Schema]] = {
    "done_reason": {"enum": ["stop", "length", "load", "unload"]},
    **_METRICS,
    "logprobs": array(reference("Logprob")),
    "truncated": reference("Truncated"),
    "_debug_info": reference("DebugInfo"),
    **_REMOTE,
}
_PROGRESS: Final[dict[str, Schema]] = {"digest": STRING, "total": COUNT, "completed": COUNT}

OBJECTS: Final[dict[str, Schema]] = {
    "Error": record({"error": STRING}),
    "VersionResponse": record({"version": STRING}),
    "StatusResponse": record(
        {"cloud": record({"disabled": BOOL, "source": {"enum": ["none", "env", "config", "both"]}})}
    ),
    "ModelDetails": record(_DETAILS, {"context_length": COUNT, "embedding_length": COUNT}),
    "ListedModel": record(
        {**_NAMED, "modified_at": TIME, "size": COUNT, "digest": STRING, "details": reference("ModelDetails")},
        {**_REMOTE, "capabilities": array(reference("Capability"))},
    ),
    "TagsResponse": record({"models": array(reference("ListedModel"))}),
    "LoadedModel": record(
        {
            **_NAMED,
            "size": COUNT,
            "digest": STRING,
            "details": reference("ModelDetails"),
            "expires_at": TIME,
            "size_vram": COUNT,
            "context_length": COUNT,
        },
    ),
    "PsResponse": record({"models": array(reference("LoadedModel"))}),
    "Capability": {"enum": list(_CAPABILITIES)},
    "Tensor": record({"name": STRING, "type": STRING, "shape": array(COUNT)}),
    "ShowResponse": record(
        {"details": reference("ModelDetails"), "model_info": FREE, "modified_at": TIME},
        {
            "license": STRING,
            "modelfile": STRING,
            "parameters": STRING,
            "template": STRING,
            "system": STRING,
            "messages": array(record({"role": STRING, "content": STRING})),
            **_REMOTE,
            "projector_info": FREE,
            "tensors": array(reference("Tensor")),
            "capabilities": array(reference("Capability")),
            "requires": STRING,
        },
    ),
    "ToolCallResult": record(
        {"function": record({"index": COUNT, "name": STRING, "arguments": FREE})},
        {"id": STRING},
    ),
    "TopLogprob": record(_TOKEN, _BYTES),
    "Logprob": record(_TOKEN, {**_BYTES, "top_logprobs": array(reference("TopLogprob"))}),
    "Truncated": record({"messages": COUNT, "tokens": COUNT}),
    "DebugInfo": record({"rendered_template": STRING}, {"image_count": COUNT}),
    "GenerateResponse": record(
        {"model": STRING, "created_at": TIME, "response": STRING, "done": BOOL},
        {
            "thinking": STRING,
            "context": array({"type": "integer"}),
            "tool_calls": array(reference("ToolCallResult")),
            **_LAST,
        },
    ),
    "AnswerMessage": record(
        {"role": {"enum": ["assistant", ""]}, "content": STRING},
        {"thinking": STRING, "tool_calls": array(reference("ToolCallResult"))},
    ),
    "ChatResponse": record(
        {"model": STRING, "created_at": TIME, "message": reference("AnswerMessage"), "done": BOOL}, _LAST
    ),
    "EmbedResponse": record(
        {"model": STRING, "embeddings": array(array(NUMBER))},
        {**_LOADED, "prompt_eval_count": COUNT},
    ),
    "EmbeddingResponse": record({"embedding": array(NUMBER)}),
    "TokenizeResponse": record({"model": STRING, "tokens": array(COUNT)}, _LOADED),
    "DetokenizeResponse": record({"model": STRING, "content": STRING}, _LOADED),
    "RerankResponse": record(
        {
            "model": STRING,
            "results": array(
                record(
                    {"index": COUNT, "relevance_score": {"type": "number", "minimum": 0, "maximum": 1}},
                    {"document": record({"text": STRING})},
                )
            ),
            "usage": record({"total_tokens": COUNT}),
        }
    ),
    "ProgressResponse": record({"status": STRING}, _PROGRESS),
    "Finding": record(
        {"status": STRING},
        {
            **_PROGRESS,
            "manifest": STRING,
            "size": COUNT,
            "models": array(STRING),
            "found": STRING,
            "reason": STRING,
            "read_only": BOOL,
            "blobs": COUNT,
            "damaged": COUNT,
            "unused": COUNT,
        },
    ),
    "PruneResponse": record(
        {
            "removed": array(record({"size": COUNT}, {"digest": STRING, "file": STRING})),
            "freed": COUNT,
            "dry_run": BOOL,
        }
    ),
    "RecommendationsResponse": record(
        {
            "recommendations": array(
                record(
                    {"model": STRING, "description": STRING},
                    {
                        "context_length": COUNT,
                        "max_output_tokens": COUNT,
                        "vram_bytes": COUNT,
                        "required_plan": STRING,
                    },
                )
            )
        }
    ),
}
