"""A create request, and the checks that need no store."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelstore.errors import CreateError, InvalidName
from modelstore.names import Name

INVALID_DIGEST: Final = "invalid digest format"
INVALID_NAME: Final = "invalid model name"

_DRIVE: Final = re.compile(r"[A-Za-z]:")


@dataclass(slots=True, kw_only=True)
class CreateRequest:
    """The body of a create request after its deprecated fields have been read; an empty field means "not given"."""

    model: str
    base: str = ""
    """The field `from`. Where it stands, `files` is ignored."""
    files: Mapping[str, str] | None = None
    """Name → digest of an uploaded blob, as the two below."""
    adapters: Mapping[str, str] | None = None
    draft_files: Mapping[str, str] | None = None
    quantize: str = ""
    draft_quantize: str = ""
    remote_host: str = ""
    template: str = ""
    system: str = ""
    license: Any = None
    """A text or a list of texts; anything else is refused with the decoder's words."""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Stored as they are; unknown names are no error."""
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """In the JSON form of the native API."""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Overrides of the config."""


def check(request: CreateRequest) -> Name:
    """The target's name, after everything that can be refused before the first event. Raises CreateError."""
    for files in (request.files, request.draft_files):
        for key, digest in (files or {}).items():
            _check_file(key, digest)
    if request.draft_quantize and not request.draft_files:
        raise CreateError("--draft-quantize requires a DRAFT model")
    if not all((request.adapters or {}).values()):
        raise CreateError(INVALID_DIGEST)
    try:
        return Name.parse(request.model)
    except InvalidName:
        raise CreateError(INVALID_NAME) from None


def check_adapters(request: CreateRequest) -> None:
    """The names that `check` leaves to the stream, as the reference does. Raises CreateError."""
    for key in request.adapters or {}:
        if not is_relative(key):
            raise CreateError(f"file path must be relative: {key}")


def _check_file(key: str, digest: str) -> None:
    if not is_relative(key):
        raise CreateError("file path must be relative")
    if not digest:
        raise CreateError(INVALID_DIGEST)


def is_relative(key: str) -> bool:
    """Whether a file's name stays inside the folder it is put in, on every system."""
    if "\\" in key or "\0" in key or _DRIVE.match(key):
        return False
    return all(part not in ("", ".", "..") for part in key.split("/"))
