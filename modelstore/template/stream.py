"""The tokens of a template, with as much looking ahead as its grammar needs."""

from bisect import bisect_left
from typing import Final

from modelstore.template.lexer import Kind, Token, tokens

MAX_TOKENS: Final = 200_000
"""A template of more is not read: large texts cost nothing, large programs do."""


class TokenStream:
    """Reads tokens one by one and takes them back."""

    def __init__(self, text: str) -> None:
        self._ends = [at for at, char in enumerate(text) if char == "\n"]
        """Where lines end."""
        self._source = tokens(text)
        self._pending: list[Token] = []
        """Tokens put back, the next one last."""
        self._latest = Token(Kind.EOF, "", 0)
        self._left = MAX_TOKENS

    def next(self) -> Token:
        """The next token; at the end always the last one."""
        if self._pending:
            return self._pending.pop()
        self._latest = next(self._source, self._latest)
        self._left -= 1
        if not self._left:
            self._source = iter(())
            self._latest = Token(Kind.ERROR, f"more than {MAX_TOKENS} tokens", self._latest.pos)
        return self._latest

    def back(self, *later: Token) -> None:
        """Puts tokens back; the first one will be read first."""
        self._pending.extend(reversed(later))

    def peek(self) -> Token:
        token = self.next()
        self.back(token)
        return token

    def next_solid(self) -> Token:
        """The next token that is no blank."""
        while (token := self.next()).kind is Kind.SPACE:
            pass
        return token

    def peek_solid(self) -> Token:
        """The next token that is no blank, the blanks before it gone."""
        token = self.next_solid()
        self.back(token)
        return token

    def line_of(self, token: Token) -> int:
        return 1 + bisect_left(self._ends, token.pos)

    @property
    def line(self) -> int:
        """Where reading has come to, from 1; what was put back counts as read."""
        return self.line_of(self._latest)
