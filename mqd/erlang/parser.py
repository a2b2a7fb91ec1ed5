"""Erlang expressions from tokens: what `eval` may be asked.

Decides which expressions there are: literals, tuples, lists, maps, binaries of whole values,
variables, matches, operators, calls, comprehensions, begin, case, if, fun and catch. Never
evaluates them. A node is a tuple whose first element is its kind (`Node`). Failures have the
words of Erlang's own parser (observed: OTP 25, erl_parse).
"""

from __future__ import annotations

import re
from typing import Any, Final

from mqd.erlang.lexer import KEYWORDS, Token, tokens
from mqd.erlang.terms import Atom, chars

Node = tuple[Any, ...]

_PLAIN_ATOM: Final = re.compile(r"[a-zß-öø-ÿ][\w@]*\Z")

# binding power of infix operators, loosest first; those of one row associate alike
_INFIX: Final = (
    ("right", ("=", "!")),
    ("left", ("orelse",)),
    ("left", ("andalso",)),
    ("none", ("==", "/=", "=<", "<", ">=", ">", "=:=", "=/=")),
    ("right", ("++", "--")),
    ("left", ("+", "-", "bor", "bxor", "bsl", "bsr", "or", "xor")),
    ("left", ("/", "*", "div", "rem", "band", "and")),
)
_PREFIX: Final = ("-", "+", "not", "bnot")


class Unparsable(Exception):
    """A sequence of tokens that means nothing; the message is erl_parse's."""

    def __init__(self, token: Token) -> None:
        super().__init__("syntax error before: " + _shown(token))
        self.line = token.line


def _shown(token: Token) -> str:
    """A token as erl_parse names it."""
    if not token.kind:
        return ""
    if token.kind == "string":
        return '"' + str(token.value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if token.kind in ("integer", "float", "var"):
        return str(token.value)
    if token.kind == "char":
        return "$" + chr(token.value)
    if token.kind == "dot":
        return "'.'"
    name = str(token.value)
    if token.kind == "atom" and _PLAIN_ATOM.match(name) and name not in KEYWORDS:
        return name
    return f"'{name}'"


def parse(text: str) -> list[Node]:
    """The expressions of a text that ends with a full stop. Raises Unscannable, Unparsable."""
    parser = _Parser(tokens(text))
    found = parser.sequence()
    parser.take("dot")
    if parser.token.kind:
        raise Unparsable(parser.token)
    return found


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0

    # -- tokens ------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self._tokens[self._at]

    def take(self, kind: str) -> Token:
        token = self.token
        if token.kind != kind:
            raise Unparsable(token)
        self._at += 1
        return token

    def skip(self, kind: str) -> bool:
        if self.token.kind != kind:
            return False
        self._at += 1
        return True

    # -- expressions -------------------------------------------------------------------------

    def sequence(self) -> list[Node]:
        """Expressions with commas between them."""
        found = [self.expression()]
        while self.skip(","):
            found.append(self.expression())
        return found

    def expression(self) -> Node:
        if self.skip("catch"):
            return ("catch", self.expression())
        return self._infix(0)

    def _infix(self, level: int) -> Node:
        if level == len(_INFIX):
            return self._prefix()
        kind, operators = _INFIX[level]
        left = self._infix(level + 1)
        while self.token.kind in operators:
            operator = self.take(self.token.kind).kind
            if kind == "right":
                right = self._infix(level)
                return ("match", left, right) if operator == "=" else ("op", operator, left, right)
            left = ("op", operator, left, self._infix(level + 1))
            if kind == "none":
                break
        return left

    def _prefix(self) -> Node:
        if self.token.kind in _PREFIX:
            operator = self.take(self.token.kind).kind
            return ("prefix", operator, self._prefix())
        return self._call()

    def _call(self) -> Node:
        node = self._primary()
        while True:
            if self.skip(":"):
                node = ("remote", node, self._primary())
            elif self.token.kind == "(":
                node = ("call", node, self._list_until("(", ")"))
            elif self.token.kind == "#":
                self.take("#")
                node = ("map", node, self._map_fields())
            else:
                return node

    def _primary(self) -> Node:
        token = self.token
        handler = _PRIMARIES.get(token.kind)
        if handler is None:
            raise Unparsable(token)
        self._at += 1
        return handler(self, token)

    def literal(self, token: Token) -> Node:
        return ("value", Atom(token.value) if token.kind == "atom" else token.value)

    def string(self, token: Token) -> Node:
        text = token.value
        while self.token.kind == "string":
            text += self.take("string").value
        return ("value", chars(text))

    def variable(self, token: Token) -> Node:
        return ("var", token.value)

    def parenthesis(self, token: Token) -> Node:
        node = self.expression()
        self.take(")")
        return node

    def make_tuple(self, token: Token) -> Node:
        return ("tuple", self._rest("}"))

    def make_map(self, token: Token) -> Node:
        return ("map", None, self._map_fields())

    def block(self, token: Token) -> Node:
        found = self.sequence()
        self.take("end")
        return ("begin", found)

    def _rest(self, closing: str) -> list[Node]:
        """Elements up to a closing bracket."""
        if self.skip(closing):
            return []
        found = self.sequence()
        self.take(closing)
        return found

    def _list_until(self, opening: str, closing: str) -> list[Node]:
        self.take(opening)
        return self._rest(closing)

    def _map_fields(self) -> list[tuple[str, Node, Node]]:
        self.take("{")
        fields: list[tuple[str, Node, Node]] = []
        if self.skip("}"):
            return fields
        while True:
            key = self._infix(1)
            sign = ":=" if self.token.kind == ":=" else "=>"
            self.take(sign)
            fields.append((sign, key, self.expression()))
            if not self.skip(","):
                self.take("}")
                return fields

    def make_list(self, token: Token) -> Node:
        if self.skip("]"):
            return ("value", [])
        items = [self.expression()]
        if self.skip("||"):
            return ("comprehension", items[0], self._qualifiers("]"))
        while self.skip(","):
            items.append(self.expression())
        tail = self.expression() if self.skip("|") else None
        self.take("]")
        return ("list", items, tail)

    def _qualifiers(self, closing: str) -> list[Node]:
        found: list[Node] = []
        while True:
            node = self.expression()
            found.append(("each", node, self.expression()) if self.skip("<-") else ("only", node))
            if not self.skip(","):
                self.take(closing)
                return found

    def make_binary(self, token: Token) -> Node:
        parts: list[tuple[Node, Node | None, tuple[str, ...]]] = []
        if self.skip(">>"):
            return ("binary", parts)
        while True:
            value = self._prefix_or_primary()
            size = self._primary() if self.skip(":") else None
            parts.append((value, size, self._specifiers()))
            if not self.skip(","):
                self.take(">>")
                return ("binary", parts)

    def _prefix_or_primary(self) -> Node:
        return self._prefix() if self.token.kind in _PREFIX else self._primary()

    def _specifiers(self) -> tuple[str, ...]:
        if not self.skip("/"):
            return ()
        names = [self.take("atom").value]
        while self.skip("-"):
            names.append(self.take("atom").value)
        return tuple(names)

    # -- clauses -----------------------------------------------------------------------------

    def case(self, token: Token) -> Node:
        subject = self.expression()
        self.take("of")
        return ("case", subject, self._clauses(pattern=True))

    def condition(self, token: Token) -> Node:
        return ("if", self._clauses(pattern=False))

    def _clauses(self, *, pattern: bool) -> list[Node]:
        found: list[Node] = []
        while True:
            head = self.expression() if pattern else None
            guard = self._guard() if not pattern or self.skip("when") else []
            self.take("->")
            found.append((head, guard, self.sequence()))
            if not self.skip(";"):
                self.take("end")
                return found

    def _guard(self) -> list[list[Node]]:
        found = [self.sequence()]
        while self.skip(";"):
            found.append(self.sequence())
        return found

    def function(self, token: Token) -> Node:
        if self.token.kind != "(":
            name = self._primary()
            if self.skip(":"):
                name = ("remote", name, self._primary())
            self.take("/")
            return ("reference", name, self.take("integer").value)
        clauses: list[Node] = []
        while True:
            heads = self._list_until("(", ")")
            guard = self._guard() if self.skip("when") else []
            self.take("->")
            clauses.append((heads, guard, self.sequence()))
            if not self.skip(";"):
                self.take("end")
                return ("fun", clauses)


_PRIMARIES: Final = {
    "atom": _Parser.literal,
    "integer": _Parser.literal,
    "float": _Parser.literal,
    "char": _Parser.literal,
    "string": _Parser.string,
    "var": _Parser.variable,
    "(": _Parser.parenthesis,
    "{": _Parser.make_tuple,
    "[": _Parser.make_list,
    "<<": _Parser.make_binary,
    "#": _Parser.make_map,
    "begin": _Parser.block,
    "case": _Parser.case,
    "if": _Parser.condition,
    "fun": _Parser.function,
}
