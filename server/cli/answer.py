"""Reading a JSON answer. A field that is absent, null or of another type is empty: daemons differ in versions."""

from typing import Any, cast

Json = dict[str, Any]


def text(body: Json, name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def whole(body: Json, name: str) -> int:
    value = body.get(name)
    return int(value) if isinstance(value, (int, float)) else 0


def inner(body: Json, name: str) -> Json:
    """An object."""
    value = body.get(name)
    return cast(Json, value) if isinstance(value, dict) else {}


def items(body: Json, name: str) -> list[Any]:
    value = body.get(name)
    return cast(list[Any], value) if isinstance(value, list) else []


def objects(body: Json, name: str) -> list[Json]:
    return [cast(Json, item) for item in items(body, name) if isinstance(item, dict)]
