"""LangChain's Ollama integration against the daemon at argv[1]; prints what it got as JSON."""

import json
import sys
from typing import Any, Literal

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from pydantic import BaseModel

base = sys.argv[1]
said: dict[str, Any] = {}


@tool
def get_temperature(city: str) -> str:
    """Get the temperature in a city."""
    return json.dumps({"temperature": len(city) + 10})


class Person(BaseModel):
    """Who is spoken of."""

    name: Literal["Zoe", "Tom"]
    age: int


chat = ChatOllama(model="tinychat", base_url=base, temperature=0, reasoning=False)
said["chat"] = chat.invoke("Hello!").content
said["streamed"] = "".join(str(piece.content) for piece in chat.stream("Hello!"))
thinker = ChatOllama(model="tinychat", base_url=base, temperature=0, reasoning=True)
said["reasoning"] = thinker.invoke("What is 27 + 45?").additional_kwargs.get("reasoning_content")

question = HumanMessage("What is the temperature in Paris?")
asked = chat.bind_tools([get_temperature]).invoke([question])
call = asked.tool_calls[0]
said["call"] = {"name": call["name"], "args": call["args"]}
result = ToolMessage(get_temperature.invoke(call["args"]), tool_call_id=call["id"])
said["answered"] = chat.bind_tools([get_temperature]).invoke([question, asked, result]).content

structured = chat.with_structured_output(Person, method="json_schema")
said["person"] = structured.invoke("Zoe is 31 years old. Answer in JSON.").model_dump()
said["completed"] = OllamaLLM(model="tinychat", base_url=base, temperature=0, reasoning=False).invoke("Hello!")
said["vectors"] = [len(one) for one in OllamaEmbeddings(model="tinychat", base_url=base).embed_documents(["a", "b"])]
said["usage"] = asked.usage_metadata
print(json.dumps(said))
