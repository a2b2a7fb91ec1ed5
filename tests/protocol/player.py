"""Plays a scenario against a broker and says what came back.

Decides what each kind of step does and how an answer is written down, with what changes from run
to run (server-made names, times) masked by kind. Whether an answer is right is the caller's
question: it compares the lines. The verbs:

    a: connect user= password= vhost= client_properties= frame_max= ...   whole handshake
    a: socket                    TCP alone; then raw, or handshake methods by hand
    a/1: queue.declare queue=q   any method (channel opened on first use; a/1!: not)
    a/1: publish exchange= routing_key= props={} body= count=   method, header and body
    a/1: content class= weight= size= props={}      a content header alone
    a/1: body 'bytes' · a/1: frame type= payload= end= size= · a: raw 'bytes'
    a: disconnect                the socket goes away
    wait: 4                      seconds in which the expected things may happen, timed
    ctl: add_user u p            the administration tool; cleanup: the same, always, at the end
    kick: a reason               close_connection of that connection
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.protocol import notation, wire
from tests.protocol.peer import Event, Peer, method
from tests.protocol.script import Scenario, Step

Ctl = Callable[[list[str]], Awaitable[str]]

_MASKS = (
    ("gen", re.compile(r"amq\.gen-[A-Za-z0-9_-]{22}")),
    ("ctag", re.compile(r"amq\.ctag-[A-Za-z0-9_-]{22}")),
    ("link", re.compile(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+")),
    ("reply", re.compile(r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=_-]+\.[A-Za-z0-9+/=_-]+")),
)
_OWN = re.compile(r"\b(cluster_name|copyright|information|node|platform)='[^']+'")
_LATE_MAX_S = 10
_SECONDS = re.compile(r"\bT:(\d{10})\b")
CAPABILITIES: wire.Table = dict.fromkeys(
    (
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ),
    ("t", True),
)


class Player:
    """Runs one scenario.

    quiet: seconds of silence after which a recorded step is over, and how long a step without
    expected answers is given when comparing. patience: how long an expected answer may take.
    judge: the broker is RabbitMQ, from which mqd's own answers are not expected.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ctl: Ctl | None = None,
        *,
        record: bool = False,
        quiet: float = 0.01,
        patience: float = 5.0,
        pace: int = 0,
        judge: bool = False,
    ) -> None:
        self.judge = judge or record
        self.host, self.port, self.ctl = host, port, ctl
        self.record, self.quiet, self.patience, self.pace = record, quiet, patience, pace
        self.peers: dict[str, Peer] = {}
        self._seen: dict[str, int] = {}
        self._names: dict[str, str] = {}  # real value -> $name
        self._changed = asyncio.Event()
        self._declared: set[tuple[str, str]] = set()

    def wanted(self, step: Step) -> list[str]:
        """What the step should bring from the broker that is played against."""
        return step.expected if self.judge or step.ours is None else step.ours

    async def play(self, scenario: Scenario) -> list[tuple[Step, list[str]]]:
        """Every step with what it brought; stops at the first that differs, unless recording."""
        results: list[tuple[Step, list[str]]] = []
        try:
            for step in scenario.steps:
                if step.who == "cleanup":
                    continue
                await self._perform(step)
                lines = await self._collect(step)
                results.append((step, lines))
                if not self.record and not same(lines, self.wanted(step)):
                    return results
            last = results[-1][0] if results else None
            if last is not None:
                extra = await self._goodbye()
                if extra:
                    results[-1] = (last, results[-1][1] + ["at the end: " + e for e in extra])
            return results
        finally:
            await self._clean(scenario)

    # -- doing ---------------------------------------------------------------------------------

    async def _perform(self, step: Step) -> None:
        rest = step.rest
        for value, name in sorted(self._names.items(), key=lambda item: -len(item[1])):
            rest = rest.replace(name, notation.quote(value))
        self._started = time.monotonic()
        if step.who == "wait":
            return
        if step.who in ("ctl", "kick"):
            await self._control(step.who, f"{step.verb} {rest}")
            return
        await self._on_peer(step, rest)

    async def _control(self, kind: str, command: str) -> None:
        assert self.ctl is not None, "this scenario needs an administration tool"
        words = shlex.split(command)
        if kind == "kick":
            port = self.peers[words[0]].local_port
            rows = await self.ctl(["-q", "list_connections", "pid", "peer_port"])
            pids = [row.split("\t")[0] for row in rows.splitlines() if row.endswith(f"\t{port}")]
            words = ["close_connection", pids[0], " ".join(words[1:])]
        await self.ctl(words)

    async def _on_peer(self, step: Step, rest: str) -> None:
        verb = step.verb
        if verb == "raw":
            await self.peers[step.who].send(wire.raw(notation.Parser(rest).value()))
            return
        if step.who not in self.peers:
            peer = self.peers[step.who] = Peer(step.who, self._changed, self.pace)
            await peer.open(self.host, self.port)
            if verb == "socket":
                peer.manual = True
                return
            values = notation.Parser(rest).pairs() if verb == "connect" else {}
            if not await self._connect(peer, **values) or verb == "connect":
                return
        peer = self.peers[step.who]
        if verb == "disconnect":
            await peer.disconnect()
            return
        channel = step.channel or 0
        wants_open = channel and channel not in peer.opened and verb != "channel.open"
        if wants_open and not step.bare and not peer.manual and not peer.closed:
            await self._open_channel(peer, channel)
        if verb == "body":
            body = wire.raw(notation.Parser(rest).value())
            await peer.send(wire.body_frames(channel, body, peer.frame_max))
            return
        await self._send(peer, channel, verb, notation.Parser(rest).pairs())

    async def _send(self, peer: Peer, channel: int, verb: str, values: dict[str, Any]) -> None:
        if verb == "publish":
            await self._publish(peer, channel, values)
        elif verb == "content":
            properties = {k: v[1] for k, v in values.get("props", {}).items()}
            payload = wire.header_payload(
                values.get("size", 0), properties, values.get("class", 60), values.get("weight", 0)
            )
            await peer.send(wire.frame(wire.FRAME_HEADER, channel, payload))
        elif verb == "frame":
            payload = wire.raw(values.get("payload", ""))
            data = wire.frame(values["type"], channel, payload, values.get("end", 206))
            if "size" in values:
                data = data[:3] + values["size"].to_bytes(4, "big") + data[7:]
            await peer.send(data)
        else:
            peer.note_sent(verb, channel)
            kind, name = verb.split(".")
            if name == "declare" and values.get(kind):
                self._declared.add((kind, values[kind]))
            await peer.send(peer.method(verb, channel, **values))

    async def _publish(self, peer: Peer, channel: int, values: dict[str, Any]) -> None:
        count = values.pop("count", 0)
        body = str(values.pop("body", ""))
        properties = {k: v[1] for k, v in values.pop("props", {}).items()}
        for index in range(1, max(count, 1) + 1):
            data = wire.raw(f"{body}{index}" if count else body)
            peer.note_sent("basic.publish", channel)
            header = wire.header_payload(len(data), properties)
            await peer.send(
                method("basic.publish", channel, **values)
                + wire.frame(wire.FRAME_HEADER, channel, header)
                + wire.body_frames(channel, data, peer.frame_max)
            )

    async def _connect(
        self,
        peer: Peer,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        client_properties: wire.Table | None = None,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int = 0,
        answer_close: bool = True,
        show_frames: bool = False,
    ) -> bool:
        """The handshake. What the server says beyond it is left for the step to report."""
        peer.answer_close, peer.show_frames, peer.vhost = answer_close, show_frames, vhost
        properties = client_properties
        if properties is None:
            properties = {"capabilities": ("F", CAPABILITIES)}
        await peer.send(wire.PROTOCOL_HEADER)
        if await self._take(peer, "connection.start") is None:
            return False
        await peer.send(
            method(
                "connection.start-ok",
                0,
                client_properties=properties,
                mechanism="PLAIN",
                response=f"\0{user}\0{password}",
                locale="en_US",
            )
        )
        tune = await self._take(peer, "connection.tune")
        if tune is None:
            return False
        peer.frame_max = tune.values["frame_max"] if frame_max is None else frame_max
        await peer.send(
            method(
                "connection.tune-ok",
                0,
                channel_max=tune.values["channel_max"] if channel_max is None else channel_max,
                frame_max=peer.frame_max,
                heartbeat=heartbeat,
            )
            + method("connection.open", 0, virtual_host=vhost)
        )
        return await self._take(peer, "connection.open-ok") is not None

    async def _open_channel(self, peer: Peer, channel: int) -> None:
        peer.note_sent("channel.open", channel)
        await peer.send(method("channel.open", channel))
        await self._take(peer, "channel.open-ok")

    async def _take(self, peer: Peer, name: str) -> Event | None:
        """Swallow the answer that silent setup waits for; anything else stays to be reported."""
        seen = self._seen.setdefault(peer.name, 0)
        event = await peer.next(seen)
        if event is None or event.name != name:
            return None
        self._seen[peer.name] = seen + 1
        return event

    # -- seeing --------------------------------------------------------------------------------

    async def _collect(self, step: Step) -> list[str]:
        wanted = self.wanted(step)
        wait = float(step.verb) if step.who == "wait" else 0.0
        quiet = self.quiet * (3 if step.who in ("ctl", "kick") else 1)
        deadline = self._started + max(wait, quiet) if self.record else 0.0
        if not self.record:
            limit = (wait + self.patience) if wanted else wait or quiet
            deadline = time.monotonic() + limit
        least = 0.02 if self.record else 0.0
        while True:
            self._changed.clear()
            lines, names, seen = self._render(timed=step.who == "wait")
            now = time.monotonic()
            if not self.record and wanted and same(lines, wanted):
                break
            if now >= deadline and not (self.record and not lines and self._owed(step, now)):
                break
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(deadline - now, least))
                if self.record:
                    deadline = max(deadline, time.monotonic() + quiet)
        self._names, self._seen = names, seen
        return lines

    def _owed(self, step: Step, now: float) -> bool:
        """While recording: whether the server may be busy with an answer it has to give."""
        if now - self._started > 2.0:
            return False
        return f"{step.verb}-ok" in wire.METHODS and "nowait=true" not in step.rest

    def _render(self, timed: bool) -> tuple[list[str], dict[str, str], dict[str, int]]:
        names, seen = dict(self._names), dict(self._seen)
        lines: list[str] = []
        for name, peer in sorted(self.peers.items()):
            fresh = peer.events[seen.get(name, 0) :]
            seen[name] = len(peer.events)
            if fresh and fresh[-1].name == "closed" and peer.said_goodbye:
                fresh = fresh[:-1]  # who closes the socket first after close-ok is a race
            for channel in sorted({event.channel for event in fresh}):
                events = [event for event in fresh if event.channel == channel]
                place = f"{name}/{channel}" if channel else name
                for event in _gather(events):
                    line = f"{place} {_show(event)}"
                    if timed and event.name != "heartbeat" and event.at - self._started >= 0.7:
                        line += f" after={event.at - self._started:.0f}s"
                    lines.append(mask(line.rstrip(), names))
        return lines, names, seen

    # -- leaving -------------------------------------------------------------------------------

    async def _goodbye(self) -> list[str]:
        """What nobody expected, before the connections are closed in good order."""
        await asyncio.sleep(self.quiet)
        told = {f"{p.name} closed" for p in self.peers.values() if p.was_told_to_go}
        extra = [line for line in self._render(timed=False)[0] if line not in told]
        for peer in self.peers.values():
            if not peer.closed and not peer.manual and peer.answer_close:
                await peer.send(method("connection.close", 0, reply_code=200))
                seen = len(peer.events)
                while not peer.said_goodbye and await peer.next(seen, 1.0) is not None:
                    seen += 1
        return extra

    async def _clean(self, scenario: Scenario) -> None:
        for peer in self.peers.values():
            await peer.disconnect()
        if self._declared:
            await self._forget()
        if self.ctl is not None:
            for step in scenario.steps:
                if step.who == "cleanup":
                    with contextlib.suppress(Exception):
                        await self.ctl(shlex.split(f"{step.verb} {step.rest}"))

    async def _forget(self) -> None:
        """Delete every queue and exchange a step declared, waiting for exclusive owners to go."""
        self.pace = 0
        cleaner = Peer("cleaner", self._changed)
        await cleaner.open(self.host, self.port)
        await self._connect(cleaner)
        for kind, name in sorted(self._declared):
            if name.startswith("amq."):
                continue
            for _ in range(50):
                if not cleaner.opened:
                    await self._open_channel(cleaner, 1)
                await cleaner.send(method(f"{kind}.delete", 1, **{kind: name}))
                if await self._take(cleaner, f"{kind}.delete-ok") is not None:
                    break
                self._seen["cleaner"] = len(cleaner.events)
                await asyncio.sleep(0.02)
        await cleaner.disconnect()


def same(lines: list[str], wanted: list[str]) -> bool:
    """Equal, but for a second less in what waits for a clock, or some more on a busy machine."""
    if lines == wanted:
        return True
    if len(lines) != len(wanted):
        return False
    for line, other in zip(lines, wanted, strict=True):
        text, _, after = line.partition(" after=")
        text2, _, after2 = other.partition(" after=")
        late = int(after.rstrip("s") or 0) - int(after2.rstrip("s") or 0)
        if text != text2 or not -1 <= late <= _LATE_MAX_S:
            return False
    return True


def _gather(events: list[Event]) -> list[Event]:
    """Confirms that follow each other as one: how they are batched is the server's business."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if last is not None and last.name == event.name == "heartbeat":
            continue
        if last is not None and last.name == event.name and "seqnos" in event.values:
            seqnos = sorted(last.values["seqnos"] + event.values["seqnos"])
            result[-1] = Event(event.channel, event.name, {"seqnos": seqnos}, event.at)
        else:
            result.append(event)
    return result


def _show(event: Event) -> str:
    values = dict(event.values)
    if "seqnos" in values:
        return f"{event.name} {','.join(map(str, values['seqnos']))}"
    properties = values.pop("props", None)
    body = values.pop("body", None)
    out = f"{event.name} {notation.show_pairs(values)}"
    if properties is not None:
        shown = ", ".join(f"{name}={notation.show(value)}" for name, value in properties.items())
        out += f" props={{{shown}}}"
    if body is not None:
        out += f" body={notation.quote(wire.text(body))}"
    return out


def mask(line: str, names: dict[str, str]) -> str:
    """A line with what changes from run to run by kind; names keeps which value got which."""
    for kind, pattern in _MASKS:
        for value in pattern.findall(line):
            if value not in names:
                count = sum(name.startswith(f"${kind}") for name in names.values())
                names[value] = f"${kind}{count + 1}"
            line = line.replace(value, names[value])
    line = _OWN.sub(r"\1='$\1'", line)  # what every product says of itself
    now = time.time()
    return _SECONDS.sub(
        lambda match: "T:$now" if abs(int(match.group(1)) - now) < 600 else match.group(), line
    )
