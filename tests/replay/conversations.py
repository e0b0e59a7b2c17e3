"""Conversations of every kind that a renderer may meet, made up from a number.

The same number gives the same conversation on any machine: only `random.Random(text)` decides.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one dot, in base64."""

_TEXTS: Final = (
    "Hello", "What is the weather in Paris?", "Zwölf Boxkämpfer & <b>Größe</b> > 5", "日本語のテキスト 🎉", "The end.",
    "line one\nline two\n", "  blanks around  ", "\n\nbreaks around\n\n", "tab\there, null, True", "x",
    "a \"quoted\" word, a 'single' one, a back\\slash", "{\"json\": [1, 2, 3]}", "café\u00a0au lait \u2028 separated",
)  # fmt: skip
_SYSTEMS: Final = ("Be brief.", "  You are <helpful> & kind.\n", "Second: no lies.", "", "Use reasoning effort high.")
_THOUGHTS: Final = ("Need tool.", "\nFirst this,\nthen that.\n", "  hm <b> & so  ", "思考")
_ANSWERS: Final = (
    "Checking.", "", "The answer is 42.", "\n\nSo.", " It is <sunny> & 22°C ", "Two\n\nparagraphs.",
    "<think>\nold thought\n</think>\n\nOld answer.", "half</think>\n\nwhole", "<think></think>\n\nNothing thought.",
)  # fmt: skip
_RESULTS: Final = (
    "22C", "", "{\"temperature\": 22.5, \"sky\": \"<clear> & bright\"}", "line\nline", " error: not found ", "結果",
    "[1, 2]",
)  # fmt: skip
_NAMES: Final = ("get_weather", "search", "math.add", "send-mail", "lookup_Straße", "read_file")
_KEYS: Final = ("city", "days", "b", "a", "options", "Zeta", "with space", "größe", "type", "properties", "required")
_STRINGS: Final = ("Paris", "", "New York & <Lyon>", 'say "hi"', "two\nlines", "naïve ☃", "null", "12", " padded ")
_NUMBERS: Final = (
    0, 1, -5, 2, 1000000, 123456789, 2**53 + 1, 10**21, 0.1, 1.5, -2.75, 1e-7, 3.0, 1e6, 1234567.125, 1e30
)  # fmt: skip
_TYPES: Final = ("string", "number", "integer", "boolean", "array", "object")
_UNIONS: Final = (["string", "null"], ["integer", "string"], ["array", "object", "null"], ["boolean"])


def conversation(number: int) -> Json:
    """Members `messages` and, where it has some, `tools` of a chat request. Even numbers give short ones."""
    return _Writer(random.Random(f"conversation {number}"), short=number % 2 == 0).conversation()


def think(number: int, renderer: str) -> bool | str | None:
    """What a renderer is asked for beside a conversation; None: nothing."""
    given = random.Random(f"think {number} {renderer}")
    return given.choice((None, None, None, True, True, True, False, False, False, "low", "medium", "high", "max"))


class _Writer:
    """Rolls the dice."""

    def __init__(self, dice: random.Random, *, short: bool) -> None:
        self._dice = dice
        self._short = short
        self._calls = 0
        self._tools: list[Json] = []

    def conversation(self) -> Json:
        if self._often(0.6):
            self._tools = [self._tool(name) for name in self._dice.sample(_NAMES, self._dice.randint(1, 3))]
        messages = self._beginning()
        for _ in range(self._dice.choice((0, 0, 1) if self._short else (1, 1, 2, 2, 3))):
            messages += self._round()
        messages += self._end()
        return {"messages": messages} | ({"tools": self._tools} if self._tools else {})

    # -- turns ---------------------------------------------------------------------------------------------------

    def _beginning(self) -> list[Json]:
        nothing, system = (), ("system",)
        kinds = self._dice.choice(
            (nothing, system, system, nothing, ("system", "system"), ("developer",), ("assistant",))
        )
        return [{"role": kind, "content": self._dice.choice(_SYSTEMS)} for kind in kinds]

    def _round(self) -> list[Json]:
        """A question, what the model did about it, its answer."""
        turns = [self._user()]
        if self._often(0.08):
            turns.append(self._user())
        for _ in range(self._dice.choice((0, 0, 1, 1, 2))):
            turns += self._called()
        turns.append(self._answer())
        if self._often(0.2):
            turns.append({"role": self._dice.choice(("system", "system", "developer", "critic", "Function")),
                          "content": self._dice.choice(_SYSTEMS)})  # fmt: skip
        return turns

    def _end(self) -> list[Json]:
        kind = self._dice.choice((*("user", "tool") * 3, "prefill", "call", "thoughts"))
        if kind == "user":
            return [self._user()]
        if kind == "tool":
            return [self._user(), *self._called()]
        if kind == "prefill":
            return [self._user(), self._answer()]
        if kind == "call":
            return [self._user(), self._called()[0]]
        return [self._user(), {"role": "assistant", "content": "", "thinking": self._dice.choice(_THOUGHTS)}]

    def _user(self) -> Json:
        message: Json = {"role": "User" if self._often(0.05) else "user", "content": self._dice.choice(_TEXTS)}
        if self._often(0.06):
            message["content"] = f"<tool_response>\n{message['content']}\n</tool_response>"
        if self._often(0.05):
            message["content"] += self._dice.choice((" /think", " /no_think", " /nothink"))
        if self._often(0.2):
            message["images"] = [PIXEL] * self._dice.choice((1, 1, 2))
            message["content"] = self._dice.choice(
                (message["content"], "", "look [img] and tell", "[img][img] both", "[img-0] is mine", "\nbelow")
            )
        return message

    def _answer(self) -> Json:
        message: Json = {"role": "assistant", "content": self._dice.choice(_ANSWERS)}
        if self._often(0.4):
            message["thinking"] = self._dice.choice(_THOUGHTS)
        return message

    def _called(self) -> list[Json]:
        """An answer with calls, and their results."""
        names = [self._dice.choice(_NAMES) for _ in range(self._dice.choice((1, 1, 1, 2, 3)))]
        calls: list[Json] = []
        for name in names:
            self._calls += 1
            function: Json = {"name": name, "arguments": self._arguments()}
            calls.append(({"id": f"call_{self._calls}"} if self._often(0.7) else {}) | {"function": function})
        results = [self._result(call) for call in calls]
        if self._often(0.2):
            results.reverse()
        return [self._answer() | {"tool_calls": calls}, *(results if self._often(0.9) else results[1:])]

    def _result(self, call: Json) -> Json:
        message: Json = {"role": "tool", "content": self._dice.choice(_RESULTS)}
        if self._often(0.6):
            message["tool_name"] = call["function"]["name"]
        if "id" in call and self._often(0.8):
            message["tool_call_id"] = call["id"]
        return message

    def _arguments(self) -> Json:
        count = self._dice.choice((0, 1, 1, 2, 3))
        return {key: self._value(2) for key in self._dice.sample(_KEYS, count)}

    def _value(self, depth: int) -> Any:
        kinds = ("string", "string", "number", "number", "truth", "null", *(("list", "object") if depth else ()))
        match self._dice.choice(kinds):
            case "string":
                return self._dice.choice(_STRINGS)
            case "number":
                return self._dice.choice(_NUMBERS)
            case "truth":
                return self._often(0.5)
            case "list":
                return [self._value(depth - 1) for _ in range(self._dice.randint(0, 3))]
            case "object":
                keys = self._dice.sample(_KEYS, self._dice.randint(0, 3))
                return {key: self._value(depth - 1) for key in keys}
            case _:
                return None

    # -- tools ---------------------------------------------------------------------------------------------------

    def _tool(self, name: str) -> Json:
        function: Json = {"name": name}
        if self._often(0.85):
            function["description"] = self._dice.choice(_TEXTS)
        if self._often(0.92):
            function["parameters"] = self._parameters()
        return {"type": "function", "function": function} | ({"items": {"b": 1, "a": "<"}} if self._often(0.04) else {})

    def _parameters(self) -> Json:
        parameters: Json = {"type": "object"}
        if self._often(0.1):
            parameters["$defs"] = {"z": {"type": "string"}, "a": {"enum": ["<", 1.5]}}
        if self._often(0.05):
            parameters["items"] = {"type": "string"}
        return parameters | self._members(2)

    def _members(self, depth: int) -> Json:
        """Properties, and which are required."""
        if self._often(0.05):
            return {}
        keys = self._dice.sample(_KEYS, self._dice.randint(0, 4))
        members: Json = {"properties": {key: self._property(depth) for key in keys}}
        if keys and self._often(0.7):
            members["required"] = self._dice.sample(keys, self._dice.randint(1, len(keys)))
        return members

    def _property(self, depth: int) -> Json:
        given: Json = {}
        kind: str | Sequence[str] = self._dice.choice(_TYPES if self._often(0.85) else _UNIONS)
        if self._often(0.1):
            given["anyOf"] = [self._branch() for _ in range(2)]
        elif self._often(0.96):
            given["type"] = kind
        if self._often(0.6):
            given["description"] = self._dice.choice(_TEXTS)
        if kind == "array":
            given["items"] = self._items(depth)
        if kind == "object" and depth and self._often(0.8):
            given |= self._members(depth - 1)
        if kind in ("string", "integer") and self._often(0.3):
            given["enum"] = self._enum(kind)
        return given

    def _branch(self) -> Json:
        branch: Json = {"type": self._dice.choice(("string", "integer", "null", ["number", "boolean"]))}
        return branch | ({"description": "one & only"} if self._often(0.3) else {})

    def _items(self, depth: int) -> Json:
        if depth and self._often(0.4):
            return {"type": "object"} | self._members(depth - 1)
        items: Json = {"type": self._dice.choice(("string", "number", ["string", "null"]))}
        return items | ({"enum": ["b", "a"]} if self._often(0.3) else {})

    def _enum(self, kind: str | Sequence[str]) -> list[Any]:
        return ["celsius", "<f>", "ü & ö"] if kind == "string" else [1, 2.5, 1000000]

    def _often(self, share: float) -> bool:
        return self._dice.random() < share


def features(given: Mapping[str, Any]) -> set[str]:
    """What a conversation has: for seeing that none is missing."""
    messages: list[Json] = given["messages"]
    found = {f"role {message['role'].lower()}" for message in messages} | {f"ends with {messages[-1]['role'].lower()}"}
    found |= {member for message in messages for member in message if member not in ("role", "content")}
    found |= {"parallel calls" for message in messages if len(message.get("tool_calls", ())) > 1}
    return found | ({"tools"} if "tools" in given else set())
