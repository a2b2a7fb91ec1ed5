"""Queues, channels and consumers against a naive model, over the wire.

Two connections of two channels and three queues; limits are so small that backlogs are paged and
drains put off all the time. The model knows which messages are ready, in order, and what each
channel holds; it does not predict who is served next, but checks that whoever was served was
allowed to be, that order and flags are right, and that nobody who could be served was left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
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

from mqd import limits
from mqd.broker.queues import ordered
from tests.harness import (
    Basic,
    Channel,
    Client,
    Confirm,
    Got,
    Queue,
    World,
    published,
    small_pages,
)

CLIENTS = 2
CHANNELS = 2
QUEUES = ("durable", "transient", "ranked")  # the last with two levels of priority
PUBLISHER_CHANNEL = 9  # on every connection: publishes, confirms, nothing else

clients = st.integers(0, CLIENTS - 1)
channels = st.integers(1, CHANNELS)
queues = st.sampled_from(QUEUES)


@dataclass(eq=False)
class Entry:
    """A message in a queue."""

    queue: MQueue
    position: int
    body: str
    persistent: bool
    level: int = 0
    delivered: bool = False
    committed: bool = False

    def place(self) -> tuple[int, int]:
        """Where it is in its queue: the highest level first, then as they came."""
        return -self.level, self.position


@dataclass(eq=False)
class MQueue:
    name: str
    durable: bool
    ready: list[Entry] = field(default_factory=list)
    unacked: set[Entry] = field(default_factory=set)
    consumers: list[MConsumer] = field(default_factory=list)
    accepted: int = 0
    settled: int = 0  # acknowledged, dropped, purged
    dead: bool = False

    def put_back(self, entry: Entry) -> None:
        self.unacked.discard(entry)
        if not self.dead:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        self.ready.append(entry)
        self.ready.sort(key=Entry.place)

    def done(self, entry: Entry) -> None:
        self.unacked.discard(entry)
        self.settled += 1


@dataclass(eq=False)
class MConsumer:
    tag: str
    channel: MChannel
    queue: MQueue
    no_ack: bool
    exclusive: bool
    prefetch: int
    priority: int
    held: int = 0

    def can_take(self) -> bool:
        if self.channel.client in self.channel.model.congested:
            return False
        limit = self.channel.global_prefetch
        return (self.prefetch == 0 or self.held < self.prefetch) and (
            limit == 0 or self.channel.held() < limit
        )


@dataclass(eq=False)
class MChannel:
    model: QueueMachine
    client: int
    number: int
    tag: int = 0
    global_prefetch: int = 0
    consumers: dict[str, MConsumer] = field(default_factory=dict)
    unacked: dict[int, tuple[Entry, MConsumer | None]] = field(default_factory=dict)

    def held(self) -> int:
        """What counts against the channel's prefetch: not what basic.get fetched."""
        return sum(consumer is not None for _, consumer in self.unacked.values())


class QueueMachine(RuleBasedStateMachine):
    """See the file's charter."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "PAGE_MESSAGES_MAX", 3)
        self.patch.setattr(ordered, "_DRAIN_MESSAGES_MAX", 2)
        self.world = World(small_pages(), commit_at_once=False)
        self.clients: list[Client] = []
        self.channels: dict[tuple[int, int], MChannel] = {}
        self.queues: dict[str, MQueue] = {}
        self.congested: set[int] = set()
        self.confirmed: dict[int, int] = {}
        self.sent: dict[int, list[list[Entry]]] = {}  # client → seqno - 1 → its entries
        self.serial = 0
        self.tags = 0

    def teardown(self) -> None:
        try:
            self.commit()
            for client, sent in self.sent.items():
                assert self.confirmed[client] == len(sent), "not everything was confirmed"
        finally:
            self.patch.undo()

    @initialize()
    def start(self) -> None:
        for index in range(CLIENTS):
            self.clients.append(self.world.connect(channels=0))
            self.open_channels(index)
        for name in QUEUES:
            self.declare(name)

    def open_channels(self, index: int) -> None:
        client = self.clients[index]
        for number in range(1, CHANNELS + 1):
            client.call(Channel.Open(), number)
            self.channels[index, number] = MChannel(self, index, number)
        client.call(Channel.Open(), PUBLISHER_CHANNEL)
        client.call(Confirm.Select(), PUBLISHER_CHANNEL)
        self.confirmed[index] = 0
        self.sent[index] = []

    def declare(self, name: str) -> None:
        durable = name != "transient"
        arguments = {"x-max-priority": 1} if name == "ranked" else {}
        self.clients[0].declare(
            name, durable=durable, arguments=arguments, channel=PUBLISHER_CHANNEL
        )
        self.clients[0].call(Queue.Bind(0, name, "amq.fanout"), PUBLISHER_CHANNEL)
        self.queues[name] = MQueue(name, durable)

    # -- what came out ------------------------------------------------------------------------

    def absorb(self) -> list[Got]:
        """Check every delivery since the last step; returns what else came."""
        served: dict[MQueue, list[Entry]] = {}
        rest: list[Got] = []
        acks: list[tuple[int, Basic.Ack]] = []
        for index in range(CLIENTS):
            for got in self.clients[index].take():
                if isinstance(got.method, Basic.Deliver):
                    entry = self.delivery(index, got)
                    served.setdefault(entry.queue, []).append(entry)
                elif got.channel == PUBLISHER_CHANNEL and isinstance(got.method, Basic.Ack):
                    acks.append((index, got.method))
                else:
                    rest.append(got)
        for queue, entries in served.items():
            count = len(entries)
            assert sorted(entries, key=Entry.place) == queue.ready[:count], (
                "not the oldest messages were served"
            )
            del queue.ready[:count]
        for index, ack in acks:
            self.confirm(index, ack)
        return rest

    def delivery(self, index: int, got: Got) -> Entry:
        channel = self.channels[index, got.channel]
        m = got.method
        consumer = channel.consumers[m.consumer_tag]
        assert consumer.can_take(), f"{m.consumer_tag} was given more than it may hold"
        channel.tag += 1
        assert m.delivery_tag == channel.tag
        entry = next(e for e in consumer.queue.ready if e.body == got.body.decode())
        assert m.redelivered == entry.delivered
        entry.delivered = True
        if consumer.no_ack:
            consumer.queue.settled += 1
        else:
            consumer.held += 1
            consumer.queue.unacked.add(entry)
            channel.unacked[channel.tag] = (entry, consumer)
        return entry

    def confirm(self, index: int, ack: Basic.Ack) -> None:
        assert ack.delivery_tag is not None
        first = self.confirmed[index] + 1
        assert ack.delivery_tag >= first
        assert ack.multiple == (ack.delivery_tag > first)
        for entries in self.sent[index][first - 1 : ack.delivery_tag]:
            for entry in entries:
                kept = entry in entry.queue.ready or entry in entry.queue.unacked
                if kept and entry.persistent and entry.queue.durable and not entry.queue.dead:
                    assert entry.committed, "confirmed before it was on disc"
        self.confirmed[index] = ack.delivery_tag

    # -- publishing ---------------------------------------------------------------------------

    @rule(
        client=clients,
        to=st.sampled_from((*QUEUES, "all")),
        modes=st.lists(
            st.tuples(st.sampled_from((1, 2)), st.sampled_from((None, 0, 1, 9))),
            min_size=1,
            max_size=9,
        ),
        split=st.booleans(),
    )
    def publish(
        self, client: int, to: str, modes: list[tuple[int, int | None]], split: bool
    ) -> None:
        able = [c for q in self.queues.values() for c in q.consumers if c.can_take()]
        before = {c: c.held for c in able}
        data = b""
        for mode, priority in modes:
            data += self.published(client, to, mode, priority)
            if to not in ("durable", "transient"):
                # With levels it matters which came when it could be served at once.
                self.clients[client].feed(data)
                data = b""
                assert self.absorb() == []
        for piece in [data[: len(data) // 2], data[len(data) // 2 :]] if split else [data]:
            self.clients[client].feed(piece)
        assert self.absorb() == []
        for queue in self.queues.values():
            self.check_priority(queue, before)

    def published(self, client: int, to: str, mode: int, priority: int | None) -> bytes:
        """The frames of a message, which the model takes in."""
        self.serial += 1
        body = str(self.serial)
        entries = []
        for name in QUEUES if to == "all" else (to,):
            queue = self.queues[name]
            queue.accepted += 1
            level = min(priority or 0, 1) if name == "ranked" else 0
            entry = Entry(queue, queue.accepted, body, mode == 2, level)
            queue.take(entry)
            entries.append(entry)
        self.sent[client].append(entries)
        return published(
            to,
            body,
            exchange="amq.fanout" if to == "all" else "",
            mode=mode,
            priority=priority,
            channel=PUBLISHER_CHANNEL,
        )

    def check_priority(self, queue: MQueue, before: dict[MConsumer, int]) -> None:
        """Who has a lower priority is served only while the others cannot take more."""
        for low in queue.consumers:
            if low.held == before.get(low, low.held):
                continue
            for high in queue.consumers:
                if high.priority > low.priority:
                    assert not high.can_take()

    # -- consumers ----------------------------------------------------------------------------

    @rule(
        client=clients,
        number=channels,
        name=queues,
        prefetch=st.sampled_from((1, 1, 2, 2, 0, None)),  # None: no acknowledgements
        exclusive=st.sampled_from((False,) * 9 + (True,)),
        priority=st.sampled_from((0, 0, 0, 1, 5, -2)),
    )
    def consume(
        self,
        client: int,
        number: int,
        name: str,
        prefetch: int | None,
        exclusive: bool,
        priority: int,
    ) -> None:
        queue = self.queues[name]
        channel = self.channels[client, number]
        self.tags += 1
        tag = f"c{self.tags}"
        no_ack = prefetch is None
        arguments: Any = {"x-priority": priority} if priority else {}
        if prefetch is not None:
            channel.global_prefetch = 0  # qos of consumers ends the channel's
            self.clients[client].send(Basic.Qos(0, prefetch), channel=number)
            assert [got.name for got in self.absorb()] == ["Basic.QosOk"]
        self.clients[client].send(
            Basic.Consume(0, name, tag, no_ack=no_ack, exclusive=exclusive, arguments=arguments),
            channel=number,
        )
        taken = any(c.exclusive for c in queue.consumers)
        if taken or (exclusive and queue.consumers):
            self.lose_channel(channel)
            closed = self.absorb()
            assert [str(each) for each in closed] == [
                f"channel.close ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use"
            ]
            self.reopen(channel, Channel.CloseOk())
            return
        consumer = MConsumer(tag, channel, queue, no_ack, exclusive, prefetch or 0, priority)
        queue.consumers.append(consumer)
        channel.consumers[tag] = consumer
        (answer,) = self.absorb()
        assert isinstance(answer.method, Basic.ConsumeOk)

    def cancel(self, client: int, number: int) -> None:
        channel = self.channels[client, number]
        if not channel.consumers:
            return
        consumer = next(iter(channel.consumers.values()))
        self.clients[channel.client].send(Basic.Cancel(consumer.tag), channel=channel.number)
        self.remove(consumer)
        (answer,) = self.absorb()
        assert isinstance(answer.method, Basic.CancelOk)

    def remove(self, consumer: MConsumer) -> None:
        consumer.queue.consumers.remove(consumer)
        del consumer.channel.consumers[consumer.tag]

    def qos_of_channel(self, client: int, number: int, count: int) -> None:
        self.clients[client].send(Basic.Qos(0, count, True), channel=number)
        self.channels[client, number].global_prefetch = count
        (answer,) = self.absorb()
        assert isinstance(answer.method, Basic.QosOk)

    # -- fetching and settling ----------------------------------------------------------------

    def get(self, client: int, number: int, name: str, no_ack: bool) -> None:
        queue = self.queues[name]
        channel = self.channels[client, number]
        self.clients[client].send(Basic.Get(0, name, no_ack), channel=number)
        (answer,) = self.absorb()
        if not queue.ready:
            assert isinstance(answer.method, Basic.GetEmpty)
            return
        entry = queue.ready.pop(0)
        channel.tag += 1
        flag = "*" if entry.delivered else ""
        assert str(answer) == f"got {channel.tag} {entry.body}{flag} left {len(queue.ready)}"
        entry.delivered = True
        if no_ack:
            queue.settled += 1
        else:
            queue.unacked.add(entry)
            channel.unacked[channel.tag] = (entry, None)

    @rule(client=clients, number=channels)
    def ack_all(self, client: int, number: int) -> None:
        channel = self.channels[client, number]
        self.release(channel, list(channel.unacked), "ack")
        self.clients[client].send(Basic.Ack(0, True), channel=number)
        assert self.absorb() == []

    @precondition(lambda self: any(channel.unacked for channel in self.channels.values()))
    @rule(data=st.data(), how=st.sampled_from(("ack", "reject", "requeue")), multiple=st.booleans())
    def settle(self, data: Any, how: str, multiple: bool) -> None:
        channel = data.draw(
            st.sampled_from([channel for channel in self.channels.values() if channel.unacked])
        )
        tag = data.draw(st.sampled_from([*channel.unacked, *([0] if multiple else [])]))
        if how == "ack":
            method: Any = Basic.Ack(tag, multiple)
        elif multiple or data.draw(st.booleans()):
            method = Basic.Nack(tag, multiple, how == "requeue")
        else:
            method = Basic.Reject(tag, how == "requeue")
        if not multiple:
            tags = [tag]
        else:
            tags = [each for each in channel.unacked if tag == 0 or each <= tag]
        self.release(channel, tags, how)
        self.clients[channel.client].send(method, channel=channel.number)
        assert self.absorb() == []

    @staticmethod
    def release(channel: MChannel, tags: list[int], how: str) -> None:
        for tag in tags:
            entry, consumer = channel.unacked.pop(tag)
            if consumer is not None:
                consumer.held -= 1
            if how == "requeue":
                entry.queue.put_back(entry)
            else:
                entry.queue.done(entry)

    def settle_unknown(self, client: int, number: int, tag: int, how: str) -> None:
        channel = self.channels[client, number]
        if tag in channel.unacked:
            return
        methods: dict[str, Any] = {
            "a": Basic.Ack(tag, tag > 20),
            "n": Basic.Nack(tag, tag > 20),
            "r": Basic.Reject(tag),
        }
        self.clients[client].send(methods[how], channel=number)
        self.lose_channel(channel)
        assert [str(each) for each in self.absorb()] == [
            f"channel.close PRECONDITION_FAILED - unknown delivery tag {tag}"
        ]
        self.reopen(channel, Channel.CloseOk())

    def recover(self, client: int, number: int) -> None:
        channel = self.channels[client, number]
        self.release(channel, list(channel.unacked), "requeue")
        self.clients[client].send(Basic.Recover(True), channel=number)
        (answer,) = self.absorb()
        assert isinstance(answer.method, Basic.RecoverOk)

    # -- queues -------------------------------------------------------------------------------

    def purge(self, name: str) -> None:
        queue = self.queues[name]
        count = len(queue.ready)
        queue.settled += count
        queue.ready.clear()
        self.clients[0].send(Queue.Purge(0, name), channel=PUBLISHER_CHANNEL)
        assert [str(each) for each in self.absorb()] == [f"purge-ok {count}"]

    def delete(self, name: str) -> None:
        queue = self.queues[name]
        self.clients[0].send(Queue.Delete(0, name), channel=PUBLISHER_CHANNEL)
        answers = Counter(str(each) for each in self.absorb())
        wanted = [f"cancel {consumer.tag}" for consumer in queue.consumers]
        assert answers == Counter([*wanted, f"delete-ok {len(queue.ready)}"])
        for consumer in list(queue.consumers):
            self.remove(consumer)
        queue.dead = True
        self.declare(name)

    # -- channels and connections -------------------------------------------------------------

    def lose_channel(self, channel: MChannel) -> None:
        """What becomes of a channel's own when it closes."""
        for consumer in list(channel.consumers.values()):
            self.remove(consumer)
        self.release(channel, list(channel.unacked), "requeue")

    def reopen(self, channel: MChannel, *first: Any) -> None:
        client = self.clients[channel.client]
        if first:
            client.send(*first, channel=channel.number)
        client.call(Channel.Open(), channel.number)
        self.channels[channel.client, channel.number] = MChannel(
            self, channel.client, channel.number
        )

    def close_channel(self, client: int, number: int) -> None:
        channel = self.channels[client, number]
        self.lose_channel(channel)
        self.clients[client].send(Channel.Close(200, "", 0, 0), channel=number)
        (answer,) = self.absorb()
        assert isinstance(answer.method, Channel.CloseOk)
        self.reopen(channel)

    def lose_connection(self, client: int) -> None:
        self.clients[client].drop()
        for number in range(1, CHANNELS + 1):
            self.lose_channel(self.channels[client, number])
        self.congested.discard(client)
        self.clients[client].take()
        self.clients[client] = self.world.connect(channels=0)
        self.open_channels(client)
        assert self.absorb() == []

    @rule(
        client=clients,
        number=channels,
        name=queues,
        what=st.sampled_from(
            (
                *("get", "get", "cancel", "commit", "commit", "recover", "purge", "delete"),
                *("channel", "connection", "qos", "a", "n", "r"),
            )
        ),
        tag=st.integers(0, 40),
    )
    def disrupt(self, client: int, number: int, name: str, what: str, tag: int) -> None:
        """What takes much away, in one rule so that it does not happen all the time."""
        match what:
            case "get":
                self.get(client, number, name, no_ack=tag % 4 == 0)
            case "cancel":
                self.cancel(client, number)
            case "commit":
                self.commit()
            case "recover":
                self.recover(client, number)
            case "purge":
                self.purge(name)
            case "delete":
                self.delete(name)
            case "channel":
                self.close_channel(client, number)
            case "connection":
                self.lose_connection(client)
            case "qos":
                self.qos_of_channel(client, number, tag % 4)
            case _:
                self.settle_unknown(client, number, tag, what)

    @rule(client=clients)
    def congest(self, client: int) -> None:
        """Or relieve, when it is congested."""
        if client in self.congested:
            self.congested.discard(client)
            self.clients[client].relieve()
            assert self.absorb() == []
        else:
            self.congested.add(client)
            self.clients[client].congest()

    def commit(self) -> None:
        for queue in self.queues.values():
            for entry in (*queue.ready, *queue.unacked):
                entry.committed = True
        self.world.commit()
        assert self.absorb() == []

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def counts(self) -> None:
        for queue in self.queues.values():
            live = self.world.queue(queue.name)
            assert live.ready_count == len(queue.ready)
            assert live.unacked_count == len(queue.unacked)
            assert queue.accepted == len(queue.ready) + len(queue.unacked) + queue.settled
            assert len(live.consumers) == len(queue.consumers)

    @invariant()
    def nobody_starves(self) -> None:
        for queue in self.queues.values():
            if queue.ready:
                waiting = [consumer.tag for consumer in queue.consumers if consumer.can_take()]
                assert not waiting, f"{queue.name} has messages, {waiting} could take some"

    @invariant()
    def store_holds_what_must_survive(self) -> None:
        for queue in self.queues.values():
            kept = self.world.store.kept.get(self.world.queue(queue.name).definition.id, {})
            bodies = sorted(message.body.decode() for message in kept.values())
            wanted = (
                sorted(e.body for e in (*queue.ready, *queue.unacked) if e.persistent)
                if queue.durable
                else []
            )
            assert bodies == wanted

    @invariant()
    def credit(self) -> None:
        for channel in self.channels.values():
            entry = next(
                each
                for each in self.world.broker.connections.values()
                if each.outlet is self.clients[channel.client].session.outlet
            )
            live = entry.channels[channel.number]
            assert list(live.unacked) == list(channel.unacked)
            for tag, consumer in channel.consumers.items():
                assert live.consumers[tag].unacked == consumer.held


def test_queues_channels_and_consumers() -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=80,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
