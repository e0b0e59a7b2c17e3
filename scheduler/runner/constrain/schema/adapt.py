"""A schema as the compiler can enforce most of it: what it does not know is said in words that it does, or named."""

from decimal import Decimal
from typing import Any, Final, cast

from scheduler.runner.constrain.schema.disjoint import exclusive
from scheduler.runner.constrain.schema.formats import COMPILED, PATTERNS, SAME_AS
from scheduler.runner.constrain.schema.patterns import split
from scheduler.runner.constrain.schema.places import BY_NAME, LISTS, SINGLE
from scheduler.runner.constrain.schema.references import Document

_UNENFORCED: Final = frozenset({
    "$dynamicRef", "$recursiveRef", "contains", "dependencies", "dependentRequired", "dependentSchemas", "else", "if",
    "maxContains", "minContains", "then",
})  # fmt: skip
_SILENT: Final = frozenset({"$schema", "x-guidance", "$id", "id", "$anchor"})
"""Words to the reader of a schema: which draft it follows, options of the compiler that are not the client's to set,
names that references have been freed from."""
_COUNTS: Final = frozenset({"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"})
_MAX_FACTOR: Final = 5_000
"""Of `multipleOf`, its point left out: the automaton that counts has as many states."""
_MANY: Final = 1_000_000_000
"""No answer has so many letters, items or properties: a limit above it limits nothing."""


class Adapter:
    """`ignored` collects the keywords that the result does not enforce, or not in full."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.ignored: set[str] = set()

    def adapt(self, schema: Any) -> Any:
        """A new schema; the old one stays as it is."""
        if not isinstance(schema, dict):
            return schema
        members = cast("dict[str, Any]", schema)
        if members.get("not") is True or members.get("not") == {}:
            return False
        found = {key: self._member(key, value) for key, value in members.items() if key not in _SILENT}
        self._name_unenforced(found)
        _tidy_counts(found)
        if isinstance(found.get("required"), bool):
            del found["required"]
            self.ignored.add("required")
        if _digits(found.get("multipleOf", 1)) > _MAX_FACTOR:
            del found["multipleOf"]
            self.ignored.add("multipleOf")
        self._adapt_text(found)
        self._adapt_names(found)
        self._check_property_counts(found)
        return found

    def _member(self, key: str, value: Any) -> Any:
        if key in BY_NAME and isinstance(value, dict):
            return {name: self.adapt(part) for name, part in cast("dict[str, Any]", value).items()}
        if (key in LISTS or key == "items") and isinstance(value, list):
            return [self.adapt(part) for part in cast("list[Any]", value)]
        return self.adapt(value) if key in SINGLE else value

    def _name_unenforced(self, members: dict[str, Any]) -> None:
        self.ignored.update(_UNENFORCED & members.keys())
        if members.get("not", False) is not False:
            self.ignored.add("not")
        if members.get("uniqueItems") is True:
            self.ignored.add("uniqueItems")
        for key, others in (("unevaluatedItems", "items"), ("unevaluatedProperties", "additionalProperties")):
            if members.get(key, True) is not True and members.get(others, True) is not False:
                self.ignored.add(key)
        options = members.get("oneOf")
        if isinstance(options, list) and not exclusive(cast("list[Any]", options), self._document.target):
            self.ignored.add("oneOf")  # at least one will match, perhaps more

    # -- texts

    def _adapt_text(self, members: dict[str, Any]) -> None:
        every: list[str] = []
        if isinstance(pattern := members.get("pattern"), str):
            every, dropped = split(pattern)
            if dropped:
                self.ignored.add("pattern")
        name = members.get("format")
        if isinstance(name, str):
            name = SAME_AS.get(name, name)
            if name in PATTERNS and not every:
                every.append(PATTERNS[name])
                del members["format"]
            elif name in COMPILED:
                members["format"] = name
            else:
                del members["format"]
                if _may_be_text(members):
                    self.ignored.add(f"format {name}")
        if every:
            members["pattern"] = every[0]
        if len(every) > 1:
            more = [{"pattern": one} for one in every[1:]]
            members["allOf"] = [*members.get("allOf", []), *more]

    # -- objects

    def _adapt_names(self, members: dict[str, Any]) -> None:
        """`propertyNames` as properties where it lists the names, as a pattern where it describes them."""
        if (demanded := members.pop("propertyNames", True)) in (True, {}):
            return
        names = self._document.target(demanded)
        value = members.get("additionalProperties", True)
        if not isinstance(names, dict) or "properties" in members or "patternProperties" in members:
            self.ignored.add("propertyNames")
            return
        names = cast("dict[str, Any]", self.adapt(names))
        listed: list[Any] = names.get("enum", [names["const"]] if "const" in names else [])
        if listed:
            members["properties"] = {name: value for name in listed if isinstance(name, str)}
        elif pattern := _name_pattern(names):
            members["patternProperties"] = {pattern: value}
        else:
            self.ignored.add("propertyNames")
            return
        members["additionalProperties"] = False

    def _check_property_counts(self, members: dict[str, Any]) -> None:
        least, most = members.get("minProperties", 0), members.get("maxProperties")
        if not least and most is None:
            return
        required = set(cast("list[str]", members.get("required", [])))
        optional = members.get("properties", {}).keys() - required
        one = least <= 1 and most in (None, 1) and members.get("additionalProperties", True) is False
        if optional and not (one and "patternProperties" not in members):
            for key in ("minProperties", "maxProperties"):
                if members.pop(key, None) is not None:
                    self.ignored.add(key)
        elif least > max(len(required), 1):
            self.ignored.add("minProperties")  # nothing stops a text from saying the same name twice


def _tidy_counts(members: dict[str, Any]) -> None:
    """The compiler takes whole numbers without a point, of 32 bits."""
    for key in _COUNTS & members.keys():
        members[key] = min(int(members[key]), _MANY)
        if key.startswith("max") and members[key] == _MANY:
            del members[key]


def _digits(number: float) -> int:
    """A number without its point and the zeros at its ends."""
    return int("".join(map(str, Decimal(repr(number)).normalize().as_tuple().digits)))


def _may_be_text(members: dict[str, Any]) -> bool:
    kinds = members.get("type", "string")
    return "string" in cast("list[Any]", kinds) if isinstance(kinds, list) else kinds == "string"


def _name_pattern(names: dict[str, Any]) -> str:
    """One pattern for the names of properties; empty if it takes more to say."""
    if "allOf" in names or names.keys() & {"anyOf", "oneOf", "$ref", "format", "not"}:
        return ""
    bounds = names.keys() & {"minLength", "maxLength"}
    if "pattern" in names:
        return "" if bounds else names["pattern"]
    most = names.get("maxLength", "")
    return f"^(?s:.{{{names.get('minLength', 0)},{most}}})$" if bounds else ""
