"""aio-pika: the asyncio client, with its reconnecting connection."""

from __future__ import annotations

import asyncio
import uuid

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError, PublishError
from aio_pika.patterns import RPC, Master

from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


async def test_work_queue_with_confirms(url: str) -> None:
    async with await aio_pika.connect_robust(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=5)
        queue = await channel.declare_queue(f"aio-{uuid.uuid4()}", durable=True)
        for number in range(25):
            message = aio_pika.Message(
                str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            )
            await channel.default_exchange.publish(message, queue.name)
        seen = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    seen.append(int(message.body))
                if len(seen) == 25:
                    break
        assert seen == list(range(25))
        await queue.delete()


@pytest.mark.parametrize(
    ("kind", "binding_key", "wanted"),
    [
        ("fanout", "", ["log.error", "log", "log.error.disc", "other"]),
        ("direct", "log", ["log"]),
        ("topic", "log.*", ["log.error"]),
        ("topic", "log.#", ["log.error", "log", "log.error.disc"]),
    ],
)
async def test_exchanges_give_every_subscriber_its_copy(
    url: str, kind: str, binding_key: str, wanted: list[str]
) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(f"aio-{uuid.uuid4()}", kind, auto_delete=True)
        queues = [await channel.declare_queue(exclusive=True) for _ in range(2)]
        for queue in queues:
            await queue.bind(exchange, binding_key)
        for key in ("log.error", "log", "log.error.disc", "other"):
            await exchange.publish(aio_pika.Message(b""), key)
        for queue in queues:
            got = [await queue.get(no_ack=True, timeout=PATIENCE_S) for _ in wanted]
            assert [message.routing_key for message in got if message is not None] == wanted
            assert await queue.get(fail=False) is None


async def test_headers(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(
            f"aio-{uuid.uuid4()}", aio_pika.ExchangeType.HEADERS, auto_delete=True
        )
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, arguments={"x-match": "all", "kind": "a", "size": 5})
        for kind, size in (("a", 5), ("a", 6), ("b", 5)):
            message = aio_pika.Message(kind.encode(), headers={"kind": kind, "size": size})
            await exchange.publish(message, "")
        got = await queue.get(timeout=PATIENCE_S)
        assert got is not None
        assert got.headers == {"kind": "a", "size": 5}
        await got.ack()
        assert await queue.get(fail=False) is None


async def test_unroutable_is_returned(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        with pytest.raises((DeliveryError, PublishError)):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), str(uuid.uuid4()))


async def test_rpc_pattern(url: str) -> None:
    async with await aio_pika.connect_robust(url) as connection:
        channel = await connection.channel()
        rpc = await RPC.create(channel)

        async def multiply(*, x: int, y: int) -> int:
            return x * y

        name = f"multiply-{uuid.uuid4()}"
        await rpc.register(name, multiply, auto_delete=True)
        results = await asyncio.gather(
            *(rpc.call(name, kwargs={"x": n, "y": 2}) for n in range(20))
        )
        assert results == [n * 2 for n in range(20)]


async def test_master_worker_pattern(url: str) -> None:
    async with await aio_pika.connect_robust(url) as connection:
        channel = await connection.channel()
        master = Master(channel)
        done: list[int] = []
        enough = asyncio.Event()

        async def work(*, number: int) -> None:
            done.append(number)
            if len(done) == 10:
                enough.set()

        name = f"work-{uuid.uuid4()}"
        worker = await master.create_worker(name, work, auto_delete=True)
        for number in range(10):
            await master.create_task(name, {"number": number})
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
        assert sorted(done) == list(range(10))
        await worker.close()


async def test_redelivery_after_reject(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(b"again"), queue.name)
        flags: list[bool | None] = []
        enough = asyncio.Event()

        async def take(message: AbstractIncomingMessage) -> None:
            flags.append(message.redelivered)
            if len(flags) == 1:
                await message.reject(requeue=True)
            else:
                await message.ack()
                enough.set()

        await queue.consume(take)
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
        assert flags == [False, True]


async def test_missing_queue_is_an_error_of_its_own(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelNotFoundEntity):
            await channel.declare_queue("no-such-queue", passive=True)
