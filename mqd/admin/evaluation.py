"""Expressions that scripts have RabbitMQ's node evaluate, answered from mqd's own state.

Decides how an evaluation becomes a reply, and which texts are bound to which names. What may be
called is in `mqd.admin.functions`. Never runs anything but the small language of `mqd.erlang`:
no expression can reach Python, files or other processes.
"""

from __future__ import annotations

from typing import Final

from mqd.admin import functions, values
from mqd.admin.context import AdminContext
from mqd.erlang.evaluator import Evaluator
from mqd.erlang.failures import Thrown, TooLong
from mqd.erlang.lexer import Unscannable
from mqd.erlang.library import PURE
from mqd.erlang.parser import Unparsable, parse
from mqd.erlang.terms import Atom, Frozen, Term, is_text, thaw
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import evaluation_pb2 as pb
from mqd.rpc.v1 import values_pb2

_LENGTH_MAX: Final = 100_000  # characters of an expression
_INT64: Final = range(-(2**63), 2**63)


async def evaluate(ctx: AdminContext, request: pb.EvalRequest) -> pb.EvalReply:
    """Raises INVALID_ARGUMENT for what is no expression, or asks for too much."""
    if len(request.expression) > _LENGTH_MAX:
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT, f"the expression is longer than {_LENGTH_MAX} characters"
        )
    scope = {f"_{n}": text.encode() for n, text in enumerate(request.arguments, 1)}
    node = functions.NodeFunctions(ctx)
    try:
        program = parse(request.expression)
        result = Evaluator({**PURE, **node.table}).run(program, dict[str, Term](scope))
        return pb.EvalReply(printed=node.printed, value=term(result))
    except Thrown as thrown:
        return pb.EvalReply(printed=node.printed, value=term(thrown.shown()), failed=True)
    except (Unscannable, Unparsable, TooLong) as error:
        raise MqdError(ErrorCode.INVALID_ARGUMENT, str(error)) from error
    except RecursionError:
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT, "the expression is nested too deeply to be evaluated"
        ) from None


def term(value: Term) -> values_pb2.Term:
    """A value of `mqd.erlang` as a message."""
    if isinstance(value, Atom):
        if value in ("true", "false"):
            return values_pb2.Term(boolean=value == "true")
        return values.atom(value)
    if isinstance(value, int):
        if value not in _INT64:
            return values_pb2.Term(big=str(value))
        return values_pb2.Term(integer=value)
    if isinstance(value, float):
        return values_pb2.Term(float=value)
    if isinstance(value, bytes):
        return _binary(value)
    if isinstance(value, (list, Frozen)):
        return _list(thaw(value) if isinstance(value, Frozen) else value)
    if isinstance(value, tuple):
        return values.term_tuple(map(term, value))
    if isinstance(value, dict):
        pairs = [values_pb2.TermPair(key=term(key), value=term(v)) for key, v in value.items()]
        return values_pb2.Term(map=values_pb2.TermMap(pairs=pairs))
    return values_pb2.Term(pid="#Fun<erl_eval>")


def _binary(value: bytes) -> values_pb2.Term:
    try:
        return values_pb2.Term(binary=value.decode())
    except UnicodeDecodeError:
        return values_pb2.Term(octets=value)


def _list(value: list[Term]) -> values_pb2.Term:
    if value and is_text(value):
        return values_pb2.Term(chars="".join(map(chr, value)))
    return values.term_list(map(term, value))
