"""`mqd.broker.delays` and x-delayed-message: what waits, for how long, and where."""

from __future__ import annotations

import asyncio

import pytest

from mqd.amqp.fields import Field
from mqd.amqp.properties import Properties, decode, encode
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.delays import QUEUE_ID, Delays
from mqd.broker.exchanges.delayed_message import DelayedMessageExchange, delay_ms, waited
from mqd.broker.message import Message, content_of
from mqd.broker.settings import Settings
from tests.harness import PERSISTENT, Client, Confirm, Exchange, Tx, World


def declared(client: Client, name: str = "x", kind: str = "direct", **options: object) -> None:
    client.call(
        Exchange.Declare(
            0, name, "x-delayed-message", arguments={"x-delayed-type": kind}, **options
        )
    )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect()
    declared(client)
    client.declare("q")
    client.bind("q", "x", "k")
    return client


def late(client: Client, body: str, delay: object, exchange: str = "x", **options: object) -> None:
    client.publish("k", body, exchange=exchange, headers={"x-delay": delay}, **options)


def bodies(client: Client, queue: str = "q") -> list[str]:
    found = []
    while (got := client.get(queue, no_ack=True)) is not None:
        found.append(got.body.decode())
    return found


# -- how long ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "ms"),
    [
        (None, 0),
        (("signedint", 5000), 5000),
        (("signedint", -5000), 0),
        (("signedint", 0), 0),
        (("long", 4294967295), 4294967295),
        (("long", 4294967296), 0),
        (("short", 7), 7),
        (("unsignedbyte", 200), 200),
        (("longstr", b"250"), 250),
        (("longstr", b"-250"), 0),
        (("longstr", b"soon"), 0),
        (("longstr", b"1.5"), 0),
        (("double", 99.9), 99),
        (("double", float("inf")), 0),
        (("double", float("nan")), 0),
        (("bool", True), 0),
        (("timestamp", 5), 0),
        (("void", None), 0),
    ],
)
def test_delays(field: Field | None, ms: int) -> None:
    assert delay_ms(field) == ms


@pytest.mark.parametrize(
    ("field", "after"),
    [
        (("signedint", 5), ("signedint", -5)),
        (("longstr", b"5"), ("signedint", -5)),
        (("long", 2**31), ("signedint", -(2**31))),
        (("long", 2**31 + 1), ("long", -(2**31) - 1)),
    ],
)
def test_what_has_waited_says_so(field: Field, after: Field) -> None:
    said = Properties(headers={"x-delay": field, "a": ("void", None)}, priority=3)
    message = Message(b"", content_of(encode(said, 4), b"body", 1, 0))
    done = Message(b"", waited(message.content))
    assert decode(done.header).headers == {"x-delay": after, "a": ("void", None)}
    assert (decode(done.header).priority, done.body, done.body_bytes) == (3, b"body", 4)


# -- waiting -------------------------------------------------------------------------------------


def test_in_order_of_time_then_of_arrival(world: World, client: Client) -> None:
    for body, delay in (("c", 300), ("a", 100), ("now", 0), ("b1", 200), ("b2", 200)):
        late(client, body, delay)
    client.publish("k", "plain", exchange="x")
    assert bodies(client) == ["now", "plain"]
    world.tick(99)
    assert bodies(client) == []
    world.tick(1)
    assert bodies(client) == ["a"]
    world.tick(150)
    assert bodies(client) == ["b1", "b2"]
    world.tick(50)
    assert bodies(client) == ["c"]
    assert len(world.vhost.delays) == 0


def test_what_a_consumer_gets(world: World, client: Client) -> None:
    client.consume("q", no_ack=True)
    late(client, "m", "50", mode=PERSISTENT, priority=1)
    world.tick(50)
    (got,) = client.take()
    assert got.properties.headers == {"x-delay": -50}
    assert (got.properties.delivery_mode, got.properties.priority) == (2, 1)
    assert (got.method.exchange, got.method.routing_key) == ("x", "k")


def test_it_is_routed_when_its_time_has_come(world: World, client: Client) -> None:
    late(client, "m", 50)
    client.declare("late")
    client.bind("late", "x", "k")
    client.call(Exchange.Declare(0, "e", "fanout"))
    client.call(Exchange.Bind(0, "e", "x", "k"))
    client.declare("behind")
    client.bind("behind", "e")
    world.tick(50)
    assert [bodies(client, queue) for queue in ("q", "late", "behind")] == [["m"]] * 3


def test_cc_and_bcc_are_routed_too(world: World, client: Client) -> None:
    for queue in ("cc", "bcc"):
        client.declare(queue)
        client.bind(queue, "x", queue)
    client.publish("k", "m", exchange="x", headers={"x-delay": 10, "CC": ["cc"], "BCC": ["bcc"]})
    world.tick(10)
    assert [bodies(client, queue) for queue in ("q", "cc", "bcc")] == [["m"]] * 3


def test_through_another_exchange_and_only_once(world: World, client: Client) -> None:
    declared(client, "second", "fanout")
    client.call(Exchange.Declare(0, "f", "fanout"))
    client.call(Exchange.Bind(0, "x", "f", ""))
    client.call(Exchange.Bind(0, "second", "x", "k"))
    client.declare("end")
    client.bind("end", "second")
    client.publish("k", "m", exchange="f", headers={"x-delay": 10})
    world.tick(10)
    assert [bodies(client, queue) for queue in ("q", "end")] == [["m"], ["m"]]


def test_mandatory_and_the_alternate_exchange_wait_as_well(world: World) -> None:
    """The plugin takes what is delayed for unroutable: it returns it, and sends it to the
    alternate exchange at once."""
    client = world.connect()
    client.call(
        Exchange.Declare(
            0,
            "x",
            "x-delayed-message",
            arguments={"x-delayed-type": "direct", "alternate-exchange": "amq.fanout"},
        )
    )
    client.declare("other")
    client.bind("other", "amq.fanout")
    late(client, "m", 10, mandatory=True)
    assert (client.take(), bodies(client, "other")) == ([], [])
    world.tick(10)
    assert bodies(client, "other") == ["m"]


def test_a_dead_letter_waits(world: World, client: Client) -> None:
    client.declare(
        "dying",
        arguments={"x-dead-letter-exchange": "x", "x-dead-letter-routing-key": "k"},
    )
    client.publish("dying", "m", headers={"x-delay": 100})
    got = client.get("dying")
    assert got is not None
    client.nack(got.method.delivery_tag, requeue=False)
    assert bodies(client) == []
    world.tick(100)
    assert bodies(client) == ["m"]


def test_a_rollback_delays_nothing(world: World, client: Client) -> None:
    client.call(Tx.Select())
    late(client, "undone", 10)
    client.call(Tx.Rollback())
    late(client, "done", 10)
    client.call(Tx.Commit())
    world.tick(10)
    assert bodies(client) == ["done"]


def test_what_its_exchange_no_longer_routes_is_dropped(world: World, client: Client) -> None:
    late(client, "m", 10)
    late(client, "n", 20)
    client.call(Exchange.Delete(0, "x"))
    world.tick(10)
    assert len(world.vhost.delays) == 1
    declared(client)
    client.bind("q", "x", "k")
    world.tick(10)
    assert bodies(client) == ["n"]


@pytest.mark.parametrize("kind", ["x-delayed-message", "nosuch", ""])
def test_it_needs_another_type(world: World, kind: str) -> None:
    client = world.connect()
    client.send(Exchange.Declare(0, "x", "x-delayed-message", arguments={"x-delayed-type": kind}))
    assert client.said() == [
        "channel.close PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an "
        "existing exchange type"
    ]


def test_bindings_and_arguments_are_those_of_the_other_type(world: World) -> None:
    client = world.connect(channels=2)
    client.send(
        Exchange.Declare(
            0,
            "x",
            "x-delayed-message",
            arguments={"x-delayed-type": "x-consistent-hash", "hash-property": "nosuch"},
        ),
    )
    assert client.said() == ["channel.close PRECONDITION_FAILED - Unsupported property: nosuch"]
    client = world.connect()
    declared(client, kind="x-consistent-hash")
    client.declare("q")
    client.bind("q", "x", "1")
    late(client, "m", 10)
    world.tick(10)
    assert bodies(client) == ["m"]


# -- the disc ------------------------------------------------------------------------------------


def restarted(old: World) -> World:
    """A world whose store tells what the old one kept."""
    world = World()
    world.clock.now_ms = old.clock.now_ms
    client = world.connect()
    declared(client, durable=True)
    client.declare("q", durable=True)
    client.bind("q", "x", "k")
    for message in list(old.store.kept.get(QUEUE_ID, {}).values()):
        again = Message(message.names, message.content, message.persistent)
        again.stored, again.segment, again.index = True, 1, message.index
        world.store.kept.setdefault(QUEUE_ID, {})[again.index] = again
        world.vhost.delays.recover(again)
    return world


def durable() -> tuple[World, Client]:
    world = World(commit_at_once=False)
    client = world.connect()
    declared(client, durable=True)
    client.declare("q", durable=True)
    client.bind("q", "x", "k")
    return world, client


def test_it_is_confirmed_when_it_is_on_disc() -> None:
    world, client = durable()
    client.call(Confirm.Select())
    late(client, "m", 100)
    assert client.said() == []
    world.commit()
    assert client.said() == ["ack 1"]


def test_it_leaves_the_disc_when_its_queue_has_it_there() -> None:
    world, client = durable()
    late(client, "m", 100, mode=PERSISTENT)
    world.commit()
    world.tick(100)
    assert (world.queue("q").ready_count, len(world.store.kept[QUEUE_ID])) == (1, 1)
    world.commit()
    assert not world.store.kept[QUEUE_ID]
    assert bodies(client) == ["m"]


def test_what_waits_for_a_transient_exchange_is_not_stored(world: World, client: Client) -> None:
    late(client, "m", 100, mode=PERSISTENT)
    assert world.store.kept == {}


def test_after_a_restart_it_waits_for_the_rest_of_its_time() -> None:
    world, client = durable()
    for body, delay in (("b", 200), ("a", 100), ("overdue", 50)):
        late(client, body, delay)
    world.commit()
    world.clock.advance(60)
    world = restarted(world)
    client = world.connect()
    world.tick(0)
    assert bodies(client) == ["overdue"]
    world.tick(39)
    assert bodies(client) == []
    world.tick(1)
    assert bodies(client) == ["a"]
    world.tick(100)
    assert bodies(client) == ["b"]
    assert not world.store.kept[QUEUE_ID]


def test_without_its_plugin_it_waits() -> None:
    world, client = durable()
    late(client, "m", 10)
    world.commit()
    (message,) = world.store.kept[QUEUE_ID].values()
    exchange = world.vhost.exchanges.pop("x")
    for types in ({}, {"x-delayed-message": DelayedMessageExchange}):  # nor with its type alone
        world.broker.exchange_types = types
        world.vhost.exchanges.pop("x", None)
        world.vhost.apply_put_exchange(exchange.definition)
        delays = Delays(world.vhost)
        delays.recover(message)
        assert (delays.next_due_ms(), len(delays), len(world.store.kept[QUEUE_ID])) == (None, 1, 1)
    del world.vhost.exchanges["x"]
    delays = Delays(world.vhost)
    delays.recover(message)
    assert (len(delays), len(world.store.kept[QUEUE_ID])) == (0, 0)


def test_what_comes_due_while_clients_are_sent_away_stays_on_disc() -> None:
    """In a queue a transient one would be lost with the process."""
    world, client = durable()
    late(client, "m", 10)
    world.commit()
    asyncio.run(world.listener.stop(0))
    world.tick(10)
    assert (world.queue("q").ready_count, len(world.store.kept[QUEUE_ID])) == (0, 1)


@pytest.mark.parametrize("count", [1, 3000])  # in memory, and mostly in pages
def test_its_plugin_comes_and_goes_under_way(count: int) -> None:
    """Those that became due meanwhile come at once, the others in their time."""
    world = World(Settings(queue_memory_messages_max=1000))
    client = world.connect()
    declared(client)
    client.declare("q")
    client.bind("q", "x", "k")
    types = world.broker.exchange_types
    for number in range(count):
        late(client, str(number), 10)
    late(client, "last", 1000)
    world.broker.use_exchange_types(
        {name: kind for name, kind in types.items() if name != "x-delayed-message"}
    )
    for _ in range(count // 512 + 1):
        world.tick(20)
    delays = world.vhost.delays
    assert (world.queue("q").ready_count, len(delays)) == (0, count + 1)
    assert len(delays._heap) <= 1001
    world.broker.use_exchange_types(types)
    for _ in range(count // 512 + 1):
        world.tick(0)
    assert (world.queue("q").ready_count, len(delays)) == (count, 1)
    assert sorted(map(int, bodies(client))) == list(range(count))
    world.tick(1000)
    assert bodies(client) == ["last"]


def test_what_leads_to_an_exchange_without_its_plugin_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, client = durable()
    world.vhost.apply_put_exchange(ExchangeDefinition("/", "gone", "x-gone"))
    client.call(Exchange.Bind(0, "gone", "x", "k"))
    late(client, "m", 10)
    world.commit()
    world.tick(10)
    assert (len(world.vhost.delays), len(world.store.kept[QUEUE_ID])) == (1, 1)
    assert "a delayed message goes on waiting: Cannot route message" in caplog.text
    client.call(Exchange.Unbind(0, "gone", "x", "k"))
    world.vhost.exchange_types_changed()
    world.tick(0)
    assert (world.queue("q").ready_count, len(world.vhost.delays)) == (1, 0)


# -- memory --------------------------------------------------------------------------------------


def test_most_of_many_wait_on_disc() -> None:
    world = World(Settings(queue_memory_messages_max=1000))
    client = world.connect()
    declared(client)
    client.declare("q")
    client.bind("q", "x", "k")
    # runs that overlap in time: near and far ones by turns
    order = sorted(range(5000), key=lambda number: (number * 7919) % 5000)
    for number in order:
        late(client, str(number), 10 + number)
    delays = world.vhost.delays
    assert len(delays) == 5000
    assert len(delays._heap) <= 1001
    assert world.spool.pages
    client.consume("q", no_ack=True)
    for _ in range(60):
        world.tick(100)
    assert client.bodies() == [str(number) for number in range(5000)]
    assert (len(delays), world.spool.pages, delays.resident_bytes) == (0, {}, 0)


def test_what_waits_for_a_commit_stays_in_memory() -> None:
    world = World(Settings(queue_memory_messages_max=100), commit_at_once=False)
    client = world.connect()
    declared(client, durable=True)
    client.declare("q")
    client.bind("q", "x", "k")
    for number in range(300):
        late(client, str(number), 10 + number)
    assert not world.spool.pages
    world.commit()
    for number in range(300, 5000):
        late(client, str(number), 10 + number)
    world.commit()
    for number in range(5000, 10_000):
        late(client, str(number), 10 + number)
    assert world.spool.pages
    world.commit()
    world.tick(20_000)
    world.commit()
    assert world.queue("q").ready_count == 10_000
    assert not world.store.kept[QUEUE_ID]


def test_pages_go_with_the_vhost() -> None:
    world = World(Settings(queue_memory_messages_max=100))
    client = world.connect()
    declared(client)
    for number in range(300):
        late(client, str(number), 10 + number)
    assert world.spool.pages
    world.broker.apply_delete_vhost("/")
    assert not world.spool.pages
