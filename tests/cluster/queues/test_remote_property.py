"""Drawn programs on three nodes whose links are cut, slow and out of step.

Clients on every node publish to, consume from, ask and settle messages of queues of every node.
What must hold whatever is drawn: a message that was confirmed and not returned is delivered and
settled, or is still there; a classic queue delivers nothing twice without saying so; every client
sees what one channel sent in the order it was sent; a single active consumer is one; what queues
and channels count is the same; and when the clients are gone nothing of them is left.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqd.broker.queues.remote import RemoteQueue
from tests.cluster.queues.worlds import Client, Cluster
from tests.harness import Basic, Channel, Confirm, Got, Queue, Tx, published

NODES = "abc"
QUEUES = {
    "qa": ("a", {}),
    "qb": ("b", {}),
    "single": ("b", {"x-single-active-consumer": True}),
    "ranked": ("c", {"x-max-priority": 2}),
    "quorum": ("a", {"x-queue-type": "quorum"}),
    "owing": (
        "a",
        {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "qb",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    ),
}
CLASSIC = ("qa", "qb", "single", "ranked")
names = st.sampled_from(sorted(QUEUES))
clients = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("publish"), clients, names),
    st.tuples(st.just("publish"), clients, names),
    st.tuples(st.just("publish"), clients, names),
    st.tuples(st.just("publish for a while"), clients, names),
    st.tuples(st.just("commit"), clients, st.tuples(names, names)),
    st.tuples(st.just("purge"), clients, names),
    st.tuples(st.just("consume"), clients, names),
    st.tuples(st.just("cancel"), clients, st.just("")),
    st.tuples(st.just("get"), clients, names),
    st.tuples(st.just("count"), clients, names),
    st.tuples(st.just("ack"), clients, st.integers(0, 5)),
    st.tuples(st.just("ack"), clients, st.integers(0, 5)),
    st.tuples(st.just("requeue"), clients, st.integers(0, 5)),
    st.tuples(st.just("reject"), clients, st.integers(0, 5)),
    st.tuples(st.just("tick"), st.integers(0, 2), st.just("")),
    st.tuples(st.just("prefetch"), clients, st.integers(0, 3)),
    st.tuples(st.just("limit"), clients, st.integers(0, 3)),
    st.tuples(st.just("drop"), clients, st.just("")),
    st.tuples(st.just("run"), st.integers(1, 12), st.just("")),
    st.tuples(st.just("run"), st.integers(1, 12), st.just("")),
    st.tuples(st.just("settle"), st.just(0), st.just("")),
    st.tuples(st.just("cut"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("heal"), st.just(0), st.just("")),
)


class Actor:
    """A client, and what it knows: one channel consumes, 2 is in confirm mode, 3 in tx mode."""

    def __init__(self, play: Play, number: int) -> None:
        self.play = play
        self.number = number
        self.node = NODES[number % len(NODES)]
        self.connect()

    def connect(self) -> None:
        self.client: Client = self.play.cluster[self.node].connect()
        self.client.call(Channel.Open(), 2)
        self.client.call(Confirm.Select(), 2)
        self.client.call(Channel.Open(), 3)
        self.client.call(Tx.Select(), 3)
        self.commits: list[list[str]] = []  # bodies of those that are not answered
        self.purges: list[str] = []
        self.sent: list[str] = []  # in confirm mode, by seqno - 1
        self.answered = 0
        self.held: dict[int, tuple[str, str]] = {}  # body, queue
        self.tags: set[str] = set()
        self.asked = 0

    def see(self) -> None:
        """Take note of what came."""
        self.client.feed(b"")
        for got in self.client.take():
            self._see(got)

    def _see(self, got: Got) -> None:
        method: Any = got.method
        play = self.play
        match method:
            case Basic.Deliver() | Basic.GetOk():
                body = got.body.decode()
                self.held[method.delivery_tag] = (body, method.routing_key)
                if body.endswith(method.routing_key):  # else it was dead-lettered
                    play.delivered(self, body, method.redelivered)
            case Basic.Ack():
                first = 1 if method.multiple else method.delivery_tag
                for seqno in range(first, method.delivery_tag + 1):
                    body = self.sent[seqno - 1]
                    if body not in play.refused:
                        play.confirmed.add(body)
            case Basic.Nack():
                play.refused.add(self.sent[method.delivery_tag - 1])
            case Basic.Return():
                play.returned.add(got.body.decode())
            case Basic.Cancel():
                self.tags.discard(method.consumer_tag)
            case Tx.CommitOk():
                play.confirmed.update(self.commits.pop(0))
            case Queue.PurgeOk():
                play.purged(self.purges.pop(0))
            case Channel.Close() if got.channel == 3:  # a home went: what it had is not known
                self.commits.clear()
                self.client.send(Channel.CloseOk(), Channel.Open(), Tx.Select(), channel=3)
            case Channel.Close():
                self.leave()
                assert "down or inaccessible" in method.reply_text or "global qos" in str(
                    method.reply_text
                ), method.reply_text
                self.held.clear()
                self.tags.clear()
                self.client.send(Channel.CloseOk())
                self.client.send(Channel.Open())

    def leave(self) -> None:
        """What it asked for may be done later, or never."""
        self.play.purged_some_time.update(self.purges)
        self.purges.clear()

    def publish(self, queue: str, channel: int, **properties: Any) -> str:
        self.play.serial += 1
        body = f"{self.number}-{channel}.{self.play.serial}.{queue}"
        self.play.bodies.append(body)
        self.client.feed(
            published(queue, body, mandatory=True, channel=channel, mode=2, **properties)
        )
        return body

    def do(self, what: str, value: Any) -> None:
        client = self.client
        match what:
            case "publish" | "publish for a while":
                ttl = {"expiration": "1500"} if what != "publish" else {}
                self.sent.append(f"{self.number}-2.{self.play.serial + 1}.{value}")
                if ttl:
                    self.play.settled.add(self.sent[-1])
                self.publish(value, 2, **ttl)
            case "commit":
                self.commits.append([self.publish(queue, 3) for queue in value])
                client.send(Tx.Commit(), channel=3)
            case "purge":
                self.purges.append(value)
                client.send(Queue.Purge(queue=value))
            case "consume":
                tag = f"c{self.play.serial}.{len(self.tags)}"
                self.play.serial += 1
                self.tags.add(tag)
                client.send(Basic.Consume(0, value, tag))
            case "cancel" if self.tags:
                client.send(Basic.Cancel(sorted(self.tags)[0]))
                self.tags.discard(sorted(self.tags)[0])
            case "get":
                client.send(Basic.Get(0, value))
            case "count":
                client.send(Queue.Declare(queue=value, passive=True))
            case "ack" | "requeue" | "reject" if self.held:
                tag = sorted(self.held)[value % len(self.held)]
                body, queue = self.held.pop(tag)
                if what == "ack" or (what == "reject" and queue != "owing"):
                    self.play.settled.add(body)
                if what == "ack":
                    client.send(Basic.Ack(tag))
                else:
                    client.send(Basic.Nack(tag, requeue=what == "requeue"))
            case "prefetch":
                client.send(Basic.Qos(0, value))
            case "limit" if not any("quorum" in tag for tag in self.tags):
                client.send(Basic.Qos(0, value, True))
            case "drop":
                self.leave()
                client.drop()
                self.connect()


class Play:
    """One drawn program."""

    def __init__(self, seed: int) -> None:
        self.cluster = Cluster(*NODES, seed=seed)
        self.serial = 0
        self.bodies: list[str] = []
        self.purged_some_time: set[str] = set()
        self.confirmed: set[str] = set()
        self.refused: set[str] = set()
        self.returned: set[str] = set()
        self.settled: set[str] = set()
        self.fresh: Counter[str] = Counter()
        self.newest: dict[tuple[int, str, str], int] = {}
        for name, (node, arguments) in QUEUES.items():
            self.cluster.quorum_at = "a"
            client = self.cluster[node].connect()
            client.declare(name, durable=True, arguments=arguments)
            client.drop()
        self.actors = [Actor(self, number) for number in range(4)]
        self.cluster.paused = True

    def purged(self, queue: str) -> None:
        """What was there is gone, and perhaps what came until now."""
        gone = (queue, "owing") if queue == "qb" else queue  # these die into it
        self.settled.update(body for body in self.bodies if body.endswith(gone))

    def delivered(self, actor: Actor, body: str, redelivered: bool) -> None:
        publisher, serial, queue = body.split(".")
        if redelivered:
            return
        if queue in CLASSIC:
            self.fresh[body] += 1
            assert self.fresh[body] == 1, f"{body} came twice"
        key = (id(actor.client), publisher, queue)
        assert self.newest.get(key, 0) < int(serial), f"{body} is out of order"
        self.newest[key] = int(serial)

    def step(self, what: str, who: int, value: Any) -> None:
        cluster = self.cluster
        match what:
            case "run":
                for name in NODES:
                    cluster[name].own_turns()
                cluster.meshes.run(who)
            case "settle":
                self.settle()
            case "tick":
                cluster[NODES[who]].tick(1000)
            case "cut":
                one, other = ("ab", "ac", "bc")[who]
                if value:
                    cluster.meshes.close(one, other)
                else:
                    cluster.meshes.cut(one, other)
            case "heal":
                cluster.meshes.heal()
            case _:
                self.actors[who].do(what, value)
        for name in NODES:
            cluster[name].own_turns()
        for actor in self.actors:
            actor.see()
        self.check()

    def settle(self) -> None:
        """Everything arrives, everything is on disc."""
        self.cluster.paused = False
        for _ in range(4):
            self.cluster.commit()
            for actor in self.actors:
                actor.see()
        self.cluster.paused = True

    def check(self) -> None:
        """What queues count is what channels hold."""
        for name in NODES:
            broker = self.cluster[name].broker
            vhost = broker.vhosts["/"]
            held: Counter[Any] = Counter()
            for entry in vhost.holders():
                for channel in entry.channels.values():
                    held.update(queue for queue, *_ in channel.unacked.values())
            for queue in vhost.queues.values():
                assert queue.unacked_count == held[queue], (name, queue.name)
                if queue.single_active and not isinstance(queue, RemoteQueue):
                    assert len(queue.ring) <= 1
                    active = [one for one in queue.consumers if not one.waiting]
                    assert len(active) <= 1

    def end(self) -> None:
        """All is linked again and every client leaves; what is there is looked at."""
        self.cluster.meshes.heal()
        self.settle()
        for actor in self.actors:
            actor.client.drop()
        self.settle()
        left: set[str] = set()
        for name, (node, _) in reversed(QUEUES.items()):
            world = self.cluster[node]
            queue = world.queue(name)
            assert (queue.unacked_count, queue.consumers) == (0, []), name
            for _ in range(3):
                world.tick(1000)
                self.settle()
            client = world.connect()
            while (got := client.get(name, no_ack=True)) is not None:
                body = got.body.decode()
                if body.endswith(CLASSIC):
                    assert body not in left
                left.add(body)
        for name in NODES:
            broker = self.cluster[name].broker
            assert not broker.served
            assert not broker.vhosts["/"].tickets, "somebody waits for ever"
        for queue in self.purged_some_time:
            self.purged(queue)
        kept = self.confirmed - self.returned
        assert kept <= left | self.settled, f"lost: {kept - left - self.settled}"


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.integers(0, 10_000), st.lists(steps, min_size=20, max_size=80))
def test_nothing_is_lost_between_nodes(seed: int, program: list[tuple[str, int, Any]]) -> None:
    play = Play(seed)
    for what, who, value in program:
        play.step(what, who, value)
    play.end()


def test_a_transaction_of_both() -> None:
    """Queues of three nodes in one commit."""
    cluster = Cluster(*NODES)
    for name, (node, arguments) in QUEUES.items():
        cluster[node].connect().declare(name, durable=True, arguments=arguments)
    client = cluster["c"].connect()
    client.call(Tx.Select())
    for name in QUEUES:
        client.publish(name, "x", mode=2)
    client.send(Tx.Commit())
    assert client.said() == []
    cluster.commit()
    assert client.said() == ["Tx.CommitOk"]
    assert all(cluster[node].queue(name).ready_count == 1 for name, (node, _) in QUEUES.items())
