"""`pattern`s are written in JavaScript's dialect of regular expressions; the compiler's automata have no look-around.

A look-ahead at the very beginning, the usual way to say "and it must also contain", is the same as a second pattern
that must match too.
"""

import re
from typing import Final

_AHEAD: Final = ("(?=", "(?!")


def split(pattern: str) -> tuple[list[str], bool]:
    """Patterns that must all match instead of one that begins with look-aheads, and whether one of those had to be left
    out: nothing can stand for a negative one."""
    if not pattern.startswith(("^(?=", "^(?!")):
        return [pattern], False
    rest = pattern[1:]
    every: list[str] = []
    dropped = False
    while rest.startswith(_AHEAD):
        end = _closing(rest)
        if end < 0:
            return [pattern], False
        if rest.startswith("(?="):
            every.append(f"^(?:{rest[3:end]})")
        else:
            dropped = True
        rest = rest[end + 1 :]
    return [*every, f"^{rest}"], dropped


def is_malformed(pattern: str) -> bool:
    """Whether the text is no regular expression in any common dialect."""
    try:
        re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern))
    except (re.error, RecursionError, OverflowError):
        return True
    return False


def _closing(text: str) -> int:
    """Where the group that the text begins with ends; -1 if it does not."""
    depth = 0
    in_class = False
    index = 0
    while index < len(text):
        letter = text[index]
        if letter == "\\":
            index += 1
        elif in_class:
            in_class = letter != "]"
        elif letter == "[":
            in_class = True
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if not depth:
                return index
        index += 1
    return -1
