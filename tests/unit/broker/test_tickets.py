"""`mqd.broker.tickets`, and what waits for tickets: confirms, transactions, dead letters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mqd.broker.tickets import REJECTED, TICKETS, Tickets
from tests.harness import (
    PERSISTENT,
    Basic,
    Client,
    Confirm,
    Queue,
    Tx,
    World,
    published,
)


class Store:
    def __init__(self) -> None:
        self.waiting: list[tuple[int, Callable[[], None]]] = []
        self.tickets = Tickets(self.when_durable)

    def when_durable(self, batch: int, call: Callable[[], None]) -> None:
        if batch > 0:
            self.waiting.append((batch, call))
        else:
            call()

    def commit(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, call in waiting:
            call()


def test_batches_alone_are_as_they_were() -> None:
    tickets = Store().tickets
    assert tickets.all_of([]) == 0
    assert tickets.all_of([0, 3, 2]) == 3
    assert tickets.all_of([0, REJECTED, 2]) == REJECTED


def test_one_ticket_stands_for_itself() -> None:
    tickets = Store().tickets
    ticket = tickets.new()
    assert ticket > TICKETS
    assert tickets.all_of([0, ticket]) == ticket
    assert tickets.all_of([ticket, REJECTED]) == REJECTED


@pytest.mark.parametrize("accepted", [True, False])
def test_tickets_and_a_batch_end_together(accepted: bool) -> None:
    store = Store()
    tickets = store.tickets
    first, second = tickets.new(), tickets.new()
    heard: list[bool] = []
    tickets.wait(tickets.all_of([first, 7, second]), heard.append)
    tickets.done(second)
    (tickets.done if accepted else tickets.rejected)(first)
    assert heard == []
    assert store.waiting[0][0] == 7
    store.commit()
    assert heard == [accepted]
    assert len(tickets) == 0


def test_a_ticket_ends_once_and_one_that_has_ended_is_done() -> None:
    tickets = Store().tickets
    ticket = tickets.new()
    heard: list[bool] = []
    tickets.wait(ticket, heard.append)
    tickets.rejected(ticket)
    tickets.done(ticket)
    assert heard == [False]
    tickets.wait(ticket, heard.append)
    assert heard == [False, True]


# -- in a broker ----------------------------------------------------------------------------------


class Slow:
    """Has a queue's messages wait for tickets."""

    def __init__(self, world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue = world.queue(name)
        self.tickets = world.vhost.tickets
        self.given: list[int] = []
        kind = type(self.queue)
        publish = kind.publish

        def slow(queue: Any, names: bytes, content: bytes, persistent: bool) -> int:
            result = publish(queue, names, content, persistent)
            if queue is not self.queue:
                return result
            self.given.append(self.tickets.new())
            return self.given[-1]

        monkeypatch.setattr(kind, "publish", slow)
        monkeypatch.setattr(
            kind, "gives_tickets", property(lambda queue: queue is self.queue), raising=False
        )
        world.vhost.version += 1


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


def _client(world: World) -> Client:
    client = world.connect()
    for name in ("slow", "quick"):
        client.call(Queue.Declare(queue=name, durable=True))
        client.call(Queue.Bind(queue=name, exchange="amq.fanout"))
    return client


def test_a_confirm_waits_for_a_ticket_and_others_go_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _client(world)
    slow = Slow(world, "slow", monkeypatch)
    client.call(Confirm.Select())
    client.feed(published("slow") + published("quick") + published("slow"))
    assert client.said() == ["ack 2"]
    world.vhost.tickets.rejected(slow.given[1])
    world.end_turns()
    assert client.said() == ["Basic.Nack"]
    world.vhost.tickets.done(slow.given[0])
    world.end_turns()
    assert client.said() == ["ack 1"]


def test_a_fanout_waits_for_the_ticket_and_the_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _client(world)
    slow = Slow(world, "slow", monkeypatch)
    client.call(Confirm.Select())
    client.feed(published("", exchange="amq.fanout", mode=PERSISTENT))
    world.vhost.tickets.done(slow.given[0])
    world.end_turns()
    assert client.said() == []
    world.commit()
    assert client.said() == ["ack 1"]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_commit_waits_for_a_ticket(
    world: World, monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    client = _client(world)
    slow = Slow(world, "slow", monkeypatch)
    client.call(Tx.Select())
    client.feed(published("slow") + published("quick"))
    client.send(Tx.Commit())
    assert client.said() == []
    end = world.vhost.tickets.done if accepted else world.vhost.tickets.rejected
    end(slow.given[0])
    world.end_turns()
    assert client.said() == [
        "Tx.CommitOk" if accepted else "channel.close PRECONDITION_FAILED - partial tx completion"
    ]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_dead_letter_leaves_its_queue_when_its_ticket_ends(
    world: World, monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    """At most once: rejected is gone too. At least once: it stays and is tried again."""
    client = _client(world)
    to_slow = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "slow"}
    owing = {
        **to_slow,
        "x-queue-type": "quorum",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    for name, arguments in (("once", to_slow), ("owing", owing)):
        client.call(Queue.Declare(queue=name, durable=True, arguments=arguments))
    slow = Slow(world, "slow", monkeypatch)
    for name in ("once", "owing"):
        client.publish(name, mode=PERSISTENT)
        world.commit()
        assert client.get(name) is not None
        client.send(Basic.Reject(1 if name == "once" else 2, requeue=False))
    kept = {name: world.queue(name).definition.id for name in ("once", "owing")}
    assert all(world.store.kept[each] for each in kept.values())
    for ticket in slow.given:
        (slow.tickets.done if accepted else slow.tickets.rejected)(ticket)
    world.end_turns()
    assert not world.store.kept[kept["once"]]
    assert bool(world.store.kept[kept["owing"]]) is not accepted
    assert len(slow.given) == 2
    world.tick(2000)
    assert len(slow.given) == (2 if accepted else 3)
    for ticket in slow.given[2:]:
        slow.tickets.done(ticket)
    world.end_turns()
    assert not world.store.kept[kept["owing"]]
