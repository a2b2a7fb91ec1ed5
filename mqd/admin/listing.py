"""How a listing is cut: which columns, and how many rows a message.

Decides that only what was asked for is computed and that a long listing gives way to others
between two messages. Never knows what the columns of an entity are: tables of `snapshots` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from google.protobuf.message import Message

from mqd import limits
from mqd.admin import values
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import values_pb2

T = TypeVar("T")
Batch = TypeVar("Batch")


def batches(rows: Iterable[T], make: Callable[[list[T]], Batch]) -> Iterator[Batch]:
    """The rows in messages of at most CONTROL_ROWS_MAX; no message when there are none.

    Rows are made as the messages are taken: an entity that goes meanwhile is simply listed as it
    was when its row was made.
    """
    remaining = iter(rows)
    while chunk := list(islice(remaining, limits.CONTROL_ROWS_MAX)):
        yield make(chunk)


def columns(wanted: Sequence[str], known: Mapping[str, T]) -> dict[str, T]:
    """The entries of a table of info keys that were asked for; all when none was.

    Raises MqdError(USAGE) naming every key that does not exist.
    """
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise MqdError(ErrorCode.USAGE, f"Info key(s) {','.join(unknown)} are not supported")
    return {name: known[name] for name in wanted} if wanted else dict(known)


def fields_of(row: Any, chosen: Mapping[str, Callable[..., Any]], *args: Any) -> Any:
    """A row message with the chosen columns read off an entity; what is None stays unset.

    args: what the column functions are called with.
    """
    message = row()
    for name, read in chosen.items():
        value = read(*args)
        if value is not None:
            _put(message, name, value)
    return message


def _put(message: Any, name: str, value: Any) -> None:
    if isinstance(value, str):
        setattr(message, name, values.text(value))
    elif isinstance(value, int | float):
        setattr(message, name, value)
    elif isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, dict):
        getattr(message, name).CopyFrom(values.table(value))
    else:
        getattr(message, name).CopyFrom(values_pb2.Names(items=map(values.text, value)))
