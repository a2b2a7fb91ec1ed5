"""Queues of another node over real links: sockets, TLS, the machine's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mqd.cluster.queues.remote_queues import RemoteQueues
from mqd.names import NodeName, PidSource
from tests.cluster.links.nodes import Cluster as Links
from tests.cluster.queues.worlds import Everywhere
from tests.harness import Basic, Client, Confirm, Queue, World, published
from tests.waiting import until


class Node(World):
    """One node, whose turns the loop ends."""

    def __init__(self, name: str, mesh: Any, everywhere: Everywhere) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.broker.node = NodeName(name)
        self.broker.pids = PidSource(name, 1)
        self.broker.topology = everywhere
        everywhere.nodes[name] = self.broker
        self.turn.wake = lambda: loop.call_soon(self.turn.run)
        self.queues = RemoteQueues(self.broker, mesh, loop.call_later, lambda definition: "b")
        self.queues.start()


class Nodes:
    """a and b, linked."""

    def __init__(self, links: Links) -> None:
        self.links = links
        everywhere = Everywhere()
        self.a = Node("a", links["a"], everywhere)
        self.b = Node("b", links["b"], everywhere)


@pytest_asyncio.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with Links(tmp_path) as links:
        await links.form("a", "b")
        nodes = Nodes(links)
        yield nodes
        nodes.a.queues.stop()
        nodes.b.queues.stop()


class Said:
    """What a client is told, as it comes."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lines: list[str] = []

    def look(self) -> list[str]:
        self.client.feed(b"")
        self.lines += self.client.said()
        return self.lines

    async def until(self, *lines: str) -> None:
        await until(lambda: len(self.look()) >= len(lines))
        assert self.lines == list(lines)
        self.lines = []


@pytest.mark.asyncio
async def test_publish_consume_settle_over_a_link(nodes: Nodes) -> None:
    there = nodes.b.connect()
    there.declare("q", durable=True)
    here = nodes.a.connect()
    said = Said(here)
    here.send(Confirm.Select())
    here.take()
    here.send_loose(Queue.Declare(queue="q", passive=True))
    await said.until("declare-ok q 0 0")
    body = "x" * 300_000
    here.feed(published("q", "small") + published("q", body))
    await until(lambda: said.look()[-1:] in (["ack 2 multiple"], ["ack 2"]))
    assert said.lines in (["ack 2 multiple"], ["ack 1", "ack 2"])  # as they came over the link
    said.lines = []
    assert nodes.b.queue("q").ready_count == 2
    got = there.get("q")
    assert got is not None
    there.nack(1)
    here.send(Basic.Consume(0, "q", "c"))
    await said.until("Basic.ConsumeOk", "deliver c 1 small*", f"deliver c 2 {body}")
    here.ack(2, multiple=True)
    queue = nodes.b.queue("q")
    await until(lambda: (queue.ready_count, queue.unacked_count) == (0, 0))


@pytest.mark.asyncio
async def test_an_exclusive_queue_is_known_when_it_is_declared(nodes: Nodes) -> None:
    here = nodes.a.connect()
    said = Said(here)
    here.send(Queue.Declare(queue="mine", exclusive=True))
    await said.until("declare-ok mine 0 0")
    there = nodes.b.connect()
    there.publish("mine", "hello")
    await until(lambda: nodes.a.queue("mine").ready_count == 1)
    here.drop()
    await until(lambda: "mine" not in nodes.b.broker.vhosts["/"].queues)


@pytest.mark.asyncio
async def test_a_node_that_is_gone_takes_its_clients_with_it(nodes: Nodes) -> None:
    there = nodes.b.connect()
    there.declare("q", durable=True)
    here = nodes.a.connect()
    said = Said(here)
    here.send(Basic.Consume(0, "q", "c"))
    await said.until("Basic.ConsumeOk")
    there.publish("q", "x")
    await said.until("deliver c 1 x")
    await nodes.links["a"].close()
    queue = nodes.b.queue("q")
    await until(lambda: (queue.ready_count, queue.unacked_count) == (1, 0))
    await said.until("cancel c")
