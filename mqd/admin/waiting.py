"""From the broker's callbacks to something an operation can await.

Decides nothing but that a caller who goes away does not take the change back: what was proposed
is carried out. Never has a time limit of its own: the call's deadline is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mqd.broker.ports import Done
from mqd.broker.queues.base import Queue


async def holds(queue: Queue) -> bool:
    """Whether what a queue of this node said of itself just now was so: else it lives elsewhere."""
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    queue.prove(lambda proved: None if future.done() else future.set_result(proved))
    return await future


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
