"""`mqd.broker.dead_letter`: the headers a dead letter gets, where it goes, and who owns it when."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.amqp import properties
from mqd.amqp.fields import Table
from mqd.amqp.properties import Properties
from mqd.broker import dead_letter as dead_letters
from mqd.broker.dead_letter import cycles, dead_letter
from mqd.broker.exchanges.base import Offered
from mqd.broker.message import Message, content_of, names_of
from mqd.broker.queues.classic import ClassicQueue
from mqd.policies.applied import Applied
from tests.harness import Basic, Client, Exchange, Queue, Tx, World

DLX = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def world() -> World:
    return World(commit_at_once=False)


@pytest.fixture
def client(world: World) -> Client:
    client = world.connect(channels=2)
    client.declare("dead", durable=True)
    return client


def message(headers: Table | None = None, key: str = "k", **told: Any) -> Message:
    header = properties.encode(Properties(headers=headers, **told), 1)
    return Message(names_of("x", key), content_of(header, b"m", 1, 4096))


def headers_of(letter: Message) -> Table:
    return properties.headers(letter.header) or {}


def death(queue: str, reason: str, count: int = 1) -> tuple[str, Table]:
    table: Table = {
        "count": ("long", count),
        "reason": ("longstr", reason.encode()),
        "queue": ("longstr", queue.encode()),
    }
    return ("table", table)


def test_a_first_death_is_told_whole() -> None:
    cc: Table = {"CC": ("array", [("longstr", b"k2")])}
    letter, keys = dead_letter(message(cc, expiration="30"), "q", "expired", "dlx", None, 7)
    headers = headers_of(letter)
    assert keys == ["k", "k2"]
    assert (letter.exchange, letter.routing_key) == ("dlx", "k")
    assert properties.expiration(letter.header) is None
    assert headers["x-first-death-queue"] == ("longstr", b"q")
    assert headers["x-first-death-reason"] == ("longstr", b"expired")
    assert headers["x-first-death-exchange"] == ("longstr", b"x")
    (entry,) = headers["x-death"][1]
    assert list(entry[1].items()) == [
        ("count", ("long", 1)),
        ("reason", ("longstr", b"expired")),
        ("queue", ("longstr", b"q")),
        ("time", ("timestamp", 7)),
        ("exchange", ("longstr", b"x")),
        ("routing-keys", ("array", [("longstr", b"k"), ("longstr", b"k2")])),
        ("original-expiration", ("longstr", b"30")),
    ]


def test_a_routing_key_of_the_queue_takes_the_place_of_all_others() -> None:
    cc: Table = {"CC": ("array", [("longstr", b"k2")]), "a": ("bool", True)}
    letter, keys = dead_letter(message(cc), "q", "rejected", "dlx", "dead", 7)
    assert keys == ["dead"]
    assert letter.routing_key == "dead"
    assert "CC" not in headers_of(letter)
    assert headers_of(letter)["a"] == ("bool", True)


def test_keys_that_nobody_sees_count_where_the_message_keeps_its_own() -> None:
    hidden = Message(names_of("x", "k", ["b1", "b2"]), message().content)
    letter, keys = dead_letter(hidden, "q", "rejected", "dlx", None, 7)
    assert keys == ["k", "b1", "b2"]
    assert letter.hidden_keys == ["b1", "b2"]
    assert letter.exchange == "dlx"
    assert dead_letter(hidden, "q", "rejected", "dlx", "r", 7)[0].hidden_keys == []


def test_the_same_death_counts_and_comes_first() -> None:
    one, _ = dead_letter(message(), "a", "rejected", "", "b", 1)
    two, _ = dead_letter(one, "b", "expired", "", "a", 2)
    three, _ = dead_letter(two, "a", "rejected", "", "b", 3)
    deaths = [entry for _, entry in headers_of(three)["x-death"][1]]
    assert [(d["queue"][1], d["count"][1], d["time"][1]) for d in deaths] == [
        (b"a", 2, 1),
        (b"b", 1, 2),
    ]
    assert headers_of(three)["x-first-death-queue"] == ("longstr", b"a")


@pytest.mark.parametrize("given", [("longstr", b"no list"), ("array", [("long", 5)])])
def test_an_x_death_that_makes_no_sense_is_begun_anew(given: Any) -> None:
    letter, _ = dead_letter(message({"x-death": given}), "q", "maxlen", "", "dead", 1)
    (entry,) = headers_of(letter)["x-death"][1]
    assert entry[1]["queue"] == ("longstr", b"q")


@pytest.mark.parametrize(
    ("deaths", "expected"),
    [
        ([], set()),
        ([death("a", "expired")], {"a"}),
        ([death("b", "expired"), death("a", "maxlen")], {"a", "b"}),
        ([death("b", "rejected"), death("a", "expired")], set()),
        ([death("b", "expired"), death("a", "rejected")], {"b"}),
    ],
)
def test_only_what_nobody_rejected_goes_round(deaths: list[Any], expected: set[str]) -> None:
    assert cycles({"x-death": ("array", deaths)}, ["a", "b"]) == expected


def test_what_is_refused_goes_to_the_dead(world: World, client: Client) -> None:
    client.declare("q", arguments=DLX)
    client.publish("q", "m")
    client.get()
    client.nack(1, requeue=False)
    got = client.get("dead")
    assert str(got) == "got 2 m left 0"
    assert got is not None
    assert got.properties.headers["x-death"][0]["reason"] == "rejected"
    assert (world.queue().ready_count, world.queue().unacked_count) == (0, 0)


def test_a_queue_lets_go_when_the_dead_letter_is_on_disc(world: World, client: Client) -> None:
    client.declare("q", durable=True, arguments=DLX)
    client.publish("q", "m", mode=2)
    world.commit()
    client.get()
    client.nack(1, requeue=False)
    source = world.queue().definition.id
    target = world.queue("dead").definition.id
    assert [len(world.store.kept[id_]) for id_ in (source, target)] == [1, 1]
    client.publish("q", "m2", mode=2)
    client.call(Queue.Purge(0, "q"))
    assert len(world.store.kept[source]) == 1, "a purge does not take what is on its way"
    world.commit()
    assert [len(world.store.kept.get(id_, ())) for id_ in (source, target)] == [0, 1]


def test_without_an_exchange_the_dead_are_dropped_and_the_log_says_so(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.declare("q", durable=True, arguments={"x-dead-letter-exchange": "nowhere"})
    for body in "ab":
        client.publish("q", body, mode=2)
    world.commit()
    for tag in (1, 2):
        client.get()
        client.nack(tag, requeue=False)
    assert not any(world.store.kept.values())
    assert [record.getMessage() for record in caplog.records] == [
        "dead lettering: queue 'q' in vhost '/' has no exchange 'nowhere' to send to"
    ]


def test_a_long_chain_of_queues_is_no_deep_recursion(world: World, client: Client) -> None:
    count = 300
    for index in range(count):
        arguments = {
            "x-max-length": 0,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"c{index + 1}" if index < count - 1 else "dead",
        }
        client.declare(f"c{index}", arguments=arguments)
    client.publish("c0", "m")
    assert world.queue("dead").ready_count == 1


def test_an_automatic_cycle_ends(world: World, client: Client) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        client.declare(
            name,
            arguments={
                "x-max-length": 0,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other,
            },
        )
    client.publish("a", "m")
    assert [world.queue(name).ready_count for name in "ab"] == [0, 0]


def circle(client: Client) -> None:
    """Two queues that keep nothing and send it to each other."""
    for name, other, rule in (("a", "b", "x-message-ttl"), ("b", "a", "x-max-length")):
        routed = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": other}
        client.declare(name, arguments={rule: 0, **routed})


def test_a_message_that_goes_round_for_ever_leaves_others_their_turn(
    world: World, client: Client
) -> None:
    """A client may write a rejection into x-death, which hides the circle (as in 3.10.8)."""
    circle(client)
    client.hold_turns = True
    forged = [{"count": 1, "queue": "x", "reason": "rejected"}]
    client.publish("a", "m", headers={"x-death": forged})
    for index in range(3):
        client.send(Queue.Declare(queue=f"other{index}"))
        world.turn.run()
        assert client.said() == [f"declare-ok other{index} 0 0"]
    client.send(Queue.Delete(0, "b"))
    client.hold_turns = False
    world.end_turns()
    assert world.queue("a").ready_count == 0


def test_many_dead_letters_take_many_turns_and_none_is_delivered(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_TURN_LETTERS_MAX", 10)
    client.declare("q", durable=True, arguments={**DLX, "x-message-ttl": 100})
    for index in range(35):
        client.publish("q", f"m{index}", mode=2)
    world.commit()
    world.clock.advance(100)
    world.broker.fire(world.clock.now_ms)
    assert 10 <= world.queue("dead").ready_count < 35
    client.hold_turns = True
    client.publish("q", "fresh")
    client.send(Basic.Consume(0, "q", "c", no_ack=True))
    taken = client.bodies()
    while world.turn.later:
        world.turn.run()
        taken += client.bodies()
    world.clock.advance(1)
    world.broker.fire(world.clock.now_ms)
    client.hold_turns = False
    world.end_turns()
    assert taken + client.bodies() == ["fresh"]
    assert world.queue("dead").ready_count == 35
    world.commit()
    assert not world.store.kept.get(world.queue().definition.id)


def test_a_get_does_not_find_what_is_over_however_much_it_is(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_TURN_LETTERS_MAX", 10)
    client.declare("q", arguments={**DLX, "x-message-ttl": 100})
    for index in range(35):
        client.publish("q", f"m{index}")
    world.clock.advance(100)
    client.publish("q", "fresh")
    assert str(client.get()) == "got 1 fresh left 0"
    assert world.queue("dead").ready_count == 35


def test_a_queue_that_is_shortened_lets_go_in_turns(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_TURN_LETTERS_MAX", 10)
    client.declare("q", arguments=DLX)
    for index in range(35):
        client.publish("q", f"m{index}")
    world.queue().apply_policy(Applied("p", None, {"max-length": 2}))
    assert world.queue("dead").ready_count < 33
    world.end_turns()
    assert (world.queue().ready_count, world.queue("dead").ready_count) == (2, 33)


def fanned_out(client: Client) -> None:
    """What x routes to: a queue that keeps nothing and sends it to `dead`, and `dead`."""
    client.call(Exchange.Declare(exchange="x", exchange_type="fanout"))
    client.declare("q", durable=True, arguments={**DLX, "x-max-length": 0})
    for name in ("q", "dead"):
        client.bind(name, "x")


def deaths(client: Client, name: str = "dead") -> list[tuple[str, bool]]:
    """The messages of a queue, and whether each is a dead letter."""
    found = []
    while (got := client.get(name, no_ack=True)) is not None:
        found.append((got.body.decode(), "x-death" in (got.properties.headers or {})))
    return found


def test_a_dead_letter_does_not_overtake_its_own_copies(client: Client) -> None:
    fanned_out(client)
    client.publish("", "m", exchange="x")
    assert deaths(client) == [("m", False), ("m", True)]


def test_nor_those_that_the_broker_publishes(world: World, client: Client) -> None:
    fanned_out(client)
    world.vhost.deliver(("exchange", "x"), Offered(names_of("x", "k"), message().content, False))
    assert deaths(client) == [("m", False), ("m", True)]


def test_nor_those_that_were_put_off(world: World, client: Client) -> None:
    fanned_out(client)
    client.send_loose(
        Exchange.Declare(exchange="d"),
        exchange_type="x-delayed-message",
        arguments={"x-delayed-type": ("longstr", b"fanout")},
    )
    for name in ("q", "dead"):
        client.bind(name, "d")
    client.said()
    client.publish("", "m", exchange="d", headers={"x-delay": 10})
    world.tick(20)
    assert deaths(client) == [("m", False), ("m", True)]


def test_a_failure_in_the_middle_holds_nothing_up(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first queue let go of goes on with the next dead letter at the latest."""
    fanned_out(client)
    letters, queues = world.vhost.dead_letters, [world.queue(), world.queue("dead")]
    (together,) = letters.after_all(queues)
    with monkeypatch.context() as patched:
        patched.setattr(ClassicQueue, "publish", _failing_for("dead", ClassicQueue.publish))
        with pytest.raises(OSError, match="full"):
            together.publish(names_of("x", "k"), message().content, True)
    assert not letters.held
    client.publish("q", "m2")
    assert [body for body, _ in deaths(client)] == ["m", "m2"]


def _failing_for(name: str, plain: Any) -> Any:
    def publish(self: Any, *args: Any) -> Any:
        if self.name == name:
            raise OSError("full")
        return plain(self, *args)

    return publish


def test_queues_that_go_before_the_commit(world: World, client: Client) -> None:
    fanned_out(client)
    client.call(Tx.Select())
    client.publish("", "m", exchange="x", mandatory=True)
    client.call(Queue.Delete(0, "q"), channel=2)
    client.call(Queue.Delete(0, "dead"), channel=2)
    client.send(Tx.Commit())
    assert client.said() == ["return 312 m", "Tx.CommitOk"]


def test_one_that_goes_before_the_commit(world: World, client: Client) -> None:
    fanned_out(client)
    client.call(Tx.Select())
    client.publish("", "m", exchange="x", mandatory=True, mode=2)
    client.call(Queue.Delete(0, "q"), channel=2)
    client.send(Tx.Commit())
    world.commit()
    assert client.said() == ["Tx.CommitOk"]
    assert deaths(client) == [("m", False)]
