"""`mqd.broker.broker`: vhosts, alarms, applied changes, recovery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mqd.amqp.replies import ConnectionError_
from mqd.auth.users import User
from mqd.broker.definitions import QueueDefinition
from mqd.broker.memory import MemoryStore
from mqd.broker.message import Message, content_of, names_of
from tests.harness import Basic, Client, World


@pytest.fixture
def world() -> World:
    return World()


def refused(world: World, vhost: str, user: str) -> str:
    with pytest.raises(ConnectionError_) as caught:
        world.broker.open_vhost(vhost, User(user))
    assert caught.value.code == 530
    return caught.value.text


def test_who_may_open_a_vhost(world: World) -> None:
    world.add_vhost("other")
    assert world.broker.open_vhost("/", User("guest")) is world.vhost
    assert refused(world, "none", "guest") == "vhost none not found"
    assert refused(world, "other", "guest") == "access to vhost 'other' refused for user 'guest'"


def test_connections_come_and_go(world: World) -> None:
    client = world.connect()
    (entry,) = world.broker.connections.values()
    assert list(entry.channels) == [1]
    client.drop()
    assert world.broker.connections == {}


def test_a_vhost_that_is_deleted_takes_all_along(world: World) -> None:
    world.add_vhost("v")
    world.directory.add("u", vhost="v")
    client, other = world.connect(user="u", vhost="v"), world.connect()
    client.declare("q", exclusive=True)
    client.declare("d", durable=True)
    other.declare("q")
    world.broker.apply_delete_vhost("v")
    world.broker.apply_delete_vhost("v")
    assert client.said() == ["connection.close CONNECTION_FORCED - vhost 'v' is deleted"]
    client.drop()
    assert "v" not in world.broker.vhosts
    assert other.declare("q", passive=True).queue == "q"


# -- alarms ---------------------------------------------------------------------------------------


def states(world: World) -> list[str]:
    return [entry.state for entry in world.broker.connections.values()]


def test_alarms_hold_publishers_alone(world: World) -> None:
    publisher, consumer = world.connect(), world.connect()
    consumer.declare("q")
    consumer.consume("q", "c")
    world.broker.set_alarm("memory", True)
    assert states(world) == ["blocking", "blocking"]
    publisher.publish("q", "m")
    assert states(world) == ["blocked", "blocking"]
    assert not publisher.transport.reading
    assert consumer.transport.reading
    world.broker.set_alarm("memory", False)
    assert states(world) == ["running", "running"]
    assert publisher.transport.reading


@pytest.mark.parametrize(
    ("alarms", "reason"),
    [
        (("memory",), "low on memory"),
        (("disk",), "low on disk"),
        (("disk", "memory"), "low on memory & disk"),
    ],
)
def test_the_reason_is_told(alarms: tuple[str, ...], reason: str, world: World) -> None:
    client, deaf = world.connect(), world.connect(capabilities={})
    for alarm in alarms:
        world.broker.set_alarm(alarm, True)
    for each in (client, deaf):
        each.publish("q", "m")
    (blocked,) = client.take()
    assert blocked.method.reason == reason
    assert deaf.said() == []
    assert not deaf.transport.reading


def test_all_alarms_have_to_end(world: World) -> None:
    client = world.connect()
    world.broker.set_alarm("memory", True)
    world.broker.set_alarm("disk", True)
    client.publish("q", "m")
    world.broker.set_alarm("memory", False)
    world.end_turns()
    assert not client.transport.reading
    world.broker.set_alarm("disk", False)
    world.end_turns()
    assert [got.name for got in client.take()] == ["Connection.Blocked", "Connection.Unblocked"]


def test_who_connects_under_an_alarm(world: World) -> None:
    world.broker.set_alarm("memory", True)
    client = world.connect()
    assert states(world) == ["blocking"]
    client.declare("q")
    client.publish("q", "m")
    assert states(world) == ["blocked"]


def test_who_was_known_publishes_and_is_held(world: World) -> None:
    """A route that was resolved before the alarm is no way round it."""
    client = world.connect()
    client.declare("q")
    client.publish("q", "m")
    world.broker.set_alarm("memory", True)
    client.publish("q", "m")
    assert states(world) == ["blocked"]


# -- recovery -------------------------------------------------------------------------------------


class OldStore(MemoryStore):
    """A store with messages of an earlier run: (queue id, body, delivered)."""

    def __init__(self, rows: list[tuple[int, str, bool]]) -> None:
        super().__init__()
        self.rows = rows
        self.settled: list[int] = []

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        for queue_id, body, delivered in self.rows:
            raw = body.encode()
            header = b"\0\x3c\0\0" + len(raw).to_bytes(8, "big") + b"\x10\0\x02"
            message = Message(names_of("", "d"), content_of(header, raw, 1, 0), True)
            self.append(queue_id, message)
            yield queue_id, message, delivered

    def settle_all(self, queue_id: int, keep: object) -> None:
        self.settled.append(queue_id)
        self.kept.pop(queue_id, None)


def old_world(rows: list[tuple[int, str, bool]]) -> tuple[World, OldStore]:
    """A broker that starts on those messages, with a durable queue d of id 5."""
    world = World()
    store = world.vhost.store = OldStore(rows)
    world.broker.apply_put_queue(QueueDefinition(5, "/", "d"))
    return world, store


def test_recovery() -> None:
    world, store = old_world([(5, "a", True), (5, "b", False), (9, "x", False), (5, "c", False)])
    assert world.broker.recover() == 3
    assert store.settled == [9]  # of a queue that is no more
    client: Client = world.connect()
    assert [str(client.get("d")) for _ in range(3)] == [
        "got 1 a* left 2",
        "got 2 b left 1",
        "got 3 c left 0",
    ]
    client.ack(3, multiple=True)
    assert not store.kept.get(5)


class TimedStore(OldStore):
    """Of its messages the first ended while the node was down."""

    def recover(self) -> Iterator[tuple[int, Message, bool]]:
        for at, row in enumerate(super().recover()):
            row[1].expires_ms = 1 if at == 0 else 2_000_000
            yield row


def test_what_ended_while_the_node_was_down_expires_like_anything_else() -> None:
    world = World()
    world.vhost.store = TimedStore([(5, "a", True), (5, "b", False)])
    dead_letter = {
        "x-dead-letter-exchange": ("longstr", b""),
        "x-dead-letter-routing-key": ("longstr", b"dead"),
    }
    world.broker.apply_put_queue(QueueDefinition(5, "/", "d", arguments=dead_letter))
    world.broker.apply_put_queue(QueueDefinition(6, "/", "dead"))
    assert world.broker.recover() == 2
    world.tick(10)
    client: Client = world.connect()
    assert str(client.get("dead")) == "got 1 a left 0"
    assert str(client.get("d")) == "got 2 b left 0"


def test_recovered_messages_may_be_purged() -> None:
    world, store = old_world([(5, "a", True), (5, "b", False)])
    world.broker.recover()
    assert world.queue("d").purge() == 2
    assert store.settled == [5]


def test_messages_behind_recovered_ones(world: World) -> None:
    world, _ = old_world([(5, "a", False)])
    world.broker.recover()
    client = world.connect()
    client.publish("d", "b")
    client.consume("d", "c", no_ack=True)
    assert client.bodies() == ["a", "b"]


# -- names ----------------------------------------------------------------------------------------


def test_names_nobody_guesses(world: World) -> None:
    names = {world.broker.random_name() for _ in range(100)}
    assert len(names) == 100
    assert {len(name) for name in names} == {22}
    assert len(world.broker.random_key()) == 16


def test_transient_ids_are_no_store_s(world: World) -> None:
    assert [world.broker.transient_id() for _ in range(3)] == [-1, -2, -3]


def test_cancel_is_told_to_those_who_understand(world: World) -> None:
    client, deaf = world.connect(), world.connect(capabilities={})
    for each in (client, deaf):
        each.declare("q")
        each.consume("q", "c")
    world.broker.apply_delete_queue("/", "q")
    world.end_turns()
    (got,) = client.take()
    assert isinstance(got.method, Basic.Cancel)
    assert got.method.nowait
    assert deaf.said() == []
