"""The queues of a cluster, as one node sees them: what `membership` starts and stops.

Theory. `RemoteQueues` is the broker's `homes` (`mqd.broker.homes`) while the node is a member. For
every member there is a `Peer`: its home side (`home`, from here), its serving side (`served`, for
it) and what is told of transient things. A link that comes makes all three begin anew, on both
ends; one that goes ends them, then the queues that lived there are told.

To compose: make one when the broker is there and before metadata is applied to it, with the mesh
that is linked or will be; `start`; when the node leaves the cluster `stop`, after which everything
lives here again. quorum_home(definition) says which member serves a quorum queue (or any queue that
is in a shard) now: "" while nobody knows. After it says something else, have the queues that are
concerned rehomed (`VHost.rehome`), or all (`homes_changed`). shard(definition) says which shard a
quorum queue that is to be goes into, None where it is its home's alone; members(definition), which
members it has at first.

Decides which node a queue lives on. Never decides what is done with that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mqd.amqp.replies import AmqpError
from mqd.broker.definitions import QueueDefinition
from mqd.broker.homes import Definition, Here, Home
from mqd.broker.message import names_of
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.reply import RemoteReply, node_of
from mqd.broker.vhost import VHost
from mqd.cluster.ports import Mesh
from mqd.cluster.queues import wire
from mqd.cluster.queues.home import PeerHome
from mqd.cluster.queues.line import Line
from mqd.cluster.queues.placing import place
from mqd.cluster.queues.serving import Served
from mqd.cluster.queues.transient import Told, Transient
from mqd.cluster.queues.wire import Kind, record

if TYPE_CHECKING:
    from mqd.broker.broker import Broker

Later = Callable[[float, Callable[[], None]], object]


class Peer:
    """Another member."""

    def __init__(self, broker: Broker, mesh: Mesh, node: str) -> None:
        self.node = node
        line = Line(broker, mesh, node)
        self.home = PeerHome(broker, line)
        self.served = Served(broker, line)
        self.told = Told()


class RemoteQueues:
    """See the file's charter. later(s, call): as `loop.call_later`."""

    def __init__(
        self,
        broker: Broker,
        mesh: Mesh,
        later: Later,
        quorum_home: Callable[[QueueDefinition], str],
        shard: Callable[[QueueDefinition], int | None] = lambda _: None,
        members: Callable[[QueueDefinition], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self._broker = broker
        self._mesh = mesh
        self._node = mesh.node
        self._quorum_home = quorum_home
        self.rests: Callable[[str], bool] = lambda node: False  # it is in maintenance
        self._shard = shard
        self._members = members
        self._peers: dict[str, Peer] = {}
        self._linked: dict[str, Peer] = {}
        self._transient = Transient(broker, self._node, lambda: list(self._linked.values()), later)
        self._ends: list[Callable[[], None]] = []

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """From now on the broker asks here where queues live."""
        self._broker.homes = self
        self._ends = [
            self._mesh.take(wire.SERVICE, self._take),
            self._mesh.on_change(self._changed),
        ]
        for node in self._mesh.up:
            self._changed(node, True)

    def stop(self) -> None:
        """The node is a cluster of its own: what lives elsewhere is gone for it."""
        for end in self._ends:
            end()
        self._ends = []
        for node in list(self._linked):
            self._changed(node, False)
        self._broker.homes = Here()

    # -- homes --------------------------------------------------------------------------------

    def _peer(self, node: str) -> Peer:
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = Peer(self._broker, self._mesh, node)
        return peer

    def elsewhere(self, definition: QueueDefinition) -> Home | None:
        """`mqd.broker.homes.Homes`."""
        node = definition.node or self._node
        if definition.shard is not None or (definition.type == "quorum" and definition.durable):
            node = self._quorum_home(definition)
        if node != self._node:
            return self._peer(node).home
        self._tell_who_missed_it(definition)
        return None

    def _tell_who_missed_it(self, definition: QueueDefinition) -> None:
        """It is here, or will be in this turn: who published to it before is to do so again."""
        for peer in self._linked.values():
            if peer.served.missed:
                ref = wire.queue_ref(definition.vhost, definition.name)
                if ref in peer.served.missed:
                    peer.served.missed.discard(ref)
                    peer.home.line.write(record(Kind.HERE, ref))

    def homes_changed(self) -> None:
        """Queues have other homes than before, or have one again. Ends the turn."""
        for vhost in self._broker.vhosts.values():
            for name in list(vhost.queues):
                vhost.rehome(name)
        self._broker.turn.end()

    def here(self, definition: QueueDefinition) -> None:
        """`mqd.broker.homes.Homes`: whoever waits for it can ask."""
        data = record(Kind.HERE, wire.queue_ref(definition.vhost, definition.name))
        for peer in self._linked.values():
            peer.home.line.write(data)

    def place(self, vhost: VHost, definition: QueueDefinition) -> QueueDefinition | AmqpError:
        """`mqd.broker.homes.Homes`."""
        policy = vhost.policy_of(definition)
        members = [node for node in (self._node, *self._linked) if not self.rests(node)]
        queues = (
            queue.definition
            for each in self._broker.vhosts.values()
            for queue in each.queues.values()
        )
        members = members or [self._node]
        node = place(definition, policy, self._node, members, queues, self._broker.random_index)
        shard = self._shard(replace(definition, node=node))
        if shard is None and definition.type == "quorum":
            node = self._quorum_home(definition) or node
        placed = replace(definition, node=node, shard=shard)
        return replace(placed, members=self._members(placed))

    # -- what is transient --------------------------------------------------------------------

    def claim(
        self, vhost: str, kind: str, name: str, then: Callable[[AmqpError | None], None]
    ) -> None:
        """`mqd.broker.homes.Homes`."""
        self._transient.claim((vhost, kind, name), then)

    def release(self, vhost: str, kind: str, name: str) -> None:
        """`mqd.broker.homes.Homes`."""
        self._transient.release((vhost, kind, name))

    def put(self, one: Definition, then: Callable[[], None]) -> None:
        """`mqd.broker.homes.Homes`."""
        self._transient.put(one, then)

    def gone(self, one: Definition, then: Callable[[], None]) -> None:
        """`mqd.broker.homes.Homes`."""
        self._transient.gone(one, then)

    def reply_to(self, name: str) -> RemoteReply | None:
        """`mqd.broker.homes.Homes`."""
        peer = self._linked.get(node_of(name) or "")
        if peer is None:
            return None
        head = names_of(name, "")[:-1]

        def send(names: bytes, content: bytes) -> None:
            body = b"".join((head, len(names).to_bytes(2, "big"), names, content))
            peer.home.write(record(Kind.REPLY, body))

        return RemoteReply(send)

    def _reply(self, body: bytes) -> None:
        end = 1 + body[0]
        consumer = self._broker.replies.get(body[1:end].decode("utf-8", "surrogateescape"))
        size = int.from_bytes(body[end : end + 2], "big")
        if consumer is not None:
            at = end + 2
            consumer.publish(body[at : at + size], body[at + size :], False)

    # -- the links ----------------------------------------------------------------------------

    def _changed(self, node: str, is_up: bool) -> None:
        peer = self._peer(node)
        if node in self._linked:
            del self._linked[node]
            self._down(peer)
        if is_up:
            self._linked[node] = peer
            peer.home.up()
            self._transient.up(peer)
            for queue in self._living_at(peer):
                queue.found()
        self._broker.turn.end()

    def _down(self, peer: Peer) -> None:
        peer.home.down()
        peer.served.down()
        self._transient.down(peer)
        for queue in self._living_at(peer):
            queue.lost()

    def _living_at(self, peer: Peer) -> Sequence[RemoteQueue]:
        return [
            queue
            for vhost in self._broker.vhosts.values()
            for queue in vhost.queues.values()
            if isinstance(queue, RemoteQueue) and queue.at is peer.home
        ]

    def _take(self, node: str, payload: bytes) -> None:
        peer = self._linked.get(node)
        if peer is None:
            return
        for kind, body in wire.records(payload):
            if (
                peer.home.take(kind, body)
                or peer.served.take(kind, body)
                or self._transient.take(peer, kind, body)
            ):
                continue
            if kind == Kind.REPLY:
                self._reply(body)
            elif kind == Kind.HERE:
                vhost, name = wire.read_ref(body)
                found = self._broker.vhosts.get(vhost)
                queue = found.queues.get(name) if found is not None else None
                if isinstance(queue, RemoteQueue) and queue.at is peer.home:
                    queue.renewed()
        self._broker.turn.end_soon()
