"""What is said of a file that is refused.

Decides the text. First what 3.10.8 says of it, since scripts may match that; where in the file it
is comes after, wherever that is not plain: in a file of several lines, of several faults, and where
3.10.8 has no words but a crash. Never decides what is wrong.
"""

from __future__ import annotations

from mqd.definitions.faults import Fault, Refused
from mqd.definitions.parse import Unreadable, lines_of
from mqd.errors import ErrorCode, MqdError

JSON = "JSON"
ERLANG = "Erlang term format"


def of_unreadable(problem: Unreadable, source: str, *, located: bool) -> MqdError:
    """source: the file's name."""
    where = f"{source}:{problem}"
    if problem.shown is None:
        return MqdError(ErrorCode.INVALID_ARGUMENT, where)
    text = _failed(JSON, problem.shown)
    return MqdError(ErrorCode.INVALID_ARGUMENT, f"{text}\n{where}" if located else text)


def of_no_term(reason: str, source: str, *, located: bool) -> MqdError:
    """The same of a file that is no term."""
    shown = (
        '"errors were found at the given arguments:\\n\\n  * 1st argument: invalid external '
        'representation of a term\\n"'
    )
    text = _failed(ERLANG, shown)
    return MqdError(ErrorCode.INVALID_ARGUMENT, f"{text}\n{source}: {reason}" if located else text)


def _failed(shape: str, shown: str) -> str:
    return f"Failed to deserialise input (format: {shape}) (error: {shown})"


def of_refused(refused: Refused, source: str, data: bytes, *, located: bool) -> MqdError:
    """data: the file, for the lines of its objects."""
    first = refused.faults[0]
    known = first.recorded if len(refused.faults) == 1 and not refused.more else None
    if known is not None and not located:
        return MqdError(_code(first), known)
    lines = places(refused, source, data)
    return MqdError(_code(first), "\n".join(lines if known is None else [known, *lines]))


def places(refused: Refused, source: str, data: bytes) -> list[str]:
    """A line for every fault: file, line, object, what is wrong."""
    at = lines_of(data)
    lines = [
        f"{source}:{at[fault.at]}: {fault}" if fault.at in at else f"{source}: {fault}"
        for fault in refused.faults
    ]
    if refused.more:
        lines.append(f"{source}: and more; nothing was imported")
    return lines


def _code(fault: Fault) -> ErrorCode:
    """What chooses the exit code: 3.10.8 has one of its own for two of them."""
    if fault.code in (ErrorCode.NO_SUCH_VHOST, ErrorCode.INTERNAL):
        return fault.code
    return ErrorCode.PRECONDITION_FAILED
