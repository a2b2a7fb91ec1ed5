"""What happens on a node, to whoever asks, as it happens.

Decides when a listener is let go: when its time is over, when it hangs up, when the application
stops, or when it is so slow that events would pile up. Never says what an event is: the broker
does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from mqd.admin import values
from mqd.admin.context import AdminContext
from mqd.amqp.fields import Field
from mqd.auth.patterns import InvalidPattern, compile_pattern
from mqd.broker.events import Facts
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import events_pb2 as pb
from mqd.rpc.v1 import values_pb2

_LOOK_S: Final = 0.5  # how often it is looked whether the application still runs
_WAITING_MAX: Final = 100_000


async def consume(
    ctx: AdminContext, request: pb.ConsumeEventsRequest
) -> AsyncIterator[pb.EventRows]:
    """Events whose names match. Raises UNAVAILABLE in 3.10.8's word while the app is stopped.

    A pattern that is none matches nothing (observed: 3.10.8).
    """
    broker = ctx.node.broker
    if broker is None:
        raise MqdError(ErrorCode.UNAVAILABLE, "noproc")
    try:
        matches = compile_pattern(request.pattern).search
    except InvalidPattern:
        return
    loop = asyncio.get_running_loop()
    end = loop.time() + request.duration if request.HasField("duration") else float("inf")
    heard: asyncio.Queue[tuple[str, Facts]] = asyncio.Queue(_WAITING_MAX)
    is_behind = False

    def hear(event: str, facts: Facts) -> None:
        nonlocal is_behind
        if matches(event.encode()) is None:
            return
        try:
            heard.put_nowait((event, facts))
        except asyncio.QueueFull:
            is_behind = True

    stop = broker.events.subscribe(hear)
    try:
        while ctx.node.broker is broker and (left := end - loop.time()) > 0 and not is_behind:
            try:
                async with asyncio.timeout(min(left, _LOOK_S)):
                    first = await heard.get()
            except TimeoutError:
                continue
            found = [first, *(heard.get_nowait() for _ in range(heard.qsize()))]
            yield pb.EventRows(rows=[_row(event, facts) for event, facts in found])
    finally:
        stop()


def _row(event: str, facts: Facts) -> pb.EventRow:
    return pb.EventRow(
        event=event,
        facts=[pb.Fact(name=values.text(name), value=_term(name, field)) for name, field in facts],
    )


def _term(name: str, field: Field) -> values_pb2.Term:
    """What 3.10.8's tool is told: an object only where the keys are words of its own."""
    kind, value = field
    if kind == "longstr":
        return values.binary(value.decode("utf-8", "replace"))
    if kind == "bool":
        return values_pb2.Term(boolean=value)
    if kind == "double":
        return values_pb2.Term(float=value)
    if kind == "array":
        return values.term_list(_term("", item) for item in value)
    if kind == "table":
        pairs = {key: _term("", item) for key, item in value.items()}
        if name == "cluster_state":
            return values.proplist(pairs)
        return values.term_list(
            values.term_tuple((values.binary(key), item)) for key, item in pairs.items()
        )
    return values_pb2.Term(integer=value)
