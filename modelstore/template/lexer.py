"""Cuts the text of a Go template into tokens.

Text outside `{{ … }}` is one token; inside, blanks are tokens too, because `.A .B` and `.A.B` differ. Comments and the
blanks that trim markers eat leave no token. An error is the last token of the stream, so that a mistake further left
is reported first. Facts: the lexical rules documented for Go's package text/template.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from modelstore.quoting import quote

LEFT, RIGHT, COMMENT, COMMENT_END = "{{", "}}", "/*", "*/"
BLANKS: Final = " \t\r\n"
_KEYWORDS: Final = frozenset(
    ("block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with")
)


class Kind(Enum):
    """What a token is. DOT, NIL and KEYWORD are shown in angle brackets in errors."""

    ERROR = auto()
    EOF = auto()
    TEXT = auto()
    LEFT = auto()
    RIGHT = auto()
    SPACE = auto()
    ASSIGN = auto()
    DECLARE = auto()
    PIPE = auto()
    OPEN = auto()
    CLOSE = auto()
    STRING = auto()
    RAW_STRING = auto()
    CHARACTER = auto()
    NUMBER = auto()
    BOOL = auto()
    VARIABLE = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    CHAR = auto()
    DOT = auto()
    NIL = auto()
    KEYWORD = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the template. `text` is the piece itself, of an error the message."""

    kind: Kind
    text: str
    pos: int
    """Offset in characters."""

    def __str__(self) -> str:
        match self.kind:
            case Kind.EOF:
                return "EOF"
            case Kind.ERROR:
                return self.text
            case Kind.DOT | Kind.NIL | Kind.KEYWORD:
                return f"<{self.text}>"
            case _ if len(self.text.encode(errors="replace")) > 10:
                return f"{quote(self.text[:10])}..."
            case _:
                return quote(self.text)


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a template; the last one is EOF or ERROR."""
    lexer = _Lexer(text)
    try:
        yield from lexer.template()
    except _Mistake as mistake:
        yield Token(Kind.ERROR, str(mistake), mistake.pos)


class _Mistake(Exception):
    def __init__(self, message: str, pos: int) -> None:
        super().__init__(message)
        self.pos = pos


_SPACE: Final = re.compile(r"[ \t\r\n]+")
_WORD: Final = re.compile(r"\w*")
_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_QUOTED: Final = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_CHARACTER: Final = re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")
_DIGITS: Final = frozenset("0123456789")
_SINGLE: Final = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.OPEN, ")": Kind.CLOSE}


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.parens = 0

    def template(self) -> Iterator[Token]:
        text = self.text
        while (left := text.find(LEFT, self.pos)) >= 0:
            inside = left + len(LEFT)
            trims = text.startswith("-", inside) and text[inside + 1 : inside + 2] in (*BLANKS,)
            literal = text[self.pos : left]
            if trims:
                literal = literal.rstrip(BLANKS)
                inside += 2
            if literal:
                yield Token(Kind.TEXT, literal, self.pos)
            if text.startswith(COMMENT, inside):
                self._comment(inside)
            else:
                yield Token(Kind.LEFT, LEFT, left)
                self.pos = inside
                yield from self._action()
        if self.pos < len(text):
            yield Token(Kind.TEXT, text[self.pos :], self.pos)
        yield Token(Kind.EOF, "", len(text))

    def _comment(self, start: int) -> None:
        end = self.text.find(COMMENT_END, start + len(COMMENT))
        if end < 0:
            raise _Mistake("unclosed comment", start)
        self.pos = end + len(COMMENT_END)
        if not self._right():
            raise _Mistake("comment ends before closing delimiter", start)
        self._leave()

    def _right(self) -> str:
        """The closing delimiter here, with its trim marker; empty if there is none."""
        if self.text.startswith(RIGHT, self.pos):
            return RIGHT
        trimming = self.text[self.pos : self.pos + 4]
        return trimming if len(trimming) == 4 and trimming[0] in BLANKS and trimming[1:] == f"-{RIGHT}" else ""

    def _leave(self) -> Token:
        right = self._right()
        self.pos += len(right)
        token = Token(Kind.RIGHT, RIGHT, self.pos - len(RIGHT))
        if right != RIGHT and (blanks := _SPACE.match(self.text, self.pos)):
            self.pos = blanks.end()
        return token

    def _action(self) -> Iterator[Token]:
        self.parens = 0
        while not self._right():
            yield self._token()
        if self.parens:
            raise _Mistake("unclosed left paren", self.pos)
        yield self._leave()

    def _token(self) -> Token:
        start = self.pos
        char = self.text[start : start + 1]
        if not char:
            raise _Mistake("unclosed action", start)
        if char in BLANKS:
            return self._space()
        if char in _SINGLE:
            return self._single(char)
        if char == ":":
            if not self.text.startswith(":=", start):
                raise _Mistake("expected :=", start)
            return self._cut(Kind.DECLARE, start + 2)
        if char in "\"'`":
            return self._string(char)
        # At the very end a dot is the beginning of a number to Go.
        if char == "$" or (char == "." and self.text[start + 1 : start + 2] not in (*_DIGITS, "")):
            return self._name(Kind.VARIABLE if char == "$" else Kind.FIELD)
        if char in "+-." or char in _DIGITS:
            return self._number()
        if _is_word(char):
            return self._word()
        if char.isascii() and char.isprintable():
            return self._cut(Kind.CHAR, start + 1)
        raise _Mistake(f"unrecognized character in action: {_unicode(char)}", start)

    def _cut(self, kind: Kind, end: int) -> Token:
        token = Token(kind, self.text[self.pos : end], self.pos)
        self.pos = end
        return token

    def _space(self) -> Token:
        blanks = _SPACE.match(self.text, self.pos)
        assert blanks is not None
        end = blanks.end()
        if self.text.startswith(f"-{RIGHT}", end) and end - self.pos > 1:
            end -= 1  # the last blank belongs to the trim marker
        return self._cut(Kind.SPACE, end)

    def _single(self, char: str) -> Token:
        self.parens += {"(": 1, ")": -1}.get(char, 0)
        if self.parens < 0:
            raise _Mistake("unexpected right paren", self.pos)
        return self._cut(_SINGLE[char], self.pos + 1)

    def _string(self, char: str) -> Token:
        if char == "`":
            end = self.text.find("`", self.pos + 1) + 1
            if not end:
                raise _Mistake("unterminated raw quoted string", self.pos)
            return self._cut(Kind.RAW_STRING, end)
        found = (_QUOTED if char == '"' else _CHARACTER).match(self.text, self.pos)
        if not found:
            what = "quoted string" if char == '"' else "character constant"
            raise _Mistake(f"unterminated {what}", self.pos)
        return self._cut(Kind.STRING if char == '"' else Kind.CHARACTER, found.end())

    def _name(self, kind: Kind) -> Token:
        """A variable or a field: `$`, `$x`, `.`, `.Name`."""
        if self._terminated(self.pos + 1):
            return self._cut(Kind.DOT if kind is Kind.FIELD else kind, self.pos + 1)
        return self._cut(kind, self._word_end(self.pos + 1))

    def _word(self) -> Token:
        end = self._word_end(self.pos)
        word = self.text[self.pos : end]
        kind = Kind.KEYWORD if word in _KEYWORDS else Kind.BOOL if word in ("true", "false") else Kind.IDENTIFIER
        return self._cut(Kind.NIL if word == "nil" else kind, end)

    def _word_end(self, start: int) -> int:
        found = _WORD.match(self.text, start)
        assert found is not None
        end = found.end()
        if not self._terminated(end):
            raise _Mistake(f"bad character {_unicode(self.text[end])}", self.pos)
        return end

    def _terminated(self, pos: int) -> bool:
        char = self.text[pos : pos + 1]
        return not char or char in " \t\r\n.,|:)(" or self.text.startswith(RIGHT, pos)

    def _number(self) -> Token:
        found = _NUMBER.match(self.text, self.pos)
        assert found is not None
        end = found.end()
        following = self.text[end : end + 1]
        if following and following in "+-":  # to Go the beginning of a complex number, which nothing here knows
            found = _NUMBER.match(self.text, end)
            assert found is not None
            end = found.end()
            following = self.text[end : end + 1]
            end += bool(following) and _is_word(following)
            raise _Mistake(f"bad number syntax: {quote(self.text[self.pos : end])}", self.pos)
        if following and _is_word(following):
            raise _Mistake(f"bad number syntax: {quote(self.text[self.pos : end + 1])}", self.pos)
        return self._cut(Kind.NUMBER, end)


def _is_word(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdecimal()


def _unicode(char: str) -> str:
    return f"U+{ord(char):04X}" + (f" '{char}'" if char.isprintable() else "")
