"""What a client asks of a queue in a shard: the answer waits for the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tests.harness import Basic, Client, Got


class Runs(Protocol):
    """A cluster of a test."""

    def until(self, condition: Callable[[], bool]) -> Awaitable[None]:
        """Run it until that holds."""


async def answer(three: Runs, client: Client, method: Any) -> Got:
    """Of a method, when nothing else comes."""
    client.send(method)
    return await heard(three, client)


async def heard(three: Runs, client: Client) -> Got:
    """What comes next, and nothing more."""
    found: list[Got] = []

    def hear() -> bool:
        found.extend(client.take())
        return bool(found)

    await three.until(hear)
    assert len(found) == 1, found
    return found[0]


async def get(three: Runs, client: Client, queue: str = "q", *, no_ack: bool = False) -> Got | None:
    """basic.get: the message, or None when the queue is empty."""
    got = await answer(three, client, Basic.Get(0, queue, no_ack))
    return None if isinstance(got.method, Basic.GetEmpty) else got
