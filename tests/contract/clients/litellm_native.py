"""LiteLLM's Ollama providers against the daemon at argv[1]; prints what it got as JSON."""

import json
import sys
from typing import Any

import litellm

base = sys.argv[1]
said: dict[str, Any] = {}
hello = [{"role": "user", "content": "Hello!"}]
shared: dict[str, Any] = {"api_base": base, "temperature": 0, "reasoning_effort": "disable"}
tools = [
    {
        "type": "function",
        "function": {
            "name": "get_temperature",
            "description": "Get the temperature in a city.",
            "parameters": {
                "type": "object",
                "required": ["city"],
                "properties": {"city": {"type": "string", "description": "The city"}},
            },
        },
    }
]

said["chat"] = litellm.completion(model="ollama_chat/tinychat", messages=hello, **shared).choices[0].message.content
pieces = litellm.completion(model="ollama_chat/tinychat", messages=hello, stream=True, **shared)
said["streamed"] = "".join(piece.choices[0].delta.content or "" for piece in pieces)
question = [{"role": "user", "content": "What is the temperature in Paris?"}]
asked = litellm.completion(model="ollama_chat/tinychat", messages=question, tools=tools, **shared).choices[0]
call = asked.message.tool_calls[0].function
said["call"] = {"name": call.name, "args": json.loads(call.arguments)}
said["completed"] = litellm.completion(model="ollama/tinychat", messages=hello, **shared).choices[0].message.content
vectors = litellm.embedding(model="ollama/tinychat", input=["a", "b"], api_base=base)
said["vectors"] = [len(one["embedding"]) for one in vectors.data]
print(json.dumps(said))
