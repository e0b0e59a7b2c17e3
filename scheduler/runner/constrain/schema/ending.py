"""Whether a text that follows a schema can come to an end: a list that must hold itself never does."""

from typing import Any, cast

from scheduler.runner.constrain.schema.places import everywhere


def endless(root: Any) -> bool:
    """Whether every text that fits goes on for ever. References lead from the root, and lead somewhere."""
    if not isinstance(root, dict):
        return False
    targets: dict[str, Any] = {"#": root}
    for _, members in everywhere(root):
        if isinstance(reference := members.get("$ref"), str):
            targets[reference] = _target(root, reference)
    ending: set[str] = set()
    while True:
        more = {reference for reference in targets.keys() - ending if _ends(targets[reference], ending)}
        if not more:
            return "#" not in ending
        ending |= more


def _target(root: Any, reference: str) -> Any:
    value: Any = root
    for step in reference.split("/")[1:]:
        value = cast(Any, value[int(step)] if isinstance(value, list) else value[step])
    return value


def _ends(schema: Any, ending: set[str]) -> bool:
    """`ending`: references known to lead to an end."""
    if not isinstance(schema, dict):
        return True  # what nothing matches is another fault
    members = cast("dict[str, Any]", schema)
    if "$ref" in members and members["$ref"] not in ending:
        return False
    if not all(_ends(part, ending) for part in members.get("allOf", [])):
        return False
    for key in ("anyOf", "oneOf"):
        if key in members and not any(_ends(part, ending) for part in members[key]):
            return False
    if "enum" in members or "const" in members:
        return True
    kinds = members.get("type")
    if kinds in ("object", ["object"]):
        return all(_ends(_property(members, name), ending) for name in members.get("required", []))
    if kinds in ("array", ["array"]):
        count = members.get("minItems", 0)
        items = members.get("items", True)
        head = members.get("prefixItems", items if isinstance(items, list) else [])
        rest = True if isinstance(items, list) else items
        return all(_ends(part, ending) for part in [*head[:count], *([rest] if count > len(head) else [])])
    return True


def _property(members: dict[str, Any], name: str) -> Any:
    return members.get("properties", {}).get(name, members.get("additionalProperties", True))
