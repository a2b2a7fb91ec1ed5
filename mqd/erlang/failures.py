"""How an evaluation fails: Erlang's exceptions, and the bounds that Erlang does not have.

Decides what a failure carries and how it is told: as the pair of reason and stack that
`rabbitmqctl eval` prints (observed: 3.10.8 on OTP 25). Never decides when one happens.
"""

from __future__ import annotations

from typing import Any, Final

from mqd.erlang.terms import Atom, Term, chars

# module, function, arity or arguments, line in erl_eval: BUILT_IN for functions of the runtime
Frame = tuple[str, str, Any, int | None]
BUILT_IN: Final = -1


class TooLong(Exception):
    """An expression that asks for more than it may have, or for what is not there; says which."""


class Thrown(Exception):
    """kind: error, throw or exit. Only errors show their stack."""

    def __init__(self, kind: str, reason: Term, stack: tuple[Frame, ...] = ()) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason
        self.stack = stack

    def shown(self) -> Term:
        """What is printed: the reason, with the stack of an error."""
        return (
            (self.reason, [_frame(f) for f in self.stack]) if self.kind == "error" else self.reason
        )

    def as_caught(self) -> Term:
        """What `catch` makes of it."""
        if self.kind == "throw":
            return self.reason
        return (Atom("EXIT"), self.shown())


def undefined(module: str, name: str, given: Any, stack: tuple[Frame, ...]) -> Thrown:
    """No such function. given: its arguments, or how many."""
    return Thrown("error", Atom("undef"), ((module, name, given, None), *stack))


def _frame(frame: Frame) -> Term:
    module, name, given, line = frame
    if line == BUILT_IN:
        place: Term = [(Atom("error_info"), {Atom("module"): Atom("erl_erts_errors")})]
        return (Atom(module), Atom(name), given, place)
    place = [] if line is None else [(Atom("file"), chars(module + ".erl")), (Atom("line"), line)]
    return (Atom(module), Atom(name), given, place)
