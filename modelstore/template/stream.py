"""The tokens of a template, with as much looking ahead as its grammar needs."""

from modelstore.template.lexer import Kind, Token, tokens


class TokenStream:
    """Reads tokens one by one and takes them back."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._source = tokens(text)
        self._pending: list[Token] = []
        """Tokens put back, the next one last."""
        self._latest = Token(Kind.EOF, "", 0)

    def next(self) -> Token:
        """The next token; at the end always the last one."""
        if self._pending:
            return self._pending.pop()
        self._latest = next(self._source, self._latest)
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
        return 1 + self._text.count("\n", 0, token.pos)

    @property
    def line(self) -> int:
        """Where reading has come to, from 1; what was put back counts as read."""
        return self.line_of(self._latest)
