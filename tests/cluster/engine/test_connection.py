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


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of a nats-server as a connection asks for."""
    writer.write(b'INFO {"server_id":"x","max_payload":1048576}\r\n')
    while line := await reader.readline():
        if line == b"PING\r\n":
            writer.write(b"PONG\r\n")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("fault", [asyncio.CancelledError, LookupError])
def test_a_close_that_is_broken_off_leaves_no_socket(fault: type[BaseException]) -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _serve(reader, writer)
            ended.set()

        async def breaks_off() -> None:
            raise fault

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        one = Connection()
        await one.open(server.sockets[0].getsockname()[1], "client", "secret")
        below = one._client
        below._flush_pending = breaks_off  # type: ignore[method-assign]
        with pytest.raises(fault):
            await one.close()
        await asyncio.wait_for(ended.wait(), PATIENCE_S)
        for task in (below._reading_task, below._ping_interval_task, below._flusher_task):
            assert task is not None
            task.cancel()
        one._wake.set()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
