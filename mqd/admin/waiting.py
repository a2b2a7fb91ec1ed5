"""From the broker's callbacks to something an operation can await.

Decides nothing but that a caller who goes away does not take the change back: what was proposed
is carried out. Changes have no time limit here: the call's deadline is the caller's, the ledger has
its own. A queue without a majority has one, for it would keep a script waiting for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mqd import limits
from mqd.broker.ports import Done
from mqd.broker.queues.base import Queue
from mqd.errors import ErrorCode, MqdError


async def holds(queue: Queue) -> bool:
    """Whether what a queue of this node said of itself just now was so: else it lives elsewhere.

    Raises UNAVAILABLE when no majority tells in time; what it was asked for may be done later."""
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    queue.prove(lambda proved: None if future.done() else future.set_result(proved))
    try:
        async with asyncio.timeout(limits.PROVED_S):
            return await future
    except TimeoutError as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"{queue.definition.resource} has no majority of its copies now: what was asked of it "
            "is done when it has, unless the members that are missing know better; start them",
        ) from error


async def answer(begin: Callable[[Done], None]) -> None:
    """Begin a change that tells its end to a `Done`; return then, or raise what it was told."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: Exception | None) -> None:
        if future.done():  # the caller went away
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    begin(done)
    await future
