"""Queues, exchanges, bindings and users that come and go while the broker is killed.

Theory. Each thing is THERE once its ok was received, GONE once its deletion's was, and UNSURE
between asking and the answer. After a restart what was THERE is there and what was GONE is not;
what was UNSURE is looked at and then known. A binding goes with either of its ends, in the same
moment. What is not durable is gone after every restart.

Decides what is declared and deleted next, and what has to be there. Messages in these queues are
the witness's affair like all others.
"""

from __future__ import annotations

import asyncio
import enum
import random
import time
from dataclasses import dataclass, field

from tests.fault.crash_actors import Fence, Scene
from tests.fault.crash_link import Heard, Link, RefusedError, message
from tests.nodes import Node
from tests.waiting import PATIENCE_S

_QUEUES = ("t0", "t1", "t2", "t3")
_EXCHANGES = ("x0", "x1", "x2")
_FLEETING = ("tr0", "tr1")


class State(enum.Enum):
    """What is known of a thing."""

    GONE = enum.auto()
    UNSURE = enum.auto()
    THERE = enum.auto()


@dataclass
class Topology:
    """What was declared, by kind and name: ("queue", "t0"), ("binding", "x0 t0")..."""

    states: dict[tuple[str, str], State] = field(default_factory=dict)
    fleeting: set[tuple[str, str]] = field(default_factory=set)
    changes: int = 0

    def state(self, kind: str, name: str) -> State:
        return self.states.get((kind, name), State.GONE)

    def there(self, kind: str, *names: str) -> bool:
        return all(self.state(kind, name) is State.THERE for name in names)

    def begin(self, kind: str, name: str) -> None:
        self.states[kind, name] = State.UNSURE

    def end(self, kind: str, name: str, state: State) -> None:
        self.changes += 1
        self.states[kind, name] = state

    def ends_of(self, kind: str, name: str) -> list[str]:
        """Bindings at a queue or an exchange."""
        at = 0 if kind == "exchange" else 1
        return [
            binding
            for of, binding in self.states
            if of == "binding" and binding.split()[at] == name
        ]


class Builder:
    """Declares, binds, fills, purges and deletes, one thing after another."""

    def __init__(self, scene: Scene, topology: Topology) -> None:
        self._scene = scene
        self._topology = topology

    async def run(self) -> None:
        self._link = await self._scene.connect()
        self._fence = Fence(self._scene, self._link, 2, "builder")
        await self._fence.open()
        await self._link.open(1)
        await self._link.call(1, "confirm.select")
        self._link.unasked[1] = self._hear
        self._seqno = 0
        self._confirms: dict[int, asyncio.Future[None]] = {}
        dice = self._scene.dice
        steps = (self._declare, self._declare, self._bind, self._fill, self._fill)
        rarer = (self._delete, self._purge, self._fleet, self._unbind)
        while True:
            await dice.choice(steps if dice.random() < 0.7 else rarer)()

    def _hear(self, heard: Heard) -> None:
        """One message at a time is under way."""
        assert heard.name == "basic.ack", heard
        self._confirms.pop(heard.values["delivery_tag"]).set_result(None)

    def _any(self, kind: str) -> tuple[str, str]:
        names = _QUEUES if kind == "queue" else _EXCHANGES
        return kind, self._scene.dice.choice(names)

    async def _declare(self) -> None:
        kind, name = self._any(self._scene.dice.choice(("queue", "exchange")))
        if self._topology.state(kind, name) is State.UNSURE:
            return  # a kill fell into its deletion: what went with it is known once it is looked at
        if not self._topology.there(kind, name):
            self._topology.begin(kind, name)
        if kind == "queue":
            await self._link.call(1, "queue.declare", queue=name, durable=True)
        else:
            await self._link.call(1, "exchange.declare", exchange=name, type="direct", durable=True)
        self._topology.end(kind, name, State.THERE)

    async def _bind(self) -> None:
        (_, queue), (_, exchange) = self._any("queue"), self._any("exchange")
        topology = self._topology
        if not (topology.there("queue", queue) and topology.there("exchange", exchange)):
            return
        binding = f"{exchange} {queue}"
        if not topology.there("binding", binding):
            topology.begin("binding", binding)
        await self._link.call(1, "queue.bind", queue=queue, exchange=exchange, routing_key=queue)
        topology.end("binding", binding, State.THERE)

    async def _unbind(self) -> None:
        (_, queue), (_, exchange) = self._any("queue"), self._any("exchange")
        topology = self._topology
        binding = f"{exchange} {queue}"
        if not topology.there("binding", binding):
            return
        topology.begin("binding", binding)
        await self._link.call(1, "queue.unbind", queue=queue, exchange=exchange, routing_key=queue)
        topology.end("binding", binding, State.GONE)

    async def _fill(self) -> None:
        """A persistent message, right behind the declare-ok of its queue."""
        _, queue = self._any("queue")
        if not self._topology.there("queue", queue):
            return
        witness, size = self._scene.witness, self._scene.size()
        frames = message(1, "", queue, witness.next_body(size), 2)
        copies = witness.sent((queue,), "builder", size, persistent=True)
        self._seqno += 1
        future = asyncio.get_running_loop().create_future()
        self._confirms[self._seqno] = future
        self._link.write(frames)
        await asyncio.wait((future, self._link.gone), return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            witness.confirmed(copies)

    async def _purge(self) -> None:
        _, queue = self._any("queue")
        if not self._topology.there("queue", queue):
            return
        copies = self._scene.witness.purging(queue)
        self._fence.acking(copies)
        await self._link.call(1, "queue.purge", queue=queue)
        self._fence.set_up()

    async def _delete(self) -> None:
        kind, name = self._any(self._scene.dice.choice(("queue", "exchange")))
        topology = self._topology
        if not topology.there(kind, name):
            return
        topology.begin(kind, name)
        await self._link.call(1, f"{kind}.delete", **{kind: name})
        if kind == "queue":
            self._scene.witness.dropped(name)
        for binding in topology.ends_of(kind, name):
            topology.end("binding", binding, State.GONE)
        topology.end(kind, name, State.GONE)

    async def _fleet(self) -> None:
        """Things that no restart may keep."""
        draw = self._scene.dice.random()
        name = self._scene.dice.choice(_FLEETING)
        if draw < 0.4:
            await self._link.call(1, "queue.declare", queue=name)
            self._topology.fleeting.add(("queue", name))
        elif draw < 0.7:
            await self._link.call(1, "queue.declare", queue=f"ex{name}", exclusive=True)
            self._topology.fleeting.add(("queue", f"ex{name}"))
        else:
            await self._link.call(1, "exchange.declare", exchange=name, type="topic")
            self._topology.fleeting.add(("exchange", name))


async def administer(node: Node, topology: Topology, dice: random.Random) -> None:
    """One change by mqctl, which may find the node gone."""
    words = _verb(topology, dice)
    kind, name, after = words[0], words[1], words[2]
    topology.begin(kind, name)
    try:
        await asyncio.to_thread(node.ctl, *words[3])
    except RuntimeError:
        return
    topology.end(kind, name, after)


def _verb(topology: Topology, dice: random.Random) -> tuple[str, str, State, tuple[str, ...]]:
    """(kind, name, state after it, words)."""
    name = f"n{dice.randrange(4)}"
    kind = dice.choice(("user", "vhost"))
    if topology.there(kind, name):
        return kind, name, State.GONE, (f"delete_{kind}", name)
    password = ("secret",) if kind == "user" else ()
    return kind, name, State.THERE, (f"add_{kind}", name, *password)


# -- after a restart --------------------------------------------------------------------------


async def check(link: Link, node: Node, topology: Topology) -> list[str]:
    """What is not as it has to be. The queues are empty; the link has channels from 10 on."""
    look = Look(link)
    wrong = []
    for kind in ("queue", "exchange"):
        for of, name in list(topology.states):
            if of == kind:
                wrong += _settle(topology, kind, name, await look.exists(kind, name))
    for kind, name in topology.fleeting:
        if await look.exists(kind, name):
            wrong.append(f"{kind} {name} is not durable, and back")
    topology.fleeting.clear()
    wrong += await _check_bindings(look, topology)
    for kind in ("user", "vhost"):
        wrong += _check_administered(node, topology, kind)
    return wrong


def _settle(topology: Topology, kind: str, name: str, found: bool) -> list[str]:
    state = topology.state(kind, name)
    topology.states[kind, name] = State.THERE if found else State.GONE
    if kind in ("queue", "exchange") and not found:
        for binding in topology.ends_of(kind, name):
            topology.states["binding", binding] = State.GONE
    if state is State.THERE and not found:
        return [f"{kind} {name} is lost"]
    if state is State.GONE and found:
        return [f"{kind} {name} is back"]
    return []


async def _check_bindings(look: Look, topology: Topology) -> list[str]:
    wrong = []
    for of, binding in list(topology.states):
        if of == "binding":
            exchange, queue = binding.split()
            found = topology.there("exchange", exchange) and topology.there("queue", queue)
            found = found and await look.routes(exchange, queue)
            wrong += _settle(topology, of, binding, found)
    return wrong


def _check_administered(node: Node, topology: Topology, kind: str) -> list[str]:
    """Users and vhosts; only asked for when one of them changed since the last time."""
    names = [name for of, name in topology.states if of == kind]
    unsure = [name for name in names if topology.state(kind, name) is State.UNSURE]
    known = topology.states.get(("asked", kind))
    if not names or (known is not None and not unsure and topology.changes % 8):
        return []
    topology.states["asked", kind] = State.THERE
    found = {line.split("\t")[0] for line in _listed(node, f"list_{kind}s").splitlines()}
    return [told for name in names for told in _settle(topology, kind, name, name in found)]


def _listed(node: Node, verb: str) -> str:
    """The control socket answers a moment later than AMQP."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return node.ctl("-q", verb, "--no-table-headers")
        except RuntimeError:
            if time.monotonic() > deadline:
                raise


class Look:
    """Looks without leaving a trace; a look at what is missing costs a channel."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel = 10
        self._is_open = False
        self._returned = False

    async def _ready(self) -> int:
        if not self._is_open:
            self._channel += 1
            await self._link.open(self._channel)
            self._link.unasked[self._channel] = self._hear
            self._is_open = True
        return self._channel

    async def exists(self, kind: str, name: str) -> bool:
        try:
            await self._link.call(
                await self._ready(), f"{kind}.declare", passive=True, **{kind: name}
            )
        except RefusedError as error:
            self._is_open = False
            if "NOT_FOUND" not in str(error):
                raise
            return False
        return True

    async def routes(self, exchange: str, queue: str) -> bool:
        """Whether a message with the queue's name as its key arrives there."""
        channel = await self._ready()
        self._returned = False
        self._link.write(message(channel, exchange, queue, b"probe", 1, mandatory=True))
        purged = await self._link.call(channel, "queue.purge", queue=queue)
        assert self._returned == (purged.values["message_count"] == 0)
        return not self._returned

    def _hear(self, heard: Heard) -> None:
        assert heard.name == "basic.return", heard
        self._returned = True
