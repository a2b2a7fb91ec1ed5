"""Plays a program on a broker and writes down what every step brought.

Decides when a step is over: when its reply is there, every connection has answered twice, and the
broker was at rest in between; what was published on a confirming channel must be confirmed too.
Nothing waits for time to pass. The answers that show it come on a channel of their own in each
connection, through the same socket, thus after all that the step brought.

A program is a list of steps in the words of `tests/protocol`, with these additions:

    delivery_tag=$2     the third delivery that this channel has not settled, counted round
    queue=$gen1         the first name that the server made; likewise $ctag1, $reply1
    a: disconnect       the socket's end, seen by the server
    ctl: set_policy     set and clear, of policies and operator policies: "done", or why it is not

After the last step all connections are closed and every queue is emptied, a stream read from its
beginning: what is left counts too. Then policies go. What got stuck is deleted as well: the next
program must not find it.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable
from typing import Any

from tests.differential import transcript
from tests.differential.brokers import Broker
from tests.differential.transcript import Channel, Consumer, Delivery
from tests.protocol import notation, script, wire
from tests.protocol.peer import Event, Peer, method
from tests.protocol.player import Player, mask

Said = list[list[str]]

_SPARE = 99  # the channel whose answers say that a connection has been served
_PATIENCE_S = 60.0
_TAG = re.compile(r"delivery_tag=\$(\d+)")
_SETTLES = ("basic.ack", "basic.nack", "basic.reject")
_PATH = script.Path("program")
_STREAM = re.compile(r"x-queue-type='?stream.* queue=(\S+)|queue=(\S+) .*x-queue-type='?stream")
_READ_STREAM = (
    "z/1: basic.qos prefetch_count=1000",
    "z/1: basic.consume queue={queue} consumer_tag=all arguments={{x-stream-offset=first}}",
    "z/1: basic.cancel consumer_tag=all",
)


class StuckError(Exception):
    """An answer that has to come did not."""


def play(broker: Broker, program: list[str]) -> Said:
    """What every step brought, then what was left."""
    return asyncio.run(Runner(broker).run(program))


class Runner(Player):
    """One program's connections."""

    def __init__(self, broker: Broker) -> None:
        super().__init__("127.0.0.1", broker.port, judge=True)
        self._broker = broker
        self._channels: dict[tuple[str, int], Channel] = {}
        self._batch = 0
        self._streams: set[str] = set()  # queues that are streams, or once were
        self._policies: set[tuple[str, str]] = set()  # (verb that clears it, name)

    async def run(self, program: list[str]) -> Said:
        said: Said = []
        found = filter(None, map(_STREAM.search, program))
        self._streams = {name for match in found for name in match.groups() if name}
        try:
            for line in program:
                said.append(await self._step(line))
            said.append(await self._leave())
            said.append(await self._empty())
        except StuckError as error:
            said.append([f"stuck: {error}"])
            await self._part_all()
            await self._forget()
        finally:
            await self._part_all()
            for verb, name in sorted(self._policies):
                self._broker.control([verb, "-p", "/", name])
        return said

    async def _step(self, line: str) -> list[str]:
        step = script.step(line, _PATH, 0)
        self._batch += 1
        if not self._resolve(step):
            return ["nothing to settle"]
        if step.verb == "disconnect" and step.who not in self.peers:
            return []
        told = []
        if step.who == "ctl":
            told = [f"ctl {self._control_policy(step)}"]
        else:
            await self._perform(step)
            await self._answered(step)
        await self._settle()
        written = told + self._written(step)
        for name, peer in list(self.peers.items()):
            if peer.closed or peer.said_goodbye:
                await self._part(name)
        return written

    # -- doing ---------------------------------------------------------------------------------

    async def _connect(self, peer: Peer, **values: Any) -> bool:
        ready = await super()._connect(peer, **values)
        if ready and peer.name in self.peers:
            await self._open_channel(peer, _SPARE)
        return ready

    def _control_policy(self, step: script.Step) -> str:
        words = shlex.split(step.rest)
        told = self._broker.control([step.verb, *words])
        kind = step.verb.partition("_")[2]
        if not told and step.verb.startswith("set_"):
            self._policies.add((f"clear_{kind}", words[-3]))
        elif not told:
            self._policies.discard((f"clear_{kind}", words[-1]))
        return notation.quote(told) if told else "done"

    def _channel(self, step: script.Step) -> Channel:
        return self._channels.setdefault((step.who, step.channel or 0), Channel())

    def _resolve(self, step: script.Step) -> bool:
        """Put a real tag for $n, and take those it settles off the list. False: there is none."""
        match = _TAG.search(step.rest)
        if match is None:
            return True
        channel = self._channel(step)
        waiting = channel.outstanding
        if not waiting or step.who not in self.peers:
            return False
        chosen = waiting[int(match.group(1)) % len(waiting)]
        tag = chosen.tag
        settled = [chosen]
        if "multiple=true" in step.rest:
            if chosen.mixed:  # their order is chance: all of them or none
                tag = max(d.tag for d in waiting if d.batch == chosen.batch)
            settled = [d for d in waiting if d.tag <= tag]
        channel.outstanding = [d for d in waiting if d not in settled]
        channel.settled_in_tx += settled
        step.rest = step.rest.replace(match.group(), f"delivery_tag={tag}")
        return True

    # -- waiting -------------------------------------------------------------------------------

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise StuckError(what) from None

    async def _answered(self, step: script.Step) -> None:
        """Until the step's own reply has come, or an error instead of it."""
        peer = self.peers[step.who]
        if step.verb == "disconnect":
            await self._until(lambda: peer.closed, "the server keeps the socket")
            return
        wanted = {f"{step.verb}-ok"} & set(wire.METHODS)
        if not wanted or "nowait=true" in step.rest:
            return
        if step.verb == "basic.get":
            wanted.add("basic.get-empty")
        since = self._seen.setdefault(peer.name, 0)

        def has_come() -> bool:
            return peer.closed or any(
                event.name == "connection.close"
                or (event.channel == (step.channel or 0) and event.name in wanted)
                or (event.channel == step.channel and event.name == "channel.close")
                for event in peer.events[since:]
            )

        await self._until(has_come, f"no answer to {step.verb}")

    async def _settle(self) -> None:
        """Until the broker is at rest and all that it sent is here."""
        await self._round()
        self._broker.rest(disc=bool(self._streams))
        await self._round()
        if self._unconfirmed():
            await self._until(lambda: not self._unconfirmed(), "not confirmed")
            await self._round()

    def _unconfirmed(self) -> bool:
        return any(
            peer.unconfirmed(channel)
            for peer in self.peers.values()
            if not peer.closed
            for channel in peer.opened
        )

    async def _round(self) -> None:
        """Until every connection has answered, or is gone."""
        asked: list[tuple[Peer, int]] = []
        for peer in self.peers.values():
            if not peer.closed and not peer.said_goodbye:
                asked.append((peer, len(peer.events)))
                peer.write(method("channel.flow", _SPARE, active=True))
        for peer, since in asked:
            await self._until(lambda p=peer, s=since: _served(p, s), "no sign of life")  # type: ignore[misc]

    # -- seeing --------------------------------------------------------------------------------

    def _written(self, step: script.Step) -> list[str]:
        written: list[str] = []
        for name, peer in sorted(self.peers.items()):
            fresh = [e for e in peer.events[self._seen.get(name, 0) :] if e.channel != _SPARE]
            for event in fresh:
                if event.name == "queue.declare-ok" and event.values["queue"] in self._streams:
                    # in RabbitMQ seconds late, and not at all
                    event.values["message_count"] = event.values["consumer_count"] = "?"
            self._seen[name] = len(peer.events)
            told = name == step.who and step.verb in ("connection.close", "disconnect")
            if told:
                fresh = [event for event in fresh if event.name != "closed"]
            for number in sorted({event.channel for event in fresh}):
                events = [event for event in fresh if event.channel == number]
                written += self._of_channel(step, name, number, events)
        return written

    def _of_channel(
        self, step: script.Step, name: str, number: int, events: list[Event]
    ) -> list[str]:
        channel = self._channels.setdefault((name, number), Channel())
        is_own = name == step.who and number == step.channel
        values = notation.Parser(step.rest).pairs() if is_own else {}
        self._learn(channel, step.verb if is_own else "", values, events)
        place = f"{name}/{number}" if number else name
        published = (values.get("count") or 1) if is_own and step.verb == "publish" else 0
        shown = transcript.lines(events, channel.consumers, published)
        self._keep(channel, events, bool(values.get("no_ack")))
        if any(event.name in ("channel.close", "channel.close-ok") for event in events):
            self._channels[name, number] = Channel()
        return [mask(f"{place} {line}", self._names) for line in shown]

    def _learn(
        self, channel: Channel, verb: str, values: dict[str, object], events: list[Event]
    ) -> None:
        """What the step's method and its answers say about later ones."""
        for event in events:
            if event.name == "queue.declare-ok":
                channel.last_queue = event.values["queue"]
                self._declared.add(("queue", channel.last_queue))
            elif event.name == "basic.consume-ok":
                queue = str(values.get("queue") or channel.last_queue)
                consumer = Consumer(queue, bool(values.get("no_ack")))
                channel.consumers[event.values["consumer_tag"]] = consumer
            elif event.name == "tx.commit-ok":
                channel.settled_in_tx = []
            elif event.name == "tx.rollback-ok":
                back = channel.outstanding + channel.settled_in_tx
                channel.outstanding, channel.settled_in_tx = sorted(back, key=lambda d: d.tag), []
        if verb in ("basic.recover", "basic.recover-async"):
            channel.outstanding = []

    def _keep(self, channel: Channel, events: list[Event], no_ack: bool) -> None:
        """The deliveries that have to be settled, in an order that does not depend on chance."""
        deliveries = [e for e in events if e.name == "basic.deliver"]
        mixed = transcript.is_mixed(deliveries, channel.consumers)
        if mixed:  # those of one consumer stay in their order
            deliveries.sort(key=lambda e: str(e.values["consumer_tag"]))
        for event in deliveries:
            consumer = channel.consumers.get(event.values["consumer_tag"])
            if consumer is None or not consumer.no_ack:
                tag = event.values["delivery_tag"]
                channel.outstanding.append(Delivery(tag, self._batch, mixed))
        for event in events:
            if event.name == "basic.get-ok" and not no_ack:
                channel.outstanding.append(
                    Delivery(event.values["delivery_tag"], self._batch, False)
                )

    async def _part(self, name: str) -> None:
        """Forget a connection that is over; the next step that names it opens another."""
        await self.peers.pop(name).disconnect()
        self._seen.pop(name, None)
        for key in [key for key in self._channels if key[0] == name]:
            del self._channels[key]

    async def _part_all(self) -> None:
        for name in list(self.peers):
            await self._part(name)

    # -- leaving -------------------------------------------------------------------------------

    async def _leave(self) -> list[str]:
        """Close what is open; what that brings to others is seen as it happens."""
        written = []
        for name in sorted(self.peers):
            if name in self.peers:
                written += await self._step(f"{name}: connection.close reply_code=200")
        return written

    async def _empty(self) -> list[str]:
        """Take everything out of every queue, then delete what was declared."""
        written: list[str] = []
        names = {value: name for value, name in self._names.items() if name.startswith("$gen")}
        for queue in sorted(
            names.get(name, name) for kind, name in self._declared if kind == "queue"
        ):
            got = await self._step(f"z/1: queue.declare queue={queue} passive=true")
            written += got
            while got[0].startswith("z/1 queue.declare-ok") or got[0].startswith("z/1 got"):
                got = await self._step(f"z/1: basic.get queue={queue} no_ack=true")
                written += got
            if "not supported by stream queues" in got[0]:
                for line in _READ_STREAM:
                    written += await self._step(line.format(queue=queue))
        await self._delete()
        return written

    async def _delete(self) -> None:
        for kind, name in sorted(self._declared):
            if kind == "queue" or not name.startswith("amq."):
                said = await self._step(f"z/1: {kind}.delete {kind}={notation.quote(name)}")
                if "delete-ok" not in said[0]:
                    raise StuckError(f"left behind: {said}")


def _served(peer: Peer, since: int) -> bool:
    """Whether the connection has answered on the spare channel, or will never again."""
    return peer.closed or any(event.channel == _SPARE for event in peer.events[since:])
