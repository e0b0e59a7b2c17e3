"""The Modelfile: a recipe for a model, one command a line, and its way to a create request and back to text.

Parsing is one scan over the text with a cursor. Where the next character stands decides what is legal:

    start ──letter──▶ command ──blank──▶ value ──end of line──▶ start
      │                  ├─ PARAMETER ──▶ name ──blank──▶ value
      #                  └─ MESSAGE ────▶ role ──blank──▶ value
      └──▶ comment, up to the end of the line

A value runs to the end of its line. One that begins with a quote (`"` or three of them) runs on until a line ends with
the same quote; what lies between is taken literally. There are no escapes, no continued lines and no comments behind
a command. So some texts cannot stand in a Modelfile at all: those with invisible characters, which reading drops, and
those for which no quote does, such as one of several lines that has three quotes and a single one at ends of lines.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from modelstore import options
from modelstore.errors import ModelfileError
from modelstore.quoting import quote

COMMANDS: Final = (
    "from", "license", "template", "system", "adapter", "draft",
    "renderer", "parser", "parameter", "message", "requires",
)  # fmt: skip
ROLES: Final = ("system", "user", "assistant")

_BAD_COMMAND: Final = "command must be one of " + ", ".join(f'"{c}"' for c in COMMANDS[:-1]) + ', or "requires"'
_BAD_ROLE: Final = 'message role must be one of "system", "user", or "assistant"'
_BAD_REQUIRES: Final = "requires must be a valid semver (e.g. 0.14.0)"
_COMMAND: Final = re.compile(r"(?s:.)[A-Za-z]*")
"""Whatever begins a command: its first character is judged with the whole word."""
_WORD: Final = re.compile(r"[A-Za-z]*")
_PARAMETER: Final = re.compile(r"[A-Za-z0-9_]*")
_BLANKS: Final = " \t\r\n"
_LINE_END: Final = re.compile(r"[\r\n]|\Z")
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_PRERELEASE = rf"(?!(?:[^+]*\.)?0[0-9]+(?:[.+]|$)){_IDENTIFIERS}"
_SEMVER: Final = re.compile(rf"v{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}(?:-{_PRERELEASE})?(?:\+{_IDENTIFIERS})?)?)?")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `name` is `model` for FROM, the parameter's own name for PARAMETER, else the lower-case command.

    `args` of a `message` is `role: text`.
    """

    name: str
    args: str

    def __str__(self) -> str:
        """The line, or lines, that read back as this command; where there is none, what the reference would print."""
        forms = self._forms()
        return next(filter(self._is_read_from, forms), forms[0])

    def printed(self) -> str:
        """The same, but raises ModelfileError for what cannot stand in a Modelfile."""
        # Any name may stand behind PARAMETER, so a message without a role can come from there.
        forms = (*self._forms(), *(f"PARAMETER {self.name} {form}" for form in _quotations(self.args)))
        line = next(filter(self._is_read_from, forms), None)
        if line is None:
            raise ModelfileError(f"{self.name or 'parameter'} {quote(self.args)} cannot be written in a Modelfile")
        return line

    def _forms(self) -> list[str]:
        """Ways to write it, the reference's first. It knows no quotes behind FROM."""
        match self.name:
            case "model":
                return [f"FROM {form}" for form in dict.fromkeys((self.args, *_quotations(self.args)))]
            case "message":
                role, _, text = self.args.partition(": ")
                return [f"MESSAGE {role} {form}" for form in _quotations(text)]
            case "license" | "template" | "system" | "adapter" | "draft" | "renderer" | "parser" | "requires":
                return [f"{self.name.upper()} {form}" for form in _quotations(self.args)]
            case _:
                return [f"PARAMETER {self.name} {form}" for form in _quotations(self.args)]

    def _is_read_from(self, line: str) -> bool:
        try:
            return _Scanner(_printable(f"{line}\n")).commands() == [self]
        except ModelfileError:
            return False


@dataclass(frozen=True, slots=True)
class Modelfile:
    """The commands of a file in their order."""

    commands: tuple[Command, ...]

    @classmethod
    def parse(cls, source: bytes | str) -> "Modelfile":
        """Read a Modelfile; bytes are UTF-8, or UTF-16 where a byte order mark says so.

        Raises ModelfileError, with the line for an unknown command or role.
        """
        commands = tuple(_Scanner(_printable(_decoded(source))).commands())
        if not any(command.name == "model" for command in commands):
            raise ModelfileError("no FROM line")
        return cls(commands)

    def __str__(self) -> str:
        """One command a line; parsing it gives the same commands.

        Raises ModelfileError for a text that cannot stand in a Modelfile. None that was parsed from one is like that.
        """
        return "".join(f"{command.printed()}\n" for command in self.commands)

    def values(self, name: str) -> list[str]:
        """Arguments of every command of that name: `model`, `adapter` and `draft` are what a client resolves itself."""
        return [command.args for command in self.commands if command.name == name]

    def deprecated(self) -> list[str]:
        """Names of parameters that are accepted and left out of the request, in the order of the file."""
        return [c.name for c in self.commands if c.name not in _FIELDS and options.is_deprecated(c.name)]

    def to_request(self) -> dict[str, Any]:
        """The fields of a create request that need no file system; `from` is the last FROM argument as written.

        What is empty is left out: it means the same.

        Raises ModelfileError for a bad version, OptionError for an unknown parameter or a value of the wrong kind.
        """
        request: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        for command in self.commands:
            fill = _FIELDS.get(command.name)
            if fill is not None:
                fill(request, command.args)
            elif not options.is_deprecated(command.name):
                _add_parameter(parameters, command)
        if parameters:
            request["parameters"] = dict(sorted(parameters.items()))
        return {field: request[field] for field in _REQUEST_ORDER if request.get(field)}


def quoted(text: str) -> str:
    """A value as the reference prints it: in quotes where it has lines or blanks to keep, else bare."""
    if "\n" not in text and not text.startswith(" ") and not text.endswith(" "):
        return text
    return f'"""{text}"""' if '"' in text else f'"{text}"'


def _quotations(text: str) -> list[str]:
    """All forms of a value, the reference's first. Each is read as the text or as something else."""
    one, three = f'"{text}"', f'"""{text}"""'
    return list(dict.fromkeys((quoted(text), text, three, one) if '"' in text else (quoted(text), text, one, three)))


# -- reading --------------------------------------------------------------------------------------------------------


class _Scanner:
    """A cursor over the text of a Modelfile."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def commands(self) -> list[Command]:
        found: list[Command] = []
        while self._skip_to_command():
            found.append(self._command())
        return found

    def _skip_to_command(self) -> bool:
        """Pass blank lines and comments; False at the end of the text."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "#":
                self.at = self._line_end(self.at)
            elif char in _BLANKS:
                self.at += 1
            else:
                return True
        return False

    def _command(self) -> Command:
        word = self._word(_COMMAND, lambda _: self._error(_BAD_COMMAND)).lower()
        if word not in COMMANDS:
            raise self._error(_BAD_COMMAND)
        self.at += 1
        match word:
            case "from":
                return Command("model", self._value())
            case "parameter":
                name = self._word(_PARAMETER, _cut_short)
                self.at += 1
                return Command(name, self._value())
            case "message":
                role = self._word(_WORD, _cut_short)
                if role not in ROLES:
                    raise self._error(_BAD_ROLE)
                self.at += 1
                return Command("message", f"{role}: {self._value()}")
            case _:
                return Command(word, self._value())

    def _word(self, pattern: re.Pattern[str], refuse: Callable[[str], ModelfileError]) -> str:
        """The word at the cursor, which moves to the blank behind it; `refuse` makes the error if none is there."""
        found = pattern.match(self.text, self.at)
        word = found.group() if found else ""
        self.at += len(word)
        if self.at == len(self.text):
            raise ModelfileError("unexpected EOF")
        if self.text[self.at] not in " \t":
            raise refuse(word)
        return word

    def _value(self) -> str:
        """The value at the cursor without its quotes; the cursor stops on the end of its last line."""
        start, end = self.at, self._line_end(self.at)
        while start < end and self.text[start] in " \t":
            start += 1
        quote = _opening_quote(self.text[start:end])
        line = start
        while not self._complete(start, line, end, quote):
            if end == len(self.text):
                raise ModelfileError("unexpected EOF")
            line, end = end + 1, self._line_end(end + 1)
        self.at = end
        value = self.text[start:end].rstrip(_BLANKS)
        return value[len(quote) : len(value) - len(quote)]

    def _complete(self, start: int, line: int, end: int, quote: str) -> bool:
        """Whether the value from `start` may end at `end`, the end of the line that begins at `line`."""
        if not quote:
            return True
        last = end
        while last > line and self.text[last - 1] in _BLANKS:
            last -= 1
        return last - start >= 2 * len(quote) and self.text.endswith(quote, line, last)

    def _line_end(self, at: int) -> int:
        found = _LINE_END.search(self.text, at)
        return found.start() if found else len(self.text)

    def _error(self, reason: str) -> ModelfileError:
        """Every CR and every LF up to and with the cursor's character counts as a line (so CRLF counts twice)."""
        seen = self.text[: self.at + 1]
        return ModelfileError(reason, line=1 + seen.count("\n") + seen.count("\r"))


def _cut_short(word: str) -> ModelfileError:
    return ModelfileError(f"unexpected EOF: {word}")


def _opening_quote(text: str) -> str:
    return next((quote for quote in ('"""', '"') if text.startswith(quote)), "")


def _decoded(source: bytes | str) -> str:
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    if source.startswith((b"\xff\xfe", b"\xfe\xff")):
        return source.decode("utf-16", errors="replace")
    return source.decode("utf-8-sig", errors="replace")


def _printable(text: str) -> str:
    """Without what shows nothing: controls, joiners, odd spaces, private and unassigned characters."""
    gone = [char for char in set(text) if char not in _BLANKS and unicodedata.category(char)[0] not in "LMNPS"]
    return text.translate(dict.fromkeys(map(ord, gone))) if gone else text


# -- the request ----------------------------------------------------------------------------------------------------

_REQUEST_ORDER: Final = (
    "from", "template", "license", "system", "parameters", "messages", "renderer", "parser", "requires",
)  # fmt: skip

_Fill = Callable[[dict[str, Any], str], None]


def _set(field: str) -> _Fill:
    """The last one wins, an empty one too."""

    def fill(request: dict[str, Any], args: str) -> None:
        request[field] = args

    return fill


def _add_license(request: dict[str, Any], args: str) -> None:
    request.setdefault("license", []).append(args)


def _add_message(request: dict[str, Any], args: str) -> None:
    role, _, content = args.partition(": ")
    request.setdefault("messages", []).append({"role": role, "content": content})


def _set_requires(request: dict[str, Any], args: str) -> None:
    version = args if args.startswith("v") else f"v{args}"
    if not _SEMVER.fullmatch(version):
        raise ModelfileError(_BAD_REQUIRES)
    request["requires"] = version[1:]


def _resolved_by_client(_request: dict[str, Any], _args: str) -> None:
    """ADAPTER and DRAFT name files, which only the client can read."""


_FIELDS: Final[dict[str, _Fill]] = {
    "model": _set("from"),
    "template": _set("template"),
    "system": _set("system"),
    "renderer": _set("renderer"),
    "parser": _set("parser"),
    "license": _add_license,
    "message": _add_message,
    "requires": _set_requires,
    "adapter": _resolved_by_client,
    "draft": _resolved_by_client,
}


def _add_parameter(parameters: dict[str, Any], command: Command) -> None:
    value = options.parse_modelfile_value(command.name, command.args)
    if isinstance(value, list) and command.name in parameters:
        parameters[command.name] = [*parameters[command.name], *value]
    else:
        parameters[command.name] = value
