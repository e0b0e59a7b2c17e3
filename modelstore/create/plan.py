"""The layers of a model to be, before anything is written.

A create request first becomes a plan. Its pieces are blobs that are in the store already, or small contents that will
be written when the whole plan stands. So a request that fails leaves nothing behind.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelstore import canonical
from modelstore.digest import Digest
from modelstore.errors import CreateError
from modelstore.manifest import Layer

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """One layer; `data` is its content if it has to be written, None if the blob is in the store."""

    layer: Layer
    data: bytes | None = None
    status: str = ""
    """What to report in place of the words for a new or an existing layer."""

    @property
    def media_type(self) -> str:
        return self.layer.media_type


def written(media_type: str, data: bytes, status: str = "") -> Piece:
    """A piece whose content is at hand."""
    return Piece(Layer(media_type, Digest.of(data), len(data)), data, status)


def written_text(media_type: str, text: str) -> Piece:
    """A piece with this text; halves of surrogate pairs, which have no UTF-8 form, become U+FFFD."""
    return written(media_type, _SURROGATES.sub("\ufffd", text).encode())


def stored(media_type: str, digest: Digest, size: int, origin: str = "") -> Piece:
    """A piece whose blob is in the store; `origin` is the model or the file that it came from."""
    return Piece(Layer(media_type, digest, size, from_=origin))


def params_data(parameters: Mapping[str, Any]) -> bytes:
    """The params blob. Raises CreateError for what JSON cannot hold."""
    return _encoded("parameters", canonical.encode_map, parameters)


def messages_data(messages: list[dict[str, Any]]) -> bytes:
    """The messages blob, its members in the order of the native API. Raises CreateError for what JSON cannot hold."""
    return _encoded("messages", canonical.encode, [_message(message) for message in messages])


def _encoded(what: str, encode: Callable[[Any], bytes], value: Any) -> bytes:
    try:
        return encode(value) + b"\n"
    except RecursionError:
        raise CreateError(f"{what} are nested too deeply") from None
    except (ValueError, OverflowError):
        raise CreateError(f"{what} hold a number that JSON cannot hold") from None


_OPTIONAL: Final = ("thinking", "images", "tool_calls", "tool_name", "tool_call_id")


def _message(message: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {
        "role": str(message.get("role", "")).lower(),
        "content": message.get("content") or "",
    }
    return members | {key: message[key] for key in _OPTIONAL if message.get(key)}


@dataclass(slots=True)
class Plan:
    """Pieces in the order of the manifest."""

    pieces: list[Piece] = field(default_factory=list[Piece])

    def add(self, *pieces: Piece) -> None:
        self.pieces.extend(pieces)

    def replace(self, piece: Piece, *media_types: str) -> None:
        """Put the piece at the end, and take out those of its own type and of these."""
        gone = {piece.media_type, *media_types}
        self.pieces = [old for old in self.pieces if old.media_type not in gone]
        self.pieces.append(piece)

    def of_type(self, media_type: str) -> list[Piece]:
        return [piece for piece in self.pieces if piece.media_type == media_type]
