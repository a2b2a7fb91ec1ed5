"""Publishers that are faster than the disc, or whose messages go to many queues."""

from __future__ import annotations

import pytest

from mqd import limits
from mqd.broker import dead_letter, snapshots
from tests.harness import PERSISTENT, Basic, Client, Exchange, Queue, World, published


def state(client: Client) -> object:
    entry = client.session.entry
    assert entry is not None
    return snapshots.CONNECTION["state"](entry)


@pytest.fixture
def world() -> World:
    """A broker whose disc is waited for from the third message on."""
    world = World(commit_at_once=False)
    world.store.gathered_max = 3
    return world


def durable(client: Client, name: str = "q") -> None:
    client.send(Queue.Declare(queue=name, durable=True))
    client.take()


def test_a_publisher_waits_while_too_much_gathers(world: World) -> None:
    client = world.connect()
    durable(client)
    client.feed(published("q", "1", mode=PERSISTENT) + published("q", "2", mode=PERSISTENT))
    assert client.transport.reading
    assert state(client) == "running"
    client.feed(published("q", "3", mode=PERSISTENT))
    assert not client.transport.reading
    assert state(client) == "flow"
    client.feed(published("q", "4", mode=PERSISTENT))
    assert world.queue().ready_count == 3
    world.commit()
    assert client.transport.reading
    client.feed(b"")
    assert world.queue().ready_count == 4


def test_that_it_waited_is_shown_for_a_moment(world: World) -> None:
    client = world.connect()
    durable(client)
    client.feed(published("q", "1", mode=PERSISTENT) * 3)
    world.tick(5000)
    assert state(client) == "flow"
    world.commit()
    world.tick(500)
    assert state(client) == "flow"
    world.tick(1000)
    assert state(client) == "running"


def test_an_alarm_is_shown_rather(world: World) -> None:
    client = world.connect()
    durable(client)
    client.feed(published("q", "1", mode=PERSISTENT) * 3)
    world.broker.set_alarm("memory", True)
    assert state(client) == "blocking"


def test_who_adds_nothing_to_it_is_read(world: World) -> None:
    client, other = world.connect(), world.connect()
    durable(client)
    other.consume("q", "c")
    client.feed(published("q", "1", mode=PERSISTENT) * 3)
    other.take()
    other.send(Basic.Ack(1))
    other.feed(published("q", "transient"))
    assert other.transport.reading
    assert world.queue().unacked_count == 3


def test_one_that_is_gone_meanwhile(world: World) -> None:
    client = world.connect()
    durable(client)
    client.feed(published("q", "1", mode=PERSISTENT) * 3)
    client.drop()
    world.commit()
    assert world.vhost.pressing == []
    assert not client.transport.reading


def test_many_copies_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COPIES_MAX", 200)
    world = World()
    client = world.connect()
    client.send(Exchange.Declare(exchange="x", exchange_type="fanout"))
    for index in range(limits.COPIES_WIDE):
        client.send(Queue.Declare(queue=f"q{index}"), Queue.Bind(queue=f"q{index}", exchange="x"))
    client.take()
    client.hold_turns = True
    client.feed(published("any", "m", exchange="x") * 10)
    seen = [world.queue("q0").ready_count]
    assert not client.transport.reading
    while world.turn.later:
        world.turn.run()
        seen.append(world.queue("q0").ready_count)
    assert seen == [4, 8, 10]
    assert world.queue("q0").ready_count == world.queue("q63").ready_count == 10
    assert client.transport.reading


def test_some_copies_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COPIES_MAX", 1)
    world = World()
    client = world.connect()
    client.declare("q")
    client.hold_turns = True
    client.feed(published("q", "m") * 10)
    assert world.queue().ready_count == 10


@pytest.mark.parametrize(
    "full",
    [
        {"x-max-length": 0, "x-overflow": "reject-publish-dlx"},
        {"x-max-length": 0},
        {"x-max-length": 100, "x-max-length-bytes": 0},
    ],
)
def test_dead_letters_do_not_gather_faster_than_they_go(
    full: dict[str, object], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter, "_TURN_LETTERS_MAX", 50)
    client = world.connect()
    client.declare("dead")
    routed = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    client.declare("q", arguments={**full, **routed})
    other = world.connect()
    client.hold_turns = other.hold_turns = True
    letters, most, reads = world.vhost.dead_letters, 0, 0
    for _ in range(60):
        if client.transport.reading:
            client.feed(published("q", "m") * 80)
            reads += 1
        most = max(most, len(letters._waiting) + world.queue().ready_count)
        other.feed(published("dead", "m"))
        assert other.transport.reading
        world.turn.run()
    assert reads > 25
    assert most < 200
    world.end_turns()
    assert world.queue("dead").ready_count == reads * 80 + 60
    assert world.queue().ready_count == 0
    assert client.transport.reading
