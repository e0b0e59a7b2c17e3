"""Turns a template into its tree. Grammar and error texts are those of Go's text/template."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from modelstore.quoting import quote
from modelstore.template import literals
from modelstore.template.errors import TemplateSyntaxError
from modelstore.template.lexer import Kind, Token
from modelstore.template.nodes import (
    Action,
    Bool,
    Break,
    Call,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Identifier,
    If,
    Nil,
    Node,
    NodeList,
    Number,
    Pipe,
    Range,
    String,
    Text,
    Variable,
    With,
)
from modelstore.template.scope import Scope
from modelstore.template.stream import TokenStream

MAX_DEPTH: Final = 100
"""How deep branches and parentheses may nest; also bounds the recursion of everything that walks the tree."""

Definitions: TypeAlias = dict[str, NodeList]

_BRANCHES: Final = {"if": If, "with": With, "range": Range}
_LITERALS: Final = (Kind.BOOL, Kind.CHARACTER, Kind.NUMBER, Kind.NIL, Kind.RAW_STRING, Kind.STRING)
_OPERANDS: Final = frozenset((*_LITERALS, Kind.DOT, Kind.FIELD, Kind.IDENTIFIER, Kind.VARIABLE, Kind.OPEN))
_CONSTANTS: Final = (Bool, Dot, Nil, Number, String)


def parse(text: str, functions: Set[str]) -> tuple[NodeList, Definitions]:
    """The main template and the ones it defines. Raises `TemplateSyntaxError`."""
    parser = _Parser(text, functions)
    return parser.template(), parser.definitions


@dataclass(frozen=True, slots=True)
class _End(Node):
    """Closes a list: `{{ end }}`, or `{{ else }}` with what follows."""

    word: str

    def __str__(self) -> str:
        return f"{{{{{self.word}}}}}"


class _Parser:
    def __init__(self, text: str, functions: Set[str]) -> None:
        self.definitions: Definitions = {}
        self._functions = functions
        self._tokens = TokenStream(text)
        self._variables = Scope()
        self._action_line = 0
        self._ranges = 0
        self._depth = 0

    def _expect(self, context: str, *kinds: Kind) -> Token:
        token = self._tokens.next_solid()
        if token.kind not in kinds:
            self._unexpected(token, context)
        return token

    # -- errors -------------------------------------------------------------------------------------------------------

    def _error(self, message: str, line: int = 0) -> TemplateSyntaxError:
        line = line or self._tokens.line
        return TemplateSyntaxError(f"template: :{line}: {message}", line)

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        if token.kind is not Kind.ERROR:
            raise self._error(f"unexpected {token} in {context}")
        message = token.text
        if self._action_line and self._action_line != self._tokens.line_of(token):
            link = " started at" if message.endswith(" action") else " in action started at"
            message += f"{link} :{self._action_line}"
        raise self._error(message)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"template nests deeper than {MAX_DEPTH} levels")

    # -- lists --------------------------------------------------------------------------------------------------------

    def template(self) -> NodeList:
        nodes: list[Node] = []
        while (token := self._tokens.next()).kind is not Kind.EOF:
            if token.kind is Kind.LEFT:
                word = self._tokens.next_solid()
                if word.kind is Kind.KEYWORD and word.text == "define":
                    self._define()
                    continue
                self._tokens.back(word)
            self._tokens.back(token)
            node = self._text_or_action()
            if isinstance(node, _End):
                raise self._error(f"unexpected {node}")
            nodes.append(node)
        return tuple(nodes)

    def _list(self) -> tuple[NodeList, _End]:
        nodes: list[Node] = []
        while self._tokens.peek_solid().kind is not Kind.EOF:
            node = self._text_or_action()
            if isinstance(node, _End):
                return tuple(nodes), node
            nodes.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> Node:
        token = self._tokens.next_solid()
        if token.kind is Kind.TEXT:
            return Text(token.pos, token.text)
        if token.kind is not Kind.LEFT:
            self._unexpected(token, "input")
        self._action_line = self._tokens.line_of(token)
        node = self._action()
        self._action_line = 0
        return node

    def _define(self) -> None:
        name = self._name("define clause")
        self._expect("define clause", Kind.RIGHT)
        self._add(name, "define clause")

    def _block(self) -> Node:
        token = self._tokens.peek_solid()
        name = self._name("block clause")
        pipe = self._pipe("block clause", Kind.RIGHT)
        self._add(name, "block clause", self._tokens.line)
        return Call(token.pos, name, pipe)

    def _add(self, name: str, context: str, line: int = 0) -> None:
        """Reads the body of a definition, which sees no variable but its own. `line`: where to say it is wrong."""
        outer = self._variables, self._ranges
        self._variables, self._ranges = Scope(), 0
        self._enter()
        body, end = self._list()
        self._depth -= 1
        if end.word != "end":
            raise self._error(f"unexpected {end} in {context}", line)
        self._variables, self._ranges = outer
        if not _is_blank(self.definitions.get(name, ())):
            if not _is_blank(body):
                raise self._error(f"template: multiple definition of template {quote(name)}")
            return
        self.definitions[name] = body

    def _name(self, context: str) -> str:
        token = self._tokens.next_solid()
        if token.kind not in (Kind.STRING, Kind.RAW_STRING):
            self._unexpected(token, context)
        return self._unquote(token)

    # -- actions ------------------------------------------------------------------------------------------------------

    def _action(self) -> Node:
        token = self._tokens.next_solid()
        if token.kind is Kind.KEYWORD:
            match token.text:
                case "if" | "with" | "range" as word:
                    return self._branch(word)
                case "end":
                    return _End(self._expect("end", Kind.RIGHT).pos, "end")
                case "else":
                    return self._else()
                case "template":
                    return self._call()
                case "block":
                    return self._block()
                case "break" | "continue" as word:
                    return self._leave(word, token)
                case _:
                    pass
        self._tokens.back(token)
        return Action(token.pos, self._pipe("command", Kind.RIGHT))

    def _branch(self, word: str) -> Node:
        self._enter()
        known = len(self._variables)
        pipe = self._pipe(word, Kind.RIGHT)
        self._ranges += word == "range"
        body, end = self._list()
        self._ranges -= word == "range"
        otherwise: NodeList = ()
        if end.word == "else":
            following = self._tokens.peek()
            if word != "range" and following.kind is Kind.KEYWORD and following.text == word:
                self._tokens.next()
                otherwise = (self._branch(word),)
            else:
                otherwise, end = self._list()
                if end.word != "end":
                    raise self._error(f"expected end; found {end}")
        self._variables.leave(known)
        self._depth -= 1
        return _BRANCHES[word](pipe.pos, pipe, body, otherwise)

    def _else(self) -> Node:
        following = self._tokens.peek_solid()
        if following.kind is Kind.KEYWORD and following.text in ("if", "with"):
            return _End(following.pos, "else")  # the branch goes on from there
        return _End(self._expect("else", Kind.RIGHT).pos, "else")

    def _call(self) -> Node:
        token = self._tokens.peek_solid()
        name = self._name("template clause")
        following = self._tokens.next_solid()
        if following.kind is Kind.RIGHT:
            return Call(token.pos, name, None)
        self._tokens.back(following)
        return Call(token.pos, name, self._pipe("template clause", Kind.RIGHT))

    def _leave(self, word: str, token: Token) -> Node:
        self._expect(f"{{{{{word}}}}}", Kind.RIGHT)
        if not self._ranges:
            raise self._error(f"{{{{{word}}}}} outside {{{{range}}}}")
        return Break(token.pos) if word == "break" else Continue(token.pos)

    # -- pipelines ----------------------------------------------------------------------------------------------------

    def _pipe(self, context: str, end: Kind) -> Pipe:
        start = self._tokens.peek_solid()
        declared, assigns = self._declarations(context)
        commands: list[Command] = []
        while (token := self._tokens.next_solid()).kind is not end:
            if token.kind not in _OPERANDS:
                self._unexpected(token, context)
            self._tokens.back(token)
            commands.append(self._command())
        if not commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.args[0], _CONSTANTS):
                raise self._error(f"non executable command in pipeline stage {stage}")
        return Pipe(start.pos, tuple(declared), assigns, tuple(commands))

    def _declarations(self, context: str) -> tuple[list[Variable], bool]:
        declared: list[Variable] = []
        while (variable := self._tokens.next_solid()).kind is Kind.VARIABLE:
            after = self._tokens.next()
            sign = after if after.kind is not Kind.SPACE else self._tokens.next_solid()
            is_comma = sign.kind is Kind.CHAR and sign.text == ","
            if sign.kind not in (Kind.ASSIGN, Kind.DECLARE) and not is_comma:
                self._tokens.back(*([variable, after, sign] if after is not sign else [variable, sign]))
                return declared, False
            declared.append(Variable(variable.pos, tuple(variable.text.split("."))))
            self._variables.add(variable.text)
            if not is_comma:
                return declared, sign.kind is Kind.ASSIGN
            self._check_second(context, len(declared))
        self._tokens.back(variable)
        return declared, False

    def _check_second(self, context: str, count: int) -> None:
        if context != "range" or count > 1:
            raise self._error(f"too many declarations in {context}")
        if self._tokens.peek_solid().kind not in (Kind.VARIABLE, Kind.RIGHT, Kind.CLOSE):
            raise self._error("range can only initialize variables")

    def _command(self) -> Command:
        start = self._tokens.peek_solid()
        args: list[Node] = []
        while True:
            self._tokens.peek_solid()
            operand = self._operand()
            if operand is not None:
                args.append(operand)
            token = self._tokens.next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.RIGHT, Kind.CLOSE):
                self._tokens.back(token)
            elif token.kind is not Kind.PIPE:
                self._unexpected(token, "operand")
            break
        if not args:
            raise self._error("empty command")
        return Command(start.pos, tuple(args))

    def _operand(self) -> Node | None:
        term = self._term()
        following = self._tokens.peek()
        if term is None or following.kind is not Kind.FIELD:
            return term
        names: list[str] = []
        while self._tokens.peek().kind is Kind.FIELD:
            names.append(self._tokens.next().text[1:])
        if isinstance(term, Field):
            return Field(following.pos, (*term.names, *names))
        if isinstance(term, Variable):
            return Variable(following.pos, (*term.names, *names))
        if isinstance(term, _CONSTANTS):
            raise self._error(f"unexpected . after term {quote(str(term))}")
        return Chain(following.pos, term, tuple(names))

    def _term(self) -> Node | None:
        token = self._tokens.next_solid()
        pos = token.pos
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self._functions:
                    raise self._error(f"function {quote(token.text)} not defined")
                return Identifier(pos, token.text)
            case Kind.DOT:
                return Dot(pos)
            case Kind.NIL:
                return Nil(pos)
            case Kind.VARIABLE:
                return self._variable(token)
            case Kind.FIELD:
                return Field(pos, (token.text[1:],))
            case Kind.BOOL:
                return Bool(pos, token.text == "true")
            case Kind.CHARACTER | Kind.NUMBER:
                return self._number(token)
            case Kind.OPEN:
                self._enter()
                pipe = self._pipe("parenthesized pipeline", Kind.CLOSE)
                self._depth -= 1
                return pipe
            case Kind.STRING | Kind.RAW_STRING:
                return String(pos, token.text, self._unquote(token))
            case _:
                self._tokens.back(token)
                return None

    def _variable(self, token: Token) -> Node:
        if token.text not in self._variables:
            raise self._error(f"undefined variable {quote(token.text)}")
        return Variable(token.pos, (token.text,))

    def _number(self, token: Token) -> Node:
        read = literals.character if token.kind is Kind.CHARACTER else literals.number
        try:
            return Number(token.pos, token.text, read(token.text))
        except ValueError as error:
            raise self._error(str(error)) from error

    def _unquote(self, token: Token) -> str:
        try:
            return literals.unquote(token.text)
        except ValueError as error:
            raise self._error(str(error)) from error


def _is_blank(nodes: NodeList) -> bool:
    return all(isinstance(node, Text) and not node.text.strip() for node in nodes)
