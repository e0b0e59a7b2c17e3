"""The conversation of the reference's examples (spec: prompting §7.1)."""

from server.messages import Message, Parameters, Property, Tool, ToolCall

WEATHER = Tool(
    type="function",
    name="get_weather",
    description="Get weather",
    parameters=Parameters(
        type="object",
        required=["city"],
        properties={
            "city": Property(type=["string"], description="City name"),
            "days": Property(type=["integer"]),
        },
    ),
)
CALL = ToolCall("get_weather", {"city": "Paris", "days": 2}, "call_1")
EXAMPLE = [
    Message("system", "Be brief."),
    Message("user", "Weather in Paris?"),
    Message("assistant", "Checking.", "Need tool.", tool_calls=[CALL]),
    Message("tool", "22C", tool_name="get_weather", tool_call_id="call_1"),
]
