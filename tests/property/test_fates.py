"""Where every message ends up: after any sequence of operations it is in exactly one place.

One queue of any kind and rules, and the queue of its dead letters. Every message has a body of its
own, so that each can be followed: refused to its publisher, ready, unacknowledged, acknowledged,
purged, or dead, with a reason that its rules allow. Nothing is predicted; what is seen has to add
up. Lengths, order and the single active consumer are checked on the way. Whatever clients hold is
put on the shelf as soon as it can be.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mqd.broker import held, shelf
from mqd.broker.shelf import Shelved
from tests.harness import Basic, Channel, Client, Confirm, Got, Queue, World, small_pages

PUBLISHER = 9  # the channel that publishes and hears of confirms
TTL_MS = 1000


def limited(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """That argument, or not."""
    return st.one_of(st.just({}), st.builds(lambda value: {key: value}, values))


@st.composite
def queue_arguments(draw: st.DrawFn) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    quorum = draw(st.booleans())
    arguments |= draw(limited("x-max-length", st.integers(0, 4)))
    arguments |= draw(limited("x-max-length-bytes", st.integers(0, 12)))
    overflows = ["drop-head", "reject-publish"] + ([] if quorum else ["reject-publish-dlx"])
    arguments |= draw(limited("x-overflow", st.sampled_from(overflows)))
    arguments |= draw(limited("x-message-ttl", st.just(TTL_MS)))
    arguments |= draw(limited("x-single-active-consumer", st.just(True)))
    if quorum:
        arguments["x-queue-type"] = "quorum"
        arguments |= draw(limited("x-delivery-limit", st.integers(0, 2)))
        arguments |= draw(limited("x-dead-letter-strategy", st.just("at-least-once")))
    else:
        arguments |= draw(limited("x-max-priority", st.integers(1, 3)))
    return arguments


class Fates(RuleBasedStateMachine):
    """See the file's charter."""

    @initialize(arguments=queue_arguments())
    def start(self, arguments: dict[str, Any]) -> None:
        self.world = World(small_pages(), commit_at_once=False)
        self.world.broker.holdings.limit_bytes = 0
        self.publisher = self.world.connect(channels=0)
        self.publisher.call(_open(), PUBLISHER)
        self.publisher.call(Confirm.Select(), PUBLISHER)
        self.publisher.declare("dead", durable=True, channel=PUBLISHER)
        self.arguments = arguments
        routed = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        self.publisher.declare("q", durable=True, arguments=arguments | routed, channel=PUBLISHER)
        self.serial = 0
        self.bodies: list[str] = []  # by seqno - 1
        self.refused: set[str] = set()
        self.acked: set[str] = set()
        self.purged = 0
        self.consumers = 0
        self.clients: list[Client] = []
        self.held: dict[tuple[int, int], str] = {}  # (client, delivery tag) → body
        self.connect()

    def connect(self) -> None:
        self.clients.append(self.world.connect(channels=1))

    # -- what can be seen ---------------------------------------------------------------------

    def absorb(self) -> list[Got]:
        rest = []
        for got in self.publisher.take():
            if isinstance(got.method, Basic.Nack):
                self.refused.add(self.bodies[(got.method.delivery_tag or 0) - 1])
            else:
                assert isinstance(got.method, Basic.Ack), got
        for index, client in enumerate(self.clients):
            for got in client.take():
                if isinstance(got.method, Basic.Deliver):
                    self.hold(index, got)
                else:
                    rest.append(got)
        return rest

    def hold(self, index: int, got: Got) -> None:
        body = got.body.decode()
        assert body not in self.acked, "delivered after it was acknowledged"
        assert body not in self.held.values(), "delivered to two at a time"
        self.held[index, got.method.delivery_tag] = body

    # -- steps --------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 4),
        size=st.integers(0, 3),
        mode=st.sampled_from((1, 2)),
        priority=st.sampled_from((None, 1, 5)),
        expiration=st.sampled_from((None, None, None, "0", "500")),
    )
    def publish(
        self, count: int, size: int, mode: int, priority: int | None, expiration: str | None
    ) -> None:
        for _ in range(count):
            self.serial += 1
            body = f"{self.serial}".rjust(size, "0")
            self.bodies.append(body)
            self.publisher.publish(
                "q",
                body,
                mode=mode,
                priority=priority,
                expiration=expiration,
                channel=PUBLISHER,
            )
        assert self.absorb() == []

    @rule(index=st.integers(0, 1), prefetch=st.integers(0, 2))
    def consume(self, index: int, prefetch: int) -> None:
        index %= len(self.clients)
        self.consumers += 1
        client = self.clients[index]
        client.send(Basic.Qos(0, prefetch), Basic.Consume(0, "q", f"c{self.consumers}"))
        assert [got.name for got in self.absorb()] == ["Basic.QosOk", "Basic.ConsumeOk"]

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        consumers = self.world.queue().consumers
        if not consumers:
            return
        tag = data.draw(st.sampled_from(sorted(one.tag for one in consumers)))
        for client in self.clients:
            client.send(Basic.Cancel(tag))
        assert {got.name for got in self.absorb()} == {"Basic.CancelOk"}

    @precondition(
        lambda self: (
            not ("x-single-active-consumer" in self.arguments and "x-queue-type" in self.arguments)
        )
    )
    @rule(index=st.integers(0, 1))
    def get(self, index: int) -> None:
        index %= len(self.clients)
        self.clients[index].send(Basic.Get(0, "q"))
        (got,) = self.absorb()
        if isinstance(got.method, Basic.GetOk):
            self.hold(index, got)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(("ack", "requeue", "requeue", "reject")))
    def settle(self, data: st.DataObject, how: str) -> None:
        index, tag = data.draw(st.sampled_from(sorted(self.held)))
        body = self.held.pop((index, tag))
        if how == "ack":
            self.acked.add(body)
            self.clients[index].ack(tag)
        else:
            self.clients[index].nack(tag, requeue=how == "requeue")
        assert self.absorb() == []

    @rule(index=st.integers(0, 1))
    def drop(self, index: int) -> None:
        """The connection is lost; another one takes its place."""
        index %= len(self.clients)
        self.held = {key: body for key, body in self.held.items() if key[0] != index}
        self.clients[index].drop()
        self.clients[index] = self.world.connect(channels=1)
        assert self.absorb() == []

    @rule()
    def purge(self) -> None:
        self.publisher.send(Queue.Purge(0, "q"), channel=PUBLISHER)
        for got in self.publisher.take():
            if isinstance(got.method, Queue.PurgeOk):
                self.purged += got.method.message_count

    @rule(ms=st.sampled_from((100, 600, TTL_MS + 1)))
    def pass_time(self, ms: int) -> None:
        self.world.tick(ms)
        assert self.absorb() == []

    @rule()
    def look_at_what_is_held(self) -> None:
        self.world.tick(0)
        self.world.broker.room.resize(0)
        self.world.broker.room.resize(1 << 30)
        for entry in self.world.vhost.connections():
            for channel in entry.channels.values():
                for _, message, _, _ in channel.unacked.values():
                    if message.stored and not message.segment:
                        break  # the store will ask for it
                    assert isinstance(message.content, Shelved)
        assert self.absorb() == []

    @rule()
    def commit(self) -> None:
        self.world.commit()
        assert self.absorb() == []

    # -- what always holds --------------------------------------------------------------------

    def counted(self, ready: int, dead: int) -> int:
        """Messages in all places together."""
        refused = len(self.refused)
        if self.arguments.get("x-overflow") == "reject-publish-dlx":
            refused = 0  # they are among the dead
        owed = getattr(self.world.queue(), "owed_count", 0)
        return ready + len(self.held) + len(self.acked) + dead + owed + refused + self.purged

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        queue = self.world.queue()
        assert len(self.held) == queue.unacked_count
        dead = self.world.queue("dead").ready_count
        assert self.counted(queue.ready_count, dead) == len(self.bodies)

    @invariant()
    def the_queue_keeps_to_its_length(self) -> None:
        arguments = self.arguments
        drops = arguments.get("x-overflow", "drop-head") == "drop-head"
        length = arguments.get("x-max-length")
        size = arguments.get("x-max-length-bytes")
        if drops and length is not None:
            assert self.world.queue().ready_count <= length
        if drops and size is not None:
            assert self.world.queue().ready_bytes <= size

    @invariant()
    def one_consumer_at_most_is_active(self) -> None:
        queue = self.world.queue()
        if not queue.single_active:
            return
        active = [one for one in queue.consumers if not one.waiting]
        assert len(active) == (1 if queue.consumers else 0)
        assert [one for one in queue.consumers if one.ringed and one.waiting] == []

    def teardown(self) -> None:
        """Take out all that is left, and look at every message."""
        if not hasattr(self, "world"):
            return
        for index in range(len(self.clients)):
            self.drop(index)
        left = {name: self.emptied(name) for name in ("q", "dead")}
        ready = [got.body.decode() for got in left["q"]]
        dead = [got.body.decode() for got in left["dead"]]
        assert len(set(ready)) == len(ready), "in the queue twice"
        assert not self.acked & {*ready, *dead}, "acknowledged, and back"
        assert not self.refused & set(ready), "refused, and taken"
        assert self.counted(len(ready), len(dead)) == len(self.bodies)
        for got in left["dead"]:
            (death,) = got.properties.headers["x-death"]
            assert death["reason"] in self.reasons()
            assert death["queue"] == "q"
        self.world.commit()
        assert not any(self.world.store.kept.values()), "the store keeps what is gone"
        self.world.broker.shelf.tidy()
        assert not self.world.spool.pages, "pages are kept that nobody will ask for"

    def emptied(self, name: str) -> list[Got]:
        client = self.world.connect()
        client.consume(name, "last", no_ack=True)
        return client.take()

    def reasons(self) -> set[str]:
        """What a message may have died of."""
        possible = {"rejected", "expired"}
        if "x-max-length" in self.arguments or "x-max-length-bytes" in self.arguments:
            possible.add("maxlen")
        if "x-delivery-limit" in self.arguments:
            possible.add("delivery_limit")
        return possible


def _open() -> Any:
    return Channel.Open()


def test_every_message_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "_MESSAGES_MIN", 1)
    monkeypatch.setattr(shelf, "_WORTH_BYTES", 0)
    run_state_machine_as_test(
        Fates,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
