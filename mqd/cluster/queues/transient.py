"""What is gone with its node: transient queues, exchanges and bindings, as all members know them.

Theory. A queue that is exclusive or not durable lives where it was declared, and so does an
exchange that is not durable; nothing of them is kept anywhere. Their node tells all linked members
of each one that comes or goes, and a member that is newly linked all there are. A declare is
answered when they have said that they know it, or are gone, or a second later. When the link to a
node ends, so do the things it owns. A binding belongs to nobody: it goes with either of its ends.

A name that a client chose is claimed before: at the member that its hash names among those that are
linked. Whoever claims it while somebody else has it waits until that one is announced, and gets the
announcement with the answer.

Decides that. Never decides what a queue or an exchange does, and never reads a clock: `later` is
given.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mqd import limits
from mqd.amqp.replies import AmqpError
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.homes import LOST, Definition
from mqd.broker.vhost import VHost
from mqd.cluster.queues import wire
from mqd.cluster.queues.wire import Kind, record, told
from mqd.metadata import commands
from mqd.metadata.commands import PutBinding, PutExchange, PutQueue

if TYPE_CHECKING:
    from mqd.broker.broker import Broker
    from mqd.cluster.queues.remote_queues import Peer

log = logging.getLogger("mqd.queue")

_EARLY_MAX = 10_000

Name = tuple[str, str, str]  # vhost, "queue" | "exchange", name


@dataclass(slots=True, eq=False)
class _Wait:
    """Somebody waits until members know something."""

    then: Callable[[], None]
    left: int = 0
    is_over: bool = False

    def less(self) -> None:
        """One of them does."""
        self.left -= 1
        if self.left <= 0:
            self.end()

    def end(self) -> None:
        """All do, or it took too long."""
        if not self.is_over:
            self.is_over = True
            self.then()


@dataclass(slots=True, eq=False)
class _Claim:
    """A name that somebody has claimed. waiting: (node, what to call with the announcement)."""

    node: str
    waiting: deque[tuple[str, Callable[[str, str], None]]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Told:
    """What one linked member has been told, and has told."""

    sent: int = 0
    heard: int = 0
    says_heard: bool = False
    waits: deque[tuple[int, _Wait]] = field(default_factory=deque)


class Transient:
    """See the file's charter."""

    def __init__(
        self,
        broker: Broker,
        node: str,
        peers: Callable[[], Sequence[Peer]],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """peers: those that are linked. later(s, call): call after so long."""
        self._broker = broker
        self._node = node
        self._peers = peers
        self._later = later
        self._exchanges: dict[tuple[str, str], str] = {}  # (vhost, name) → node, of others' ones
        self._claims: dict[Name, _Claim] = {}
        self._early: list[BindingDefinition] = []  # that lack an end

    # -- telling ------------------------------------------------------------------------------

    def put(self, one: Definition, then: Callable[[], None]) -> None:
        """`mqd.broker.homes.Homes.put`."""
        line = commands.encode(_command(one))
        self._tell(Kind.PUT, line, then)
        if isinstance(one, ExchangeDefinition):
            self._exchanges.pop((one.vhost, one.name), None)  # another one of that name was
        if not isinstance(one, BindingDefinition):
            self._settle(_name(one), self._node, line)

    def gone(self, one: Definition, then: Callable[[], None]) -> None:
        """`mqd.broker.homes.Homes.gone`."""
        if isinstance(one, ExchangeDefinition):
            self._exchanges.pop((one.vhost, one.name), None)
        self._tell(Kind.GONE, commands.encode(_command(one)), then)

    def _tell(self, kind: Kind, line: str, then: Callable[[], None]) -> None:
        peers = self._peers()
        if not peers:
            then()
            return
        wait = _Wait(then, len(peers))
        data = record(kind, line.encode("utf-8", "surrogateescape"))
        for peer in peers:
            peer.told.sent += 1
            peer.told.waits.append((peer.told.sent, wait))
            peer.home.write(data)

        def too_late() -> None:
            if not wait.is_over:
                wait.end()
                self._broker.turn.end()

        self._later(limits.ANNOUNCED_S, too_late)

    def up(self, peer: Peer) -> None:
        """It is linked, and hears of all there is here."""
        for vhost in self._broker.vhosts.values():
            for one in self._owned(vhost):
                peer.told.sent += 1
                line = commands.encode(_command(one))
                peer.home.write(record(Kind.PUT, line.encode("utf-8", "surrogateescape")))

    def _owned(self, vhost: VHost) -> list[Definition]:
        found: list[Definition] = []
        for exchange in vhost.exchanges.values():
            definition = exchange.definition
            is_foreign = (vhost.name, definition.name) in self._exchanges
            if not definition.durable and not is_foreign:
                found.append(definition)
        found += (
            queue.definition
            for queue in vhost.queues.values()
            if not queue.durable and not queue.is_remote
        )
        found += (one for one in vhost.bindings if self._is_told_here(vhost, one))
        return found

    def _is_told_here(self, vhost: VHost, binding: BindingDefinition) -> bool:
        """Whether a binding is for this node to tell a member that is newly linked: its queue is
        here, or the exchange without which it would not be."""
        if not _has_ends(vhost, binding) or vhost.is_durable(binding):
            return False
        if binding.destination_kind == "queue":
            queue = vhost.queues[binding.destination]
            if not queue.durable:
                return not queue.is_remote
        source = vhost.exchanges[binding.source].definition
        owned = binding.destination if source.durable else binding.source
        return (vhost.name, owned) not in self._exchanges

    # -- hearing ------------------------------------------------------------------------------

    def take(self, peer: Peer, kind: int, body: bytes) -> bool:
        """A record from a member; False when it is about something else."""
        match kind:
            case Kind.PUT | Kind.GONE:
                line = body.decode("utf-8", "surrogateescape")
                if kind == Kind.PUT:
                    self._hear_put(peer.node, line)
                else:
                    self._hear_gone(line)
                peer.told.heard += 1
                if not peer.told.says_heard:
                    peer.told.says_heard = True
                    self._broker.turn.confirms.append(lambda: self._say_heard(peer))
            case Kind.KNOWN:
                (upto,) = wire.NUMBER.unpack(body)
                waits = peer.told.waits
                while waits and waits[0][0] <= upto:
                    waits.popleft()[1].less()
            case Kind.CLAIM:
                question, *name = json.loads(body)
                self._claimed(peer, question, (name[0], name[1], name[2]))
            case Kind.RELEASE:
                vhost, what, text = json.loads(body)
                self._release((vhost, what, text), peer.node)
            case _:
                return False
        return True

    def _say_heard(self, peer: Peer) -> None:
        peer.told.says_heard = False
        if peer.home.is_up:
            peer.home.line.write(record(Kind.KNOWN, wire.NUMBER.pack(peer.told.heard)))

    def _hear_put(self, node: str, line: str) -> None:
        match commands.decode(line):
            case PutQueue(queue):
                self._take_queue(node, queue)
                self._settle(_name(queue), node, line)
            case PutExchange(exchange):
                self._take_exchange(node, exchange)
                self._settle(_name(exchange), node, line)
            case PutBinding(binding):
                self._early.append(binding)
            case _:
                log.warning("node %s announces what nobody knows: %s", node, line[:80])
        if self._early:
            self._bind_early()

    def _bind_early(self) -> None:
        """Bind what has both ends by now: another member tells of them, perhaps later than of the
        binding."""
        waiting: list[BindingDefinition] = []
        with self._broker.events.silent():
            for binding in self._early:
                vhost = self._broker.vhosts.get(binding.vhost)
                if vhost is not None and _has_ends(vhost, binding):
                    vhost.apply_put_binding(binding)
                else:
                    waiting.append(binding)
        self._early = waiting[-_EARLY_MAX:]

    def _take_exchange(self, node: str, exchange: ExchangeDefinition) -> None:
        vhost = self._broker.vhosts.get(exchange.vhost)
        if vhost is None:
            return
        key = exchange.vhost, exchange.name
        found = vhost.exchanges.get(exchange.name)
        if found is None:
            self._exchanges[key] = node
            with self._broker.following():
                vhost.apply_put_exchange(exchange)
            return
        owner = self._exchanges.get(key, self._node)
        if found.definition.durable or min(owner, node) == owner:
            return
        # Two nodes that were not linked: the same one of them owns it on every node.
        self._exchanges[key] = node
        if found.definition != exchange:
            log.warning("%s was declared on %s as well: theirs stays", exchange.resource, node)
            vhost.replace_exchange(exchange)

    def _take_queue(self, node: str, queue: QueueDefinition) -> None:
        vhost = self._broker.vhosts.get(queue.vhost)
        if vhost is None:
            return
        found = vhost.queues.get(queue.name)
        if found is not None and not found.durable and found.home != node:
            # Two nodes that were not linked: the same one of them lets go on every node.
            if min(found.home, node) != node:
                return
            log.warning("%s was declared on %s as well: theirs stays", queue.resource, node)
            if found.is_remote:
                with self._broker.following():
                    vhost.apply_delete_queue(queue.name)
            else:
                vhost.apply_delete_queue(queue.name)
        with self._broker.following():
            vhost.apply_put_queue(_of_node(queue, node))

    def _hear_gone(self, line: str) -> None:
        command = commands.decode(line)
        with self._broker.following():
            match command:
                case PutQueue(queue):
                    vhost = self._broker.vhosts.get(queue.vhost)
                    found = vhost.queues.get(queue.name) if vhost is not None else None
                    if vhost is not None and found is not None and not found.durable:
                        vhost.apply_delete_queue(queue.name)
                case PutExchange(exchange):
                    self._exchanges.pop((exchange.vhost, exchange.name), None)
                    vhost = self._broker.vhosts.get(exchange.vhost)
                    there = vhost.exchanges.get(exchange.name) if vhost is not None else None
                    if vhost is not None and there is not None and not there.definition.durable:
                        vhost.apply_delete_exchange(exchange.name)
                case PutBinding(binding):
                    self._early = [one for one in self._early if one != binding]
                    vhost = self._broker.vhosts.get(binding.vhost)
                    if vhost is not None:
                        vhost.apply_delete_binding(binding)
                case _:
                    log.warning("a node takes back what nobody knows: %s", line[:80])

    def down(self, peer: Peer) -> None:
        """The link is gone: so is what it owned. Whoever waits for it waits no more. The caller
        ends the turn."""
        survivors = [self._node, *(one.node for one in self._peers())]
        leads = min(survivors) == self._node  # one of them sees to what goes with that
        with self._broker.events.silent() if leads else self._broker.following():
            for vhost in self._broker.vhosts.values():
                for queue in list(vhost.queues.values()):
                    if queue.is_remote and not queue.durable and queue.home == peer.node:
                        vhost.apply_delete_queue(queue.name)
            for (vhost_name, name), node in list(self._exchanges.items()):
                if node == peer.node:
                    del self._exchanges[vhost_name, name]
                    there = self._broker.vhosts.get(vhost_name)
                    exchange = there.exchanges.get(name) if there is not None else None
                    if there is not None and exchange and not exchange.definition.durable:
                        there.apply_delete_exchange(name)
        before, peer.told = peer.told, Told()
        for _, wait in before.waits:
            wait.less()
        for claimed, claim in list(self._claims.items()):
            claim.waiting = deque(one for one in claim.waiting if one[0] != peer.node)
            if claim.node == peer.node:
                self._release(claimed, peer.node)

    # -- names --------------------------------------------------------------------------------

    def claim(self, name: Name, then: Callable[[AmqpError | None], None]) -> None:
        """`mqd.broker.homes.Homes.claim`."""
        peers = self._peers()
        place = max([self._node, *(peer.node for peer in peers)], key=lambda one: _rank(name, one))
        if place == self._node:
            self._grant(name, self._node, lambda owner, line: self._claim_ended(owner, line, then))
            return
        peer = next(one for one in peers if one.node == place)

        def answered(result: Any) -> None:
            if result is LOST:
                self.claim(name, then)
            else:
                self._claim_ended(result[0], result[1], then)

        peer.home.question(Kind.CLAIM, list(name), answered)

    def release(self, name: Name) -> None:
        """`mqd.broker.homes.Homes.release`."""
        self._release(name, self._node)
        for peer in self._peers():
            peer.home.write(told(Kind.RELEASE, *name))

    def _claim_ended(self, owner: str, line: str, then: Callable[[AmqpError | None], None]) -> None:
        if line and owner != self._node:
            self._hear_put(owner, line)
        then(None)

    def _claimed(self, peer: Peer, question: int, name: Name) -> None:
        told_by = peer.told

        def granted(owner: str, line: str) -> None:
            if peer.told is told_by:  # the same link
                peer.home.line.write(told(Kind.ANSWER, question, ["ok", [owner, line]]))

        self._grant(name, peer.node, granted)

    def _grant(self, name: Name, node: str, granted: Callable[[str, str], None]) -> None:
        """granted(owner, announcement): at once when nobody has claimed it, else when it was
        announced, or released."""
        claim = self._claims.get(name)
        if claim is None:
            self._claims[name] = _Claim(node)
            granted(node, "")
        else:
            claim.waiting.append((node, granted))

    def _settle(self, name: Name, owner: str, line: str) -> None:
        """It is announced: those who wait for the name have lost it."""
        claim = self._claims.pop(name, None)
        if claim is not None:
            for _, granted in claim.waiting:
                granted(owner, line)

    def _release(self, name: Name, node: str) -> None:
        """Nothing came of that node's claim: the next one has it."""
        claim = self._claims.get(name)
        if claim is None or claim.node != node:
            return
        if not claim.waiting:
            del self._claims[name]
            return
        claim.node, granted = claim.waiting.popleft()
        granted(claim.node, "")


def _rank(name: Name, node: str) -> bytes:
    return hashlib.blake2b("\0".join((*name, node)).encode("utf-8", "surrogateescape")).digest()


def _command(one: Definition) -> PutQueue | PutExchange | PutBinding:
    match one:
        case QueueDefinition():
            return PutQueue(one)
        case ExchangeDefinition():
            return PutExchange(one)
        case _:
            return PutBinding(one)


def _name(one: QueueDefinition | ExchangeDefinition) -> Name:
    return one.vhost, "queue" if isinstance(one, QueueDefinition) else "exchange", one.name


def _of_node(queue: QueueDefinition, node: str) -> QueueDefinition:
    values = {name: getattr(queue, name) for name in QueueDefinition.__slots__}
    return QueueDefinition(**{**values, "node": node})


def _has_ends(vhost: VHost, binding: BindingDefinition) -> bool:
    there = vhost.queues if binding.destination_kind == "queue" else vhost.exchanges
    return binding.source in vhost.exchanges and binding.destination in there
