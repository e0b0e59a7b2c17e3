"""Names of models: `[scheme://][host/][namespace/]model[:tag]`.

A `Name` is always valid, and each of its parts is safe as one element of a path: it begins with a letter, a digit or an
underscore, and holds no separator.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from modelstore.errors import InvalidName, MissingName, SourceConflict

DEFAULT_HOST: Final = "registry.ollama.ai"
DEFAULT_NAMESPACE: Final = "library"
DEFAULT_TAG: Final = "latest"
DEFAULT_SCHEME: Final = "https"

_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_WORD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class Name:
    """The name of one model. Raises `InvalidName` when a part breaks the grammar."""

    host: str
    namespace: str
    model: str
    tag: str
    scheme: str = field(default=DEFAULT_SCHEME, compare=False)
    """As written; no part of the identity, and in no string form."""

    def __post_init__(self) -> None:
        for pattern, part in zip((_HOST, _NAMESPACE, _WORD, _WORD), self.parts, strict=True):
            if not pattern.fullmatch(part):
                raise InvalidName(str(self))

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Split from the right and fill in the defaults. Blanks are not trimmed. Raises `InvalidName`."""
        scheme, host, namespace, tag = DEFAULT_SCHEME, DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG
        rest = text
        if rest.rfind(":") > rest.rfind("/"):
            rest, _, tag = rest.rpartition(":")
        rest, slash, model = rest.rpartition("/")
        if slash:
            rest, slash, namespace = rest.rpartition("/")
        if slash:
            before, mark, after = rest.partition("://")
            scheme, host = (before or DEFAULT_SCHEME, after or DEFAULT_HOST) if mark else (scheme, rest)
        try:
            return cls(host, namespace, model, tag, scheme)
        except InvalidName:
            raise InvalidName(text) from None

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Host, namespace, model, tag: the four elements of the path of its manifest."""
        return self.host, self.namespace, self.model, self.tag

    @property
    def short(self) -> str:
        """What people see: the default host and namespace left out, the tag always there."""
        if self.host.lower() != DEFAULT_HOST:
            return str(self)
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def repository(self) -> str:
        """`namespace/model`, as a registry calls it."""
        return f"{self.namespace}/{self.model}"

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"


class Source(Enum):
    """Where the writer of a name wants the model to run."""

    NONE = "none"
    LOCAL = "local"
    CLOUD = "cloud"


def split_source(raw: str) -> tuple[str, Source]:
    """Take a `:cloud`, `:local` or `…-cloud` ending off a name; blanks around it go too.

    Raises `MissingName` when nothing is left to look at, `SourceConflict` when there are two such endings.
    """
    text = raw.strip()
    if not text:
        raise MissingName
    base, source = _take_suffix(text)
    if source is not Source.NONE and _take_suffix(base)[1] is not Source.NONE:
        raise SourceConflict(raw)
    return base, source


def stored_text(raw: str) -> str:
    """The name under which pull and delete know a model: that of the local stub, for one in the cloud."""
    base, source = split_source(raw)
    if source is not Source.CLOUD:
        return base
    has_tag = base.rfind(":") > base.rfind("/")
    return f"{base}-cloud" if has_tag else f"{base}:cloud"


def _take_suffix(text: str) -> tuple[str, Source]:
    base, colon, last = text.rpartition(":")
    if not colon:
        return text, Source.NONE
    match last.lower():
        case "cloud":
            return base, Source.CLOUD
        case "local":
            return base, Source.LOCAL
        case tag if tag.endswith("-cloud") and "/" not in tag:
            return text[: -len("-cloud")], Source.CLOUD
        case _:
            return text, Source.NONE
