"""The exchange types of plugins, as units. What they do to a client is in
tests/protocol/scenarios/exchange_types.txt, recorded from 3.10.8."""

from __future__ import annotations

from collections import Counter

import pytest
from pamqp import frame

from mqd.amqp.fields import Field
from mqd.amqp.properties import Properties, encode
from mqd.amqp.replies import ChannelError
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.erlang_hash import (
    UNDEFINED,
    bucket_of,
    portable_hash,
    portable_hash_of_all,
)
from mqd.broker.exchanges.registry import Alone, make_exchange
from mqd.broker.message import content_of
from mqd.plugins.catalogue import PLUGINS, exchange_types
from tests.harness import Client, Exchange, Queue, World, published

TYPES = exchange_types(PLUGINS)
MESSAGE = Offered()


def made(kind: str, **arguments: Field):
    named = {name.replace("_", "-"): value for name, value in arguments.items()}
    definition = ExchangeDefinition("/", "x", kind, arguments=named)
    TYPES[kind].validate(definition, TYPES)
    return make_exchange(definition, TYPES)


def bound(queue: str, key: str = "1", **arguments: Field) -> BindingDefinition:
    return BindingDefinition("/", "x", "queue", queue, key, arguments)


def counts(live, keys: int = 2000) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(keys):
        found.update(name for _, name in live.route(f"key.{number}", MESSAGE))
    return found


# -- the hash ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"", 13708901),
        (b"a", 112802447),
        (b"hello", 47480723),
        (b"0123456789abcdef", 121146389),
        (("longstr", b"a"), 65711459),
        (("longstr", b"0123456789abc"), 65256071),
        (("signedint", 1), 71654985),
        (("signedint", -7), 44902276),
        (("long", 134217728), 117666136),
        (("long", -134217728), 13500176),
        (("long", -134217729), 132651809),
        (("long", 99999999999), 5532097),
        (("long", 9223372036854775807), 120433834),
        (("bool", True), 32030443),
        (("bool", False), 54145719),
        (("void", None), 27077197),
        (("double", 1.5), 115320697),
        (("double", -0.0), 28702447),
        (("double", 1e300), 39779000),
        (("decimal", (2, 314)), 113508173),
        (("table", {}), 80606520),
        (("table", {"a": ("longstr", b"x"), "b": ("signedint", 1)}), 44061748),
        (("array", [("longstr", b"x"), ("bool", True)]), 97082286),
    ],
)
def test_the_hash_is_erlangs(value: bytes | Field, number: int) -> None:
    """recorded: erlang:phash2/1 on the Erlang of 3.10.8."""
    assert portable_hash(value) == number


def test_the_hash_of_several_keys_is_erlangs() -> None:
    assert portable_hash_of_all([b"a"]) == 53691870
    assert portable_hash_of_all([b""]) == 38220213
    assert portable_hash_of_all([b"a", b"b", b"cc"]) == 88624851
    assert portable_hash_of_all([]) == 113427502


@pytest.mark.parametrize(
    ("key", "bucket"), [(b"key.7", 0), (b"", 0), (b"key.3", 3), (b"\xc3\xa4", 3)]
)
def test_the_bucket_is_rabbitmqs(key: bytes, bucket: int) -> None:
    """recorded: 3.10.8 with four buckets."""
    assert bucket_of(portable_hash(key), 4) == bucket


# -- consistent hash -----------------------------------------------------------------------------


def test_weights_are_shares() -> None:
    live = made("x-consistent-hash")
    for queue, weight in (("a", "10"), ("b", "20"), ("c", "70")):
        live.bind(bound(queue, weight))
    found = counts(live)
    assert sum(found.values()) == 2000
    assert 120 < found["a"] < 280
    assert 300 < found["b"] < 500
    assert 1250 < found["c"] < 1550


def test_a_large_weight_costs_nothing() -> None:
    live = made("x-consistent-hash")
    live.bind(bound("a", "9" * 200))
    live.bind(bound("b", "1"))
    assert counts(live, 50) == {"a": 50}


def test_another_weight_takes_over_when_the_first_goes() -> None:
    live = made("x-consistent-hash")
    live.bind(bound("a", "1"))
    live.bind(bound("b", "10"))
    before = counts(live)
    live.bind(bound("a", "10"))
    assert counts(live) == before
    live.unbind(bound("a", "1"))
    assert 850 < counts(live)["a"] < 1150
    live.unbind(bound("a", "10"))
    assert counts(live) == {"b": 2000}
    live.unbind(bound("b", "10"))
    assert counts(live) == {}


def test_a_second_binding_that_goes_changes_nothing() -> None:
    live = made("x-consistent-hash")
    live.bind(bound("a", "3"))
    live.bind(bound("b", "3"))
    before = [live.route(f"k{n}", MESSAGE) for n in range(100)]
    live.bind(bound("a", "7"))
    live.unbind(bound("a", "7"))
    assert [live.route(f"k{n}", MESSAGE) for n in range(100)] == before


@pytest.mark.parametrize("key", ["0", "x", "1.5", "\uff11"])
def test_a_weight_from_a_file_that_is_none_counts_as_one(key: str) -> None:
    live = made("x-consistent-hash")
    with pytest.raises(ChannelError):
        live.validate_binding(bound("a", key))
    live.bind(bound("a", key))
    assert counts(live, 10) == {"a": 10}
    live.unbind(bound("a", key))
    assert counts(live, 10) == {}


def test_only_arguments_make_it_look_at_the_message() -> None:
    assert not made("x-consistent-hash").needs_headers
    assert made("x-consistent-hash", hash_header=("longstr", b"h")).needs_headers
    live = made("x-consistent-hash", hash_property=("longstr", b"message_id"))
    for queue in "abcdefgh":
        live.bind(bound(queue))
    content = content_of(encode(Properties(message_id="m"), 0), b"", 1, 0)
    bucket = bucket_of(portable_hash(b"m"), 8)
    assert list(live.route("k", Offered(content=content))) == [("queue", "abcdefgh"[bucket])]
    nobody = bucket_of(UNDEFINED, 8)
    assert list(live.route("k", Offered())) == [("queue", "abcdefgh"[nobody])]


# -- the others ----------------------------------------------------------------------------------


def declared(client: Client, kind: str, **arguments: object) -> None:
    client.call(Exchange.Declare(0, "x", kind, arguments=arguments))


class Chooser(Alone):
    """Chooses what it is told."""

    def __init__(self) -> None:
        self.choice = 0

    def choose(self, count: int) -> int:
        return self.choice % count


def test_random_leaves_the_choice_to_its_surroundings() -> None:
    chooser = Chooser()
    live = make_exchange(ExchangeDefinition("/", "x", "x-random"), TYPES, chooser)
    assert list(live.route_all(["k"], MESSAGE)) == []
    live.bind(bound("a"))
    live.bind(bound("b"))
    for chooser.choice, queue in ((0, "a"), (1, "b"), (2, "a")):
        assert list(live.route_all(["k", "l"], MESSAGE)) == [("queue", queue)]
    live.unbind(bound("a"))
    assert list(live.route("k", MESSAGE)) == [("queue", "b")]


def test_random_reaches_all() -> None:
    world = World()
    client = world.connect()
    declared(client, "x-random")
    for queue in "abc":
        client.declare(queue)
        client.bind(queue, "x")
    for _ in range(200):
        client.publish("k", "m", exchange="x")
    sizes = [world.queue(queue).ready_count for queue in "abc"]
    assert sum(sizes) == 200
    assert min(sizes) > 20


def test_modulus_is_in_order_of_keys_whatever_the_order_of_bindings() -> None:
    orders = []
    for queues in ("abc", "cab"):
        live = made("x-modulus-hash")
        for queue in queues:
            live.bind(bound(queue, f"key-{queue}"))
        orders.append([live.route(f"k{n}", MESSAGE) for n in range(50)])
    assert orders[0] == orders[1]
    live.unbind(bound("b", "key-b"))
    assert set(counts(live, 50)) == {"a", "c"}


def test_a_history_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqd.broker.exchanges.recent_history.RECENT_HISTORY_BYTES_MAX", 1000)
    world = World()
    client = world.connect()
    declared(client, "x-recent-history", **{"x-recent-history-length": 100})
    for number in range(10):
        client.publish("k", f"{number}" * 300, exchange="x")
    client.declare("q")
    client.bind("q", "x")
    assert world.queue("q").ready_count == 3
    client.publish("k", "x" * 5000, exchange="x")  # more than all: still the last one
    client.declare("r")
    client.bind("r", "x")
    assert world.queue("r").ready_count == 1


def test_a_history_is_before_what_follows_the_binding() -> None:
    world = World()
    client = world.connect()
    declared(client, "x-recent-history")
    client.publish("k", "old", exchange="x")
    client.declare("q")
    client.feed(
        frame.marshal(Queue.Bind(0, "q", "x", nowait=True), 1) + published("k", "new", exchange="x")
    )
    assert [str(client.get("q", no_ack=True)) for _ in range(2)] == [
        "got 1 old left 1",
        "got 2 new left 0",
    ]
