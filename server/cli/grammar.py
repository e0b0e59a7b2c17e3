"""The grammar of the command line: a declared command and its flags, and words → what was asked.

It is the grammar that scripts know from the reference, flag for flag and text for text: options anywhere among the
arguments, no prefixes of long options, `-fvalue`, a flag whose value may only stand behind `=` (`--think`), exit code 1
and no usage text on an error. typer and argparse cannot be bent to it: both end a usage error with code 2, have no
optional values, and word their errors themselves; so this is a table and a short scanner.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from server.cli.environment import Audience
from server.cli.errors import UsageError

Value = str | bool | int

_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
_FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")
_INT64: Final = range(-(2**63), 2**63)


class Kind(Enum):
    """What a flag takes; the value is the word that help shows for it."""

    BOOL = ""
    STRING = "string"
    INT = "int"


@dataclass(frozen=True, slots=True)
class Flag:
    name: str
    help: str
    kind: Kind = Kind.BOOL
    short: str = ""
    bare: str | None = None
    """The value that the flag alone stands for; a value then has to follow behind `=`. Every BOOL flag has `true`."""

    @property
    def alone(self) -> str | None:
        return "true" if self.kind is Kind.BOOL else self.bare

    @property
    def spelled(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


HELP: Final = Flag("help", "", short="h")


@dataclass(frozen=True, slots=True)
class Arity:
    """How many arguments a command takes; `most` None means no upper limit."""

    least: int = 0
    most: int | None = None

    def check(self, count: int) -> None:
        if self.least == self.most and count != self.least:
            raise UsageError(f"accepts {self.least} arg(s), received {count}")
        if count < self.least:
            raise UsageError(f"requires at least {self.least} arg(s), only received {count}")
        if self.most is not None and count > self.most:
            raise UsageError(f"accepts at most {self.most} arg(s), received {count}")


@dataclass(frozen=True, slots=True)
class Command:
    """One command; its code is `run(call)` in the module of `server.cli.commands` that is called like `module`."""

    name: str
    usage: str
    """Name and arguments, as help shows them."""
    short: str
    arity: Arity = Arity()
    flags: tuple[Flag, ...] = ()
    aliases: tuple[str, ...] = ()
    environment: Audience = Audience.NOBODY
    module: str = ""
    preflight: bool = True
    """Whether the daemon has to be there before anything else happens."""
    hidden: bool = False
    own: bool = False
    """Whether the reference has no such command; then its name's help does not list it either."""

    def flag(self, name: str) -> Flag | None:
        return next((flag for flag in (*self.flags, HELP) if flag.name == name), None)

    def shorthand(self, letter: str) -> Flag | None:
        return next((flag for flag in (*self.flags, HELP) if flag.short == letter), None)


@dataclass(slots=True)
class Parsed:
    """The words of one command line, sorted."""

    args: list[str] = field(default_factory=list[str])
    flags: dict[str, Value] = field(default_factory=dict[str, Value])
    """Only the flags that were given."""

    @property
    def wants_help(self) -> bool:
        return self.flags.get("help") is True


def parse(command: Command, words: Sequence[str]) -> Parsed:
    """Sort words into arguments and flags. Raises UsageError."""
    parsed, rest = Parsed(), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.args += rest
            break
        if word.startswith("--"):
            _long(command, word, rest, parsed)
        elif word.startswith("-") and word != "-":
            _shorthands(command, word[1:], rest, parsed)
        else:
            parsed.args.append(word)
    return parsed


def _long(command: Command, word: str, rest: list[str], parsed: Parsed) -> None:
    name, equals, text = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: {word}")
    flag = command.flag(name)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}")
    if not equals:
        if flag.alone is not None:
            text = flag.alone
        elif rest:
            text = rest.pop(0)
        else:
            raise UsageError(f"flag needs an argument: {word}")
    parsed.flags[name] = _value(flag, text)


def _shorthands(command: Command, letters: str, rest: list[str], parsed: Parsed) -> None:
    """`-vf file`: flags that need no value may be written together; the first that does takes what is left."""
    while letters:
        letter, tail = letters[0], letters[1:]
        flag = command.shorthand(letter)
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in -{letters}")
        if len(tail) > 1 and tail[0] == "=":
            text, letters = tail[1:], ""
        elif flag.alone is not None:
            text, letters = flag.alone, tail
        elif tail:
            text, letters = tail, ""
        elif rest:
            text, letters = rest.pop(0), ""
        else:
            raise UsageError(f"flag needs an argument: '{letter}' in -{letters}")
        parsed.flags[flag.name] = _value(flag, text)


def _value(flag: Flag, text: str) -> Value:
    match flag.kind:
        case Kind.STRING:
            return text
        case Kind.BOOL:
            if text in _TRUE or text in _FALSE:
                return text in _TRUE
            raise _invalid(flag, text, "ParseBool", "invalid syntax")
        case Kind.INT:
            try:
                number = int(text, 0)
            except ValueError:
                raise _invalid(flag, text, "ParseInt", "invalid syntax") from None
            if number not in _INT64:
                raise _invalid(flag, text, "ParseInt", "value out of range")
            return number


def _invalid(flag: Flag, text: str, parser: str, reason: str) -> UsageError:
    return UsageError(
        f'invalid argument "{text}" for "{flag.spelled}" flag: strconv.{parser}: parsing "{text}": {reason}'
    )


def split_command(root: Command, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The command word and the words without it. Flags may stand in front; one of `root`'s that needs a value, or an
    unknown one, takes the word behind it along.
    """
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            break
        if word and not word.startswith("-"):
            return word, [*words[:at], *words[at + 1 :]]
        at += 2 if _takes_next(root, word) else 1
    return None, list(words)


def _takes_next(root: Command, word: str) -> bool:
    if "=" in word:
        return False
    if word.startswith("--"):
        flag = next((flag for flag in root.flags if flag.name == word[2:]), None)
    elif len(word) == 2:
        flag = next((flag for flag in root.flags if flag.short == word[1]), None)
    else:
        return False
    return flag is None or flag.alone is None


def suggestions(typed: str, commands: Sequence[Command]) -> list[str]:
    """Names of commands that the word begins, or that are at most two edits away from it."""
    word = typed.lower()
    return [c.name for c in commands if not c.hidden and (c.name.startswith(word) or distance(word, c.name) <= 2)]


def distance(a: str, b: str) -> int:
    """Levenshtein's edit distance."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
