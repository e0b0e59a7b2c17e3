"""`$ref`: finding what it points to, and writing it so that the compiler finds it too.

The compiler knows references from the root of the document only (`#/$defs/name`), and takes their steps literally.
Whatever else leads somewhere within the document (escaped names, anchors, the document's own `$id`, places that hold no
schema by themselves) gets a definition of its own.
"""

from typing import Any, Final, cast
from urllib.parse import unquote

from scheduler.runner.constrain.schema.errors import Place, SchemaError
from scheduler.runner.constrain.schema.places import BY_NAME, everywhere

MOST_CHAINED: Final = 500
"""Definitions that may stand in a row, each used by the one before it."""
_MISSING: Final = object()


class Document:
    """A schema whose references can be followed. Changes it: `direct` rewrites references and adds definitions."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self._names: dict[str, Any] | None = None
        self._moved: dict[str, str] = {}

    def direct(self) -> None:
        """Make every reference one that the compiler can follow.

        Raises `SchemaError` for one that leads nowhere, or only back to itself.
        """
        waiting: list[tuple[Place, dict[str, Any]]] = list(everywhere(self.root))
        while waiting:
            place, members = waiting.pop()
            reference = members.get("$ref")
            if not isinstance(reference, str):
                continue
            target = self._find(reference)
            if not isinstance(target, dict | bool):
                raise SchemaError((*place, "$ref"), f"{reference!r} leads nowhere within this schema")
            if self._is_plain(reference):
                continue
            if reference not in self._moved:
                self._moved[reference] = self._define(target)
                waiting.extend(everywhere(target, (*place, "$ref")))
            members["$ref"] = self._moved[reference]
        self._check_chains()
        self._check_circles()

    def target(self, schema: Any) -> Any:
        """The schema itself, or what it refers to if it does nothing else."""
        for _ in range(64):
            if not isinstance(schema, dict):
                break
            reference = cast("dict[str, Any]", schema).get("$ref")
            if not isinstance(reference, str):
                break
            schema = self._find(reference)
        return cast(Any, schema)

    def _check_chains(self) -> None:
        """Raises `SchemaError` where definitions use definitions that use definitions …: compilers follow them with a
        call each, and run out of stack."""
        lengths: dict[str, int] = {}
        for place, members in everywhere(self.root):
            reference = members.get("$ref")
            if isinstance(reference, str) and self._chain(reference, lengths) > MOST_CHAINED:
                raise SchemaError((*place, "$ref"), f"definitions use each other more than {MOST_CHAINED} deep")

    def _chain(self, reference: str, lengths: dict[str, int]) -> int:
        """Definitions one after the other from a reference on; one that is met again on the way does not count."""
        waiting: list[tuple[str, list[str]]] = [(reference, self._uses(reference))] if reference not in lengths else []
        lengths.setdefault(reference, 1)
        while waiting:
            current, uses = waiting[-1]
            if uses:
                following = uses.pop()
                if following not in lengths:
                    lengths[following] = 1
                    waiting.append((following, self._uses(following)))
                lengths[current] = max(lengths[current], lengths[following] + 1)
                continue
            waiting.pop()
            if waiting:
                above = waiting[-1][0]
                lengths[above] = max(lengths[above], lengths[current] + 1)
        return lengths[reference]

    def _uses(self, reference: str) -> list[str]:
        target = self._find(reference)
        if not isinstance(target, dict):
            return []
        found = (members.get("$ref") for _, members in everywhere(cast("dict[str, Any]", target)))
        return [one for one in found if isinstance(one, str)]

    def _check_circles(self) -> None:
        for place, members in everywhere(self.root):
            seen: set[str] = set()
            schema: Any = members
            while isinstance(schema, dict):
                reference = cast("dict[str, Any]", schema).get("$ref")
                if not isinstance(reference, str):
                    break
                if reference in seen:
                    raise SchemaError((*place, "$ref"), f"{reference!r} leads back to itself")
                seen.add(reference)
                schema = self._find(reference)

    def _define(self, target: Any) -> str:
        definitions = self.root.setdefault("$defs", {})
        name = next(f"moved-{n}" for n in range(len(definitions) + 1) if f"moved-{n}" not in definitions)
        definitions[name] = target
        return f"#/$defs/{name}"

    def _find(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return self._named(reference)
        if reference in ("#", "#/"):
            return self.root
        if not reference.startswith("#/"):
            return self._named(reference)
        return _walk(self.root, _steps(reference))

    def _named(self, reference: str) -> Any:
        """By `$id` or `$anchor`, with or without a pointer behind it."""
        if self._names is None:
            self._names = {}
            for _, members in everywhere(self.root):
                if isinstance(name := members.get("$id", members.get("id")), str):
                    self._names.setdefault(name.removesuffix("#"), members)
                if isinstance(anchor := members.get("$anchor"), str):
                    self._names.setdefault(f"#{anchor}", members)
        base, hash, rest = reference.partition("#")
        if reference in self._names:
            return self._names[reference]
        if base not in self._names:
            return _MISSING
        return _walk(self._names[base], _steps(f"#{rest}")) if hash and rest else self._names[base]

    def _is_plain(self, reference: str) -> bool:
        """Whether the compiler finds the same, and what stands there will have been prepared like the rest."""
        if not reference.startswith("#/") or "~" in reference or "%" in reference:
            return reference == "#"
        schema: Any = self.root
        steps = reference[2:].split("/")
        while steps:
            keyword, *steps = steps
            if not isinstance(schema, dict) or keyword not in _LASTING:
                return False
            schema = cast("dict[str, Any]", schema)[keyword]
            if keyword in BY_NAME or isinstance(schema, list):
                if not steps:
                    return False
                schema, steps = _walk(schema, steps[:1]), steps[1:]
        return True


_LASTING: Final = frozenset({
    "$defs", "allOf", "anyOf", "definitions", "items", "oneOf", "patternProperties", "prefixItems", "properties",
})  # fmt: skip
"""Keywords that a schema keeps when it is adapted."""


def _steps(reference: str) -> list[str]:
    return [unquote(step).replace("~1", "/").replace("~0", "~") for step in reference.removeprefix("#/").split("/")]


def _walk(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = cast("dict[str, Any]", value)[step]
        elif isinstance(value, list) and step in map(str, range(len(cast("list[Any]", value)))):
            value = cast("list[Any]", value)[int(step)]
        else:
            return _MISSING
    return value
