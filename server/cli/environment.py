"""The variables that help lists. What they mean to the daemon is `server.settings`; the text comes from there."""

import os
from enum import Enum
from typing import Final

EDITOR: Final = "OLLAMA_EDITOR"
NO_HISTORY: Final = "OLLAMA_NOHISTORY"
HOST: Final = "OLLAMA_HOST"

_OWN: Final = {
    EDITOR: "Path to editor for interactive prompt editing (Ctrl+G)",
    NO_HISTORY: "Do not preserve readline history",
}


class Audience(Enum):
    """Whose variables a command's help lists."""

    NOBODY = ()
    CLIENT = (HOST,)
    RUN = (EDITOR, HOST, NO_HISTORY)
    DAEMON = None
    """Every setting."""


def listed(audience: Audience) -> list[tuple[str, str]]:
    """Names and descriptions, in order."""
    from server.settings import variables

    if audience is Audience.DAEMON:
        return [(variable.name, variable.help) for variable in variables() if variable.listed]
    known = {variable.name: variable.help for variable in variables()} | _OWN
    return [(name, known[name]) for name in audience.value or ()]


def enabled(name: str) -> bool:
    """Whether a variable switches something on: any text does that is not a spelling of false."""
    from server.settings import clean, is_true

    value = clean(os.environ.get(name, ""))
    return bool(value) and is_true(value)
