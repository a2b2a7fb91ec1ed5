"""The links of a cluster in one process: `Mesh` without sockets, for tests of what runs over it.

Decides when what was sent arrives: only in `FakeMeshes.run` (or `settle`, which also gives tasks
their turns), in the order it was sent or, with a seed, in a drawn order that keeps each pair's own.
Keeps the promises of `mqd.cluster.ports.Mesh` and no others, so what passes here may rely on
nothing that the real links do not give. Never reads a clock; timeouts of requests are asyncio's.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mqd.cluster.ports import Answer, Mesh, PeerDown, Take
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member

_TURNS_MAX = 10_000  # of `settle`, and deliveries per node of one `run`: beyond it, a ping-pong
_QUIET_TURNS = 25  # of the loop without news, after which `settle` takes tasks to be waiting


@dataclass(slots=True, eq=False)
class _Call:
    """A request under way, as both ends know it."""

    answered: asyncio.Future[bytes]


@dataclass(slots=True)
class _Envelope:
    service: str
    payload: bytes
    call: _Call | None = None
    reply: bytes | MqdError | None = None  # set: the answer to `call`
    ends: bool = False  # the sender closed the link after what it had sent


@dataclass(slots=True, eq=False)
class _Wire:
    """One direction of a link."""

    sender: FakeMesh
    receiver: FakeMesh
    held: bool = False
    lost: bool = False  # the receiver closed the link: what is sent goes nowhere
    under_way: deque[_Envelope] = field(default_factory=deque)


class FakeMesh(Mesh):
    """One node's end. Made by `FakeMeshes`."""

    def __init__(self, owner: FakeMeshes, node: str, epoch: int) -> None:
        self.node = node
        self.own_epoch = epoch
        self.members: frozenset[str] | None = None  # None: whoever is there
        self.running: set[asyncio.Task[None]] = set()
        self._owner = owner
        self._epochs: dict[str, int] = {}
        self._wires: dict[str, _Wire] = {}  # by receiver, while linked
        self._takers: dict[str, Take] = {}
        self._answerers: dict[str, Answer] = {}
        self._hearers: list[Callable[[str, bool], None]] = []
        self._calls: dict[str, set[_Call]] = {}
        self._congested: set[str] = set()
        self._relief: dict[str, list[Callable[[], None]]] = {}

    # -- Mesh ---------------------------------------------------------------------------------

    @property
    def up(self) -> Sequence[str]:
        return sorted(self._wires)

    def epoch(self, node: str) -> int:
        return self._epochs.get(node, 0)

    def send(self, node: str, service: str, payload: bytes) -> bool:
        return self._put(node, _Envelope(service, bytes(payload)))

    def broadcast(self, service: str, payload: bytes) -> None:
        for node in self.up:
            self.send(node, service, payload)

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float) -> bytes:
        call = _Call(asyncio.get_running_loop().create_future())
        if not self._put(node, _Envelope(service, bytes(payload), call)):
            raise PeerDown(node)
        calls = self._calls.setdefault(node, set())
        calls.add(call)
        try:
            async with asyncio.timeout(timeout_s):
                return await call.answered
        finally:
            calls.discard(call)

    def take(self, service: str, handler: Take) -> Callable[[], None]:
        assert service not in self._takers, service
        self._takers[service] = handler
        return lambda: void(self._takers.pop(service, None))

    def answer(self, service: str, handler: Answer) -> Callable[[], None]:
        assert service not in self._answerers, service
        self._answerers[service] = handler
        return lambda: void(self._answerers.pop(service, None))

    def on_change(self, hear: Callable[[str, bool], None]) -> Callable[[], None]:
        self._hearers.append(hear)
        return lambda: self._hearers.remove(hear) if hear in self._hearers else None

    def congested(self, node: str) -> bool:
        return node in self._congested

    def on_relief(self, node: str, call: Callable[[], None]) -> None:
        if node in self._congested:
            self._relief.setdefault(node, []).append(call)
        else:
            call()

    def use_members(self, members: Mapping[str, Member]) -> None:
        self.members = frozenset(members)
        for node in self.up:
            if node not in self.members:
                self._owner.cut(self.node, node, heals=True)

    # -- for FakeMeshes -----------------------------------------------------------------------

    def wants(self, node: str) -> bool:
        return self.members is None or node in self.members

    def wire_to(self, node: str) -> _Wire | None:
        return self._wires.get(node)

    def link_up(self, peer: FakeMesh) -> None:
        self._wires[peer.node] = _Wire(self, peer)
        self._epochs[peer.node] = peer.own_epoch

    def link_down(self, node: str) -> None:
        """Fails what is pending, then tells. No effect when it is down already."""
        if self._wires.pop(node, None) is None:
            return
        self.relieve(node)
        for call in self._calls.pop(node, ()):
            if not call.answered.done():
                call.answered.set_exception(PeerDown(node))
        self.hear(node, False)

    def hear(self, node: str, is_up: bool) -> None:
        for hear in list(self._hearers):
            hear(node, is_up)

    def congest(self, node: str) -> None:
        self._congested.add(node)

    def relieve(self, node: str) -> None:
        self._congested.discard(node)
        for call in self._relief.pop(node, ()):
            call()

    def deliver(self, sender: FakeMesh, envelope: _Envelope) -> None:
        if envelope.ends:
            self.link_down(sender.node)
        elif envelope.reply is not None:
            self._take_reply(envelope)
        elif envelope.call is not None:
            wire = self._wires.get(sender.node)
            serve = self._serve(sender, envelope, wire)
            task = asyncio.get_running_loop().create_task(serve)
            self.running.add(task)
            task.add_done_callback(self.running.discard)
        elif (handler := self._takers.get(envelope.service)) is not None:
            handler(sender.node, envelope.payload)

    def _take_reply(self, envelope: _Envelope) -> None:
        assert envelope.call is not None
        answered = envelope.call.answered
        if answered.done():
            return
        if isinstance(envelope.reply, MqdError):
            answered.set_exception(envelope.reply)
        elif envelope.reply is not None:
            answered.set_result(envelope.reply)

    async def _serve(self, sender: FakeMesh, asked: _Envelope, wire: _Wire | None) -> None:
        reply = _Envelope(asked.service, b"", asked.call, await self._answered(sender, asked))
        if wire is not None and self._wires.get(sender.node) is wire:  # else: of a link that ended
            self._put(sender.node, reply)

    async def _answered(self, sender: FakeMesh, asked: _Envelope) -> bytes | MqdError:
        handler = self._answerers.get(asked.service)
        if handler is None:
            text = f"node {self.node} does not answer '{asked.service}'"
            return MqdError(ErrorCode.UNAVAILABLE, text)
        try:
            return bytes(await handler(sender.node, asked.payload))
        except MqdError as error:
            return MqdError(error.code, error.detail)
        except PeerDown as error:
            return MqdError(ErrorCode.UNAVAILABLE, f"node {error} is not linked to {self.node}")
        except TimeoutError:
            return MqdError(ErrorCode.TIMEOUT, f"node {self.node} waited in vain")

    def _put(self, node: str, envelope: _Envelope) -> bool:
        wire = self._wires.get(node)
        if wire is None:
            return False
        if not wire.lost:
            wire.under_way.append(envelope)
            self._owner.note(wire)
        return True


class FakeMeshes:
    """All nodes' ends, joined. seed None: what was sent first arrives first."""

    def __init__(self, *nodes: str, seed: int | None = None) -> None:
        self._drawn = None if seed is None else random.Random(seed)
        self._meshes: dict[str, FakeMesh] = {}
        self._cut: set[frozenset[str]] = set()
        self._order: deque[_Wire] = deque()  # one for each that was sent, in that order
        self._closing: list[_Wire] = []  # `close`: the sender has left, the receiver not yet
        self._epochs = 0
        for node in nodes:
            self.start(node)
        self.run()

    def __getitem__(self, node: str) -> FakeMesh:
        """The end that runs now."""
        return self._meshes[node]

    def start(self, node: str) -> FakeMesh:
        """A process of that name, with an epoch of its own; linked in the next `run`."""
        assert node not in self._meshes, node
        self._epochs += 1
        mesh = self._meshes[node] = FakeMesh(self, node, self._epochs)
        return mesh

    def stop(self, node: str) -> None:
        """The process is gone, as by kill -9; the others hear at once."""
        for other in sorted(self._meshes):
            if other != node:
                self.cut(node, other, heals=True)
        gone = self._meshes.pop(node)
        for task in gone.running:
            task.cancel()

    def restart(self, node: str) -> FakeMesh:
        """Another process of that name; linked in the next `run`."""
        members = self._meshes[node].members
        self.stop(node)
        mesh = self.start(node)
        mesh.members = members
        return mesh

    def cut(self, one: str, other: str, *, heals: bool = False) -> None:
        """The link ends now, on both sides at once; what was under way is lost. heals: it comes
        back in the next `run`, else after `heal`."""
        if not heals:
            self._cut.add(frozenset((one, other)))
        first, second = self._meshes[one], self._meshes[other]
        closing = [w for w in self._closing if {w.sender, w.receiver} == {first, second}]
        for wire in (first.wire_to(other), second.wire_to(one), *closing):
            if wire is not None:
                wire.under_way.clear()
        first.link_down(other)
        second.link_down(one)

    def close(self, one: str, other: str) -> None:
        """`one` ends the link: for it that is so now; the other first gets what had been sent to
        it, in `run`, and what it sends until then is lost without its knowing. The link comes back
        when both have heard."""
        first, second = self._meshes[one], self._meshes[other]
        back, forth = second.wire_to(one), first.wire_to(other)
        if back is None or forth is None:
            return
        back.under_way.clear()
        back.lost = True
        self._closing.append(forth)
        forth.under_way.append(_Envelope("", b"", ends=True))
        self.note(forth)
        first.link_down(other)

    def isolate(self, node: str) -> None:
        """`cut` from everybody."""
        for other in list(self._meshes):
            if other != node:
                self.cut(node, other)

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """What was cut (between all; from one node; between two) is linked in the next `run`."""
        named = {name for name in (one, other) if name is not None}
        self._cut = {pair for pair in self._cut if not named <= pair}

    def hold(self, sender: str, receiver: str) -> None:
        """What is sent that way stays under way, the link up, until `release`."""
        wire = self._meshes[sender].wire_to(receiver)
        assert wire is not None
        wire.held = True

    def release(self, sender: str, receiver: str) -> None:
        """Arrives in the next `run`. No effect when the link is down or nothing was held."""
        wire = self._meshes[sender].wire_to(receiver)
        if wire is not None and wire.held:
            wire.held = False
            for _ in wire.under_way:
                self.note(wire)

    def congest(self, sender: str, receiver: str) -> None:
        """As if much waited to be written that way; all the same `run` delivers it."""
        self._meshes[sender].congest(receiver)

    def relieve(self, sender: str, receiver: str) -> None:
        """The end of `congest`: those that waited for it are called now."""
        self._meshes[sender].relieve(receiver)

    def note(self, wire: _Wire) -> None:
        """Something was put on it."""
        if self._drawn is None:
            self._order.append(wire)

    @property
    def waiting(self) -> int:
        """How much is under way and not held."""
        return sum(len(wire.under_way) for wire in self._wires() if not wire.held)

    def run(self, steps: int = -1) -> int:
        """Make the links that can be, then deliver what is under way and what is sent meanwhile,
        or only that many of it. Returns how many were delivered."""
        self._link()
        delivered = 0
        while steps < 0 or delivered < steps:
            wire = self._next()
            if wire is None:
                break
            wire.receiver.deliver(wire.sender, wire.under_way.popleft())
            delivered += 1
            assert delivered < _TURNS_MAX * max(1, len(self._meshes)), "it never ends"
        return delivered

    async def settle(self) -> None:
        """`run`, and turns for the tasks, until neither brings anything new."""
        quiet = 0
        for _ in range(_TURNS_MAX):
            quiet = 0 if self.run() else quiet + 1
            if quiet > _QUIET_TURNS:
                return
            await asyncio.sleep(0)
        raise AssertionError("it never ends")

    def _wires(self) -> list[_Wire]:
        self._closing = [wire for wire in self._closing if wire.under_way]
        found = [*self._closing]
        for mesh in self._meshes.values():
            found += [wire for node in mesh.up if (wire := mesh.wire_to(node)) is not None]
        return found

    def _next(self) -> _Wire | None:
        if self._drawn is not None:
            ready = [wire for wire in self._wires() if wire.under_way and not wire.held]
            return self._drawn.choice(ready) if ready else None
        while self._order:
            wire = self._order.popleft()
            if wire.under_way and not wire.held:
                return wire
        return None

    def _link(self) -> None:
        names = sorted(self._meshes)
        pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
        for one, other in pairs:
            first, second = self._meshes[one], self._meshes[other]
            is_linked = first.wire_to(other) is not None or second.wire_to(one) is not None
            if is_linked or frozenset((one, other)) in self._cut:
                continue
            if first.wants(other) and second.wants(one):
                first.link_up(second)
                second.link_up(first)
                first.hear(other, True)
                second.hear(one, True)


def void(_: object) -> None:
    """Drops what an expression gives."""
