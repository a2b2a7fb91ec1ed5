"""A connection to the own server when what is below it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mqd.cluster.engine.connection import Connection, Lost
from mqd.cluster.ports import NoMajority
from tests.waiting import PATIENCE_S


class Failing:
    """Stands for nats-py's client: some publishes fail with what is none of its errors."""

    def __init__(self) -> None:
        self.is_connected = True
        self.sent = asyncio.Event()

    async def publish(self, subject: str, *_: Any) -> None:
        if subject == "bad":
            raise BufferError("not one of nats-py's")
        self.sent.set()

    async def close(self) -> None:
        pass


def connection() -> tuple[Connection, Failing]:
    made, below = Connection(), Failing()
    made._client = below  # type: ignore[assignment]
    made._writer = asyncio.get_running_loop().create_task(made._write())
    return made, below


def ask(asked: Connection, subject: str) -> asyncio.Future[bool]:
    return asked.ask(subject, b"", None, 30.0, lambda _: True)


def test_a_question_that_cannot_be_sent_is_answered_and_holds_up_no_other() -> None:
    async def run() -> None:
        one, below = connection()
        answer = ask(one, "bad")
        ask(one, "good")
        with pytest.raises(NoMajority, match="not sent"):
            await asyncio.wait_for(answer, PATIENCE_S)
        await asyncio.wait_for(below.sent.wait(), PATIENCE_S)
        await one.close()

    asyncio.run(run())


def test_a_connection_that_broke_that_way_is_over() -> None:
    async def run() -> None:
        one, below = connection()
        below.is_connected = False
        others = ask(one, "bad"), ask(one, "good")
        await asyncio.wait_for(one.lost, PATIENCE_S)
        for answer, why in zip(others, ("not sent", "lost"), strict=True):
            with pytest.raises(NoMajority, match=why):
                await answer
        with pytest.raises(Lost):
            await ask(one, "good")
        await one.close()

    asyncio.run(run())
