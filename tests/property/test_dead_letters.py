"""Dead letters between a few queues that come, go and are emptied meanwhile: nothing leaks, and
nothing is let go of twice or too early.

Whatever happened: what the store keeps for a queue is what the queue has, once everything is on
disc; before that it may keep more, never less. A dead letter is somewhere, unless there was no way
for it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mqd.broker.queues.ordered import OrderedQueue
from mqd.broker.queues.quorum import QuorumQueue
from tests.harness import Channel, Client, Exchange, Queue, World, small_pages

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)

ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "x-max-length": st.sampled_from((0, 1, 2)),
    "x-message-ttl": st.sampled_from((0, 500)),
    "x-overflow": st.sampled_from(("drop-head", "reject-publish", "reject-publish-dlx")),
    "x-dead-letter-exchange": st.sampled_from(("", "x", "missing")),
    "x-dead-letter-routing-key": names,
}
classic = st.fixed_dictionaries({}, optional=ARGUMENTS).map(
    lambda table: (
        {"x-dead-letter-exchange": "", **table} if "x-dead-letter-routing-key" in table else table
    )
)
quorum = st.fixed_dictionaries(
    {"x-queue-type": st.just("quorum"), "x-dead-letter-exchange": st.sampled_from(("", "x"))},
    optional={
        "x-overflow": st.just("reject-publish"),
        "x-dead-letter-strategy": st.just("at-least-once"),
        "x-dead-letter-routing-key": names,
        "x-max-length": st.sampled_from((0, 1)),
        "x-delivery-limit": st.sampled_from((0, 1)),
    },
)


def owed(queue: OrderedQueue) -> int:
    return queue.owed_count if isinstance(queue, QuorumQueue) else 0


class Letters(RuleBasedStateMachine):
    """Three queues; `x` routes to those that were bound to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(small_pages(), commit_at_once=False)
        self.client: Client = self.world.connect(channels=2)
        self.serial = 0
        self.held: list[int] = []

    @initialize()
    def start(self) -> None:
        self.client.call(Exchange.Declare(exchange="x", exchange_type="fanout"))

    @property
    def queues(self) -> dict[str, Any]:
        return self.world.vhost.queues

    @rule(name=names, arguments=st.one_of(classic, quorum), bound=st.booleans())
    def declare(self, name: str, arguments: dict[str, Any], bound: bool) -> None:
        if name in self.queues:
            return
        self.client.declare(name, durable=True, arguments=arguments, channel=2)
        if bound:
            self.client.call(Queue.Bind(0, name, "x"), channel=2)

    @rule(to=st.sampled_from((*NAMES, "")), count=st.integers(1, 3), turns=st.booleans())
    def publish(self, to: str, count: int, turns: bool) -> None:
        """To a queue, or to all that are bound."""
        self.client.hold_turns = not turns
        for _ in range(count):
            self.serial += 1
            exchange = "" if to else "x"
            self.client.publish(to, f"{self.serial}", exchange=exchange, mode=2)
        self.client.hold_turns = False

    @rule(name=names)
    def get(self, name: str) -> None:
        if name not in self.queues or self.queues[name].single_active:
            return
        got = self.client.get(name)
        if got is not None:
            self.held.append(got.method.delivery_tag)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(("ack", "requeue", "reject", "reject")))
    def settle(self, data: st.DataObject, how: str) -> None:
        tag = data.draw(st.sampled_from(self.held))
        self.held.remove(tag)
        if how == "ack":
            self.client.ack(tag)
        else:
            self.client.nack(tag, requeue=how == "requeue")

    @precondition(lambda self: self.held)
    @rule()
    def lose(self) -> None:
        """The channel goes, and what it held comes back."""
        self.client.call(Channel.Close(200, "", 0, 0))
        self.client.call(Channel.Open())
        self.held.clear()

    @rule(name=names)
    def purge(self, name: str) -> None:
        if name in self.queues:
            self.client.call(Queue.Purge(0, name), channel=2)

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.queues:
            self.client.call(Queue.Delete(0, name), channel=2)

    @rule()
    def commit(self) -> None:
        self.world.commit()

    @rule(ms=st.sampled_from((500, 1000)))
    def wait(self, ms: int) -> None:
        self.world.tick(ms)

    @invariant()
    def nothing_is_let_go_of_too_early(self) -> None:
        kept = self.world.store.kept
        for queue in self.queues.values():
            assert len(kept.get(queue.definition.id, ())) >= self.has(queue)

    def has(self, queue: OrderedQueue) -> int:
        return queue.ready_count + queue.unacked_count + owed(queue)

    def teardown(self) -> None:
        """Everything is on disc; what is owed stays."""
        self.world.commit()
        self.world.commit()
        letters = self.world.vhost.dead_letters
        assert not letters._waiting
        assert not letters.held
        assert not letters.is_behind
        assert not self.world.vhost._when_durable
        kept = {id_: len(found) for id_, found in self.world.store.kept.items() if found}
        has = {one.definition.id: self.has(one) for one in self.queues.values()}
        assert kept == {id_: count for id_, count in has.items() if count}
        for queue in self.queues.values():
            assert len(queue._leaving) == owed(queue)


def test_what_is_kept_is_what_is_there() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Letters, settings=settings(max_examples=80, stateful_step_count=30, deadline=None)
    )
