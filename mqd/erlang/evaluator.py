"""Expressions evaluated: what an expression is worth, given the functions there are.

Decides Erlang's semantics of the expressions that `mqd.erlang.parser` knows. Never has an effect of
its own: functions of modules come from a table that the caller gives. Bounded: an expression may
take a number of steps, not for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mqd.erlang import operators
from mqd.erlang.failures import BUILT_IN, Frame, Thrown, TooLong, undefined
from mqd.erlang.parser import Node
from mqd.erlang.terms import FALSE, TRUE, Atom, Term, freeze, same

Function = Callable[..., Term]
Library = Mapping[tuple[str, str, int], Function]
Scope = dict[str, Term]

STEPS_MAX: Final = 200_000
DEPTH_MAX: Final = 150  # calls of funs within funs

_APPLY: Final[Frame] = ("erl_eval", "do_apply", 7, 744)
_EXPRS: Final[Frame] = ("erl_eval", "exprs", 2, None)
_EXPRS_AT: Final[Frame] = ("erl_eval", "exprs", 2, 96)
_MATCH: Final = (("erl_eval", "expr", 6, 496), _EXPRS)
_CASE: Final = (("erl_eval", "case_clauses", 8, 1041), _EXPRS)
_IF: Final = (("erl_eval", "if_clauses", 5, 1019), _EXPRS)
_LOCAL: Final = (("erl_eval", "local_func", 8, 660), _EXPRS)


class Evaluator:
    """One evaluation. library: (module, function, arity) -> Python function of as many terms."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._steps = 0
        self._depth = 0

    def run(self, expressions: list[Node], scope: Scope) -> Term:
        """The last expression's value. Raises Thrown, TooLong."""
        value: Term = None
        for node in expressions:
            value = self._eval(node, scope)
        return value

    def _eval(self, node: Node, scope: Scope) -> Term:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise TooLong(f"the expression takes more than {STEPS_MAX} steps")
        return _KINDS[node[0]](self, node, scope)

    def _all(self, nodes: list[Node], scope: Scope) -> list[Term]:
        return [self._eval(node, scope) for node in nodes]

    # -- values ------------------------------------------------------------------------------

    def value(self, node: Node, scope: Scope) -> Term:
        return node[1]

    def variable(self, node: Node, scope: Scope) -> Term:
        name = node[1]
        if name not in scope:
            raise Thrown("error", (Atom("unbound_var"), Atom(name)), (_EXPRS_AT,))
        return scope[name]

    def make_tuple(self, node: Node, scope: Scope) -> Term:
        return tuple(self._all(node[1], scope))

    def make_list(self, node: Node, scope: Scope) -> Term:
        items = self._all(node[1], scope)
        tail = [] if node[2] is None else self._eval(node[2], scope)
        if not isinstance(tail, list):
            raise TooLong("improper lists are not known here")
        return items + tail

    def make_map(self, node: Node, scope: Scope) -> Term:
        base = {} if node[1] is None else self._eval(node[1], scope)
        if not isinstance(base, dict):
            raise self._applied((Atom("badmap"), base))
        found = dict(base)
        for sign, key_node, value_node in node[2]:
            key = hashable(self._eval(key_node, scope))
            if sign == ":=" and key not in found:
                raise self._applied((Atom("badkey"), key))
            found[key] = self._eval(value_node, scope)
        return found

    def make_binary(self, node: Node, scope: Scope) -> Term:
        parts = [
            operators.segment(
                self._eval(value, scope),
                None if size is None else self._eval(size, scope),
                kinds,
            )
            for value, size, kinds in node[1]
        ]
        return b"".join(parts)

    # -- operators ---------------------------------------------------------------------------

    def op(self, node: Node, scope: Scope) -> Term:
        _, operator, left_node, right_node = node
        left = self._eval(left_node, scope)
        if operator in ("andalso", "orelse"):
            if left not in (TRUE, FALSE):
                raise self._applied((Atom("badarg"), left))
            decided = (left == TRUE) is (operator == "orelse")
            return left if decided else self._eval(right_node, scope)
        right = self._eval(right_node, scope)
        return operators.infix(operator, left, right)

    def prefix(self, node: Node, scope: Scope) -> Term:
        return operators.prefix(node[1], self._eval(node[2], scope))

    def match(self, node: Node, scope: Scope) -> Term:
        value = self._eval(node[2], scope)
        if not self._matches(node[1], value, scope):
            raise Thrown("error", (Atom("badmatch"), value), _MATCH)
        return value

    def caught(self, node: Node, scope: Scope) -> Term:
        try:
            return self._eval(node[1], scope)
        except Thrown as thrown:
            return thrown.as_caught()

    # -- patterns ----------------------------------------------------------------------------

    def _matches(self, pattern: Node, value: Term, scope: Scope) -> bool:
        """Whether a value fits; binds the variables of the pattern."""
        kind = pattern[0]
        if kind == "var":
            if pattern[1] == "_":
                return True
            if pattern[1] not in scope:
                scope[pattern[1]] = value
                return True
            return same(scope[pattern[1]], value)
        if kind == "match":
            return self._matches(pattern[1], value, scope) and self._matches(
                pattern[2], value, scope
            )
        if kind == "tuple":
            return (
                isinstance(value, tuple)
                and len(value) == len(pattern[1])
                and all(self._matches(p, v, scope) for p, v in zip(pattern[1], value, strict=True))
            )
        if kind == "list":
            return self._matches_list(pattern, value, scope)
        if kind == "map":
            return isinstance(value, dict) and all(
                (key := hashable(self._eval(key_node, scope))) in value
                and self._matches(inner, value[key], scope)
                for _, key_node, inner in pattern[2]
            )
        return same(self._eval(pattern, scope), value)

    def _matches_list(self, pattern: Node, value: Term, scope: Scope) -> bool:
        _, heads, tail = pattern
        if not isinstance(value, list) or len(value) < len(heads):
            return False
        if tail is None and len(value) != len(heads):
            return False
        if not all(self._matches(p, v, scope) for p, v in zip(heads, value, strict=False)):
            return False
        return tail is None or self._matches(tail, value[len(heads) :], scope)

    def _guarded(self, guard: list[list[Node]], scope: Scope) -> bool:
        """Alternatives of conjunctions; a failure inside is no failure, only a no."""
        if not guard:
            return True
        for tests in guard:
            try:
                if all(self._eval(test, scope) == TRUE for test in tests):
                    return True
            except Thrown:
                continue
        return False

    # -- blocks ------------------------------------------------------------------------------

    def block(self, node: Node, scope: Scope) -> Term:
        return self.run(node[1], scope)

    def case(self, node: Node, scope: Scope) -> Term:
        subject = self._eval(node[1], scope)
        for head, guard, body in node[2]:
            attempt = dict(scope)
            if self._matches(head, subject, attempt) and self._guarded(guard, attempt):
                scope.update(attempt)
                return self.run(body, scope)
        raise Thrown("error", (Atom("case_clause"), subject), _CASE)

    def condition(self, node: Node, scope: Scope) -> Term:
        for _, guard, body in node[1]:
            if self._guarded(guard, scope):
                return self.run(body, scope)
        raise Thrown("error", Atom("if_clause"), _IF)

    def comprehension(self, node: Node, scope: Scope) -> Term:
        return [self._eval(node[1], inner) for inner in self._rows(node[2], scope)]

    def _rows(self, qualifiers: list[Node], scope: Scope) -> Iterator[Scope]:
        if not qualifiers:
            yield scope
            return
        first, rest = qualifiers[0], qualifiers[1:]
        if first[0] == "only":
            if self._eval(first[1], scope) == TRUE:
                yield from self._rows(rest, scope)
            return
        source = self._eval(first[2], scope)
        if not isinstance(source, list):
            raise self._applied((Atom("bad_generator"), source))
        bound = _variables(first[1])
        for item in source:
            inner = {name: value for name, value in scope.items() if name not in bound}
            if self._matches(first[1], item, inner):
                yield from self._rows(rest, inner)

    # -- functions ---------------------------------------------------------------------------

    def fun(self, node: Node, scope: Scope) -> Term:
        clauses = node[1]

        def call(*arguments: Term) -> Term:
            for heads, guard, body in clauses:
                bound = {name for head in heads for name in _variables(head)}
                inner = {name: value for name, value in scope.items() if name not in bound}
                fits = len(heads) == len(arguments) and all(
                    self._matches(h, a, inner) for h, a in zip(heads, arguments, strict=True)
                )
                if fits and self._guarded(guard, inner):
                    return self._deeper(body, inner)
            raise self._applied(Atom("function_clause"))

        return call

    def _deeper(self, body: list[Node], scope: Scope) -> Term:
        if self._depth == DEPTH_MAX:
            raise TooLong(f"functions call each other more than {DEPTH_MAX} deep")
        self._depth += 1
        try:
            return self.run(body, scope)
        finally:
            self._depth -= 1

    def reference(self, node: Node, scope: Scope) -> Term:
        """fun module:name/arity."""
        _, name, arity = node

        def call(*arguments: Term) -> Term:
            if len(arguments) != arity:
                raise self._applied((Atom("badarity"), list(arguments)))
            return self._apply(name, list(arguments), scope)

        return call

    def call(self, node: Node, scope: Scope) -> Term:
        return self._apply(node[1], self._all(node[2], scope), scope)

    def _apply(self, target: Node, arguments: list[Term], scope: Scope) -> Term:
        if target[0] == "remote":
            module, name = self._eval(target[1], scope), self._eval(target[2], scope)
            return self._remote(module, name, arguments)
        function = self._eval(target, scope)
        if isinstance(function, Atom):
            found = self._library.get(("erlang", function, len(arguments)))
            if found is None:
                raise undefined("erl_eval", function, len(arguments), _LOCAL)
            return self._invoke("erlang", function, found, arguments)
        if not callable(function):
            raise self._applied((Atom("badfun"), function))
        return function(*arguments)

    def _remote(self, module: Term, name: Term, arguments: list[Term]) -> Term:
        found = self._library.get((module, name, len(arguments)))
        if found is None:
            raise undefined(str(module), str(name), arguments, (_APPLY, _EXPRS))
        return self._invoke(str(module), str(name), found, arguments)

    def _invoke(self, module: str, name: str, function: Function, arguments: list[Term]) -> Term:
        try:
            return function(*arguments)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            # Python's ways to say that an argument is of the wrong kind
            frame = (module, name, arguments, BUILT_IN)
            raise Thrown("error", Atom("badarg"), (frame, _APPLY, _EXPRS)) from None

    def _applied(self, reason: Term) -> Thrown:
        return Thrown("error", reason, (_APPLY, _EXPRS))


def hashable(key: Term) -> Term:
    """A map's key; one that holds a map is refused: Python could not find it again."""
    try:
        hash(frozen := freeze(key))
    except TypeError:
        raise TooLong("a map's key cannot hold a map here") from None
    return frozen


def _variables(pattern: Any) -> set[str]:
    """Names that a pattern binds."""
    if isinstance(pattern, tuple) and pattern and pattern[0] == "var":
        return {pattern[1]} - {"_"}
    if isinstance(pattern, (tuple, list)):
        return {name for part in pattern for name in _variables(part)}
    return set()


_KINDS: Final = {
    "value": Evaluator.value,
    "var": Evaluator.variable,
    "tuple": Evaluator.make_tuple,
    "list": Evaluator.make_list,
    "map": Evaluator.make_map,
    "binary": Evaluator.make_binary,
    "op": Evaluator.op,
    "prefix": Evaluator.prefix,
    "match": Evaluator.match,
    "catch": Evaluator.caught,
    "begin": Evaluator.block,
    "case": Evaluator.case,
    "if": Evaluator.condition,
    "comprehension": Evaluator.comprehension,
    "fun": Evaluator.fun,
    "reference": Evaluator.reference,
    "call": Evaluator.call,
    "remote": Evaluator.value,
}
