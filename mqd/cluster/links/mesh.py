"""The links of this node to the other members: `Mesh` over TCP and mutual TLS 1.3.

Theory. Of two members the one with the smaller name dials, and goes on dialling; so there is one
link between two, and a new connection from a member says that the old one is dead for it. Once a
link is up, `on_change` hears of it before anything arrives, and hears of its end before the next
one's begin. Two things are one node only while name and incarnation are; `epoch` tells processes
apart. A process that stood still longer than others wait for it (SIGSTOP, a suspended machine)
ends its links itself before it reads on: the others have done so.

Decides whom to link to, when to try again and who hears what. What is accepted stands in
`greeting`, what ends a link in `wire`. Never decides who is a member: `use_members` says. A
hearer that raises is logged, and the others hear all the same.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mqd import limits
from mqd.clock import Clock
from mqd.cluster.identity import name_of
from mqd.cluster.links import greeting
from mqd.cluster.links.calls import Calls
from mqd.cluster.links.dialling import Dialler
from mqd.cluster.links.greeting import Hello, Refusal
from mqd.cluster.links.tls import Tls
from mqd.cluster.links.wire import Link
from mqd.cluster.ports import Answer, PeerDown, Take
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member

log = logging.getLogger("mqd.cluster.links")

_TICK_MS = round(limits.LINK_TICK_S * 1000)
_NOTED_MAX = 256  # refusals remembered so that they are logged once


@dataclass(frozen=True, slots=True)
class Passport:
    """What this node shows: its greeting, and TLS for both directions (1.3, both sides certified,
    see `mqd.cluster.identity`)."""

    hello: Hello
    server: ssl.SSLContext
    client: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Refused:
    """A link that did not come to be. node: "" when that is not known. generation: the other
    side's, 0 when not known."""

    node: str
    reason: Refusal
    generation: int = 0


class LinkMesh:
    """`Mesh` of one node. Use `listen`, then `use_members`; `close` at the end.

    on_refusal: hears when this node refuses another, also again and again while that goes on. NEW
    says that this node was shut out; CERTIFICATE may be that, too: ask over `handshake`.
    """

    def __init__(
        self,
        passport: Passport,
        clock: Clock,
        on_refusal: Callable[[Refused], None] | None = None,
    ) -> None:
        self.node = passport.hello.node
        self.clock = clock
        self.takers: dict[str, Take] = {}
        self._passport = passport
        self._on_refusal = on_refusal
        self._members: Mapping[str, Member] = {}
        self._up: dict[str, Link] = {}
        self._all: dict[Link, None] = {}  # those in the greeting, too; the oldest first
        self._closing: set[Link] = set()
        self._epochs: dict[str, int] = {}
        self._hearers: list[Callable[[str, bool], None]] = []
        self._calls = Calls(self.node)
        self._diallers: dict[str, Dialler] = {}
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._ticked_ms = clock.monotonic_ms()
        self._noted: dict[str, str] = {}
        self._is_closed = False

    # -- Mesh ---------------------------------------------------------------------------------

    @property
    def up(self) -> Sequence[str]:
        """See `Mesh`; in the order of names."""
        return sorted(self._up)

    def epoch(self, node: str) -> int:
        """See `Mesh`; of the last link when there is none, 0 when there never was."""
        return self._epochs.get(node, 0)

    def send(self, node: str, service: str, payload: bytes) -> bool:
        """See `Mesh`. Who sends much minds `congested`: beyond limits.LINK_STOP_BYTES that wait
        the link is cut."""
        link = self._up.get(node)
        if link is None:
            return False
        link.send(service, payload)
        return True

    def broadcast(self, service: str, payload: bytes) -> None:
        """See `Mesh`."""
        for link in self._up.values():
            link.send(service, payload)

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float) -> bytes:
        """See `Mesh`. A service that nobody answers there is MqdError UNAVAILABLE."""
        link = self._up.get(node)
        if link is None:
            raise PeerDown(node)
        call, answered = link.ask(service, payload)
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        finally:
            link.forget(call)

    def take(self, service: str, handler: Take) -> Callable[[], None]:
        """See `Mesh`. What nobody takes is dropped."""
        assert service not in self.takers, service
        self.takers[service] = handler
        return lambda: _void(self.takers.pop(service, None))

    def answer(self, service: str, handler: Answer) -> Callable[[], None]:
        """See `Mesh`."""
        answerers = self._calls.answerers
        assert service not in answerers, service
        answerers[service] = handler
        return lambda: _void(answerers.pop(service, None))

    def on_change(self, hear: Callable[[str, bool], None]) -> Callable[[], None]:
        """See `Mesh`."""
        self._hearers.append(hear)
        return lambda: self._hearers.remove(hear) if hear in self._hearers else None

    def congested(self, node: str) -> bool:
        """See `Mesh`."""
        link = self._up.get(node)
        return link is not None and link.is_congested

    def on_relief(self, node: str, call: Callable[[], None]) -> None:
        """See `Mesh`. At once, before this returns, when it is not congested."""
        link = self._up.get(node)
        if link is not None and link.is_congested:
            link.on_relief(call)
        else:
            call()

    def use_members(self, members: Mapping[str, Member]) -> None:
        """See `Mesh`. This node may be among them. Where one is reached is taken from here too."""
        self._members = dict(members)
        for link in list(self._all):
            member = self._members.get(link.node)
            theirs = link.theirs
            if theirs is None:
                continue  # judged when it greets
            if member is None or member.incarnation != theirs.incarnation:
                link.finish("it is no member any more")
        for node, dialler in list(self._diallers.items()):
            if node not in self._members:
                del self._diallers[node]
                dialler.stop()
        if self._is_closed:
            return
        if self._ticking is None:
            self._tick()
        for node, member in self._members.items():
            if node > self.node and node not in self._diallers:
                self._diallers[node] = Dialler(member, self._calling)
            elif node in self._diallers:
                self._diallers[node].use(member)

    # -- life ---------------------------------------------------------------------------------

    async def listen(self, host: str | None, ports: Iterable[int]) -> int:
        """Accept on the first port that is free; returns it. host None: all addresses. Raises
        MqdError UNAVAILABLE."""
        loop = asyncio.get_running_loop()
        self._server, port = await _first_free(loop, self._called, host, ports)
        if self._ticking is None:
            self._tick()
        return port

    def use_passport(self, passport: Passport, keep: bool = False) -> None:
        """Another generation, or cluster: links of the old one end, and are made anew. keep: those
        that are up stay, when all their members only go by another generation, too."""
        self._passport = passport
        for link in list(self._all):
            if not (keep and self._up.get(link.node) is link):
                link.finish("this node goes by another passport")
        for dialler in self._diallers.values():
            dialler.wake()

    async def close(self) -> None:
        """End all; return when last words are said, or within limits.LINK_CLOSE_S."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        if self._ticking is not None:
            self._ticking.cancel()
        diallers = list(self._diallers.values())
        self._diallers.clear()
        for dialler in diallers:
            dialler.stop()
        for link in list(self._all):
            link.finish("this node stops")
        await self._calls.close()
        for dialler in diallers:
            await dialler.stopped()
        closing = [link.closed for link in self._closing]
        if closing:
            await asyncio.wait(closing, timeout=2 * limits.LINK_CLOSE_S)
        if self._server is not None:
            await self._server.wait_closed()

    # -- for links ----------------------------------------------------------------------------

    @property
    def hello(self) -> Hello:
        """See `wire.Owner`."""
        return self._passport.hello

    def judge(self, link: Link, theirs: Hello, certified: str | None) -> Refusal | None:
        """See `wire.Owner`."""
        return greeting.judge(
            self.hello, theirs, self._members, certified=certified, dialled=link.dialled
        )

    def came_up(self, link: Link) -> None:
        """See `wire.Owner`."""
        theirs = link.theirs
        assert theirs is not None
        member = self._members.get(link.node)
        if member is None or member.incarnation != theirs.incarnation:  # gone since the greeting
            link.end("it is no member any more")
            return
        old = self._up.get(link.node)
        if old is not None:
            old.end("it has come anew")
            if link.over.done():  # by one who heard of the end
                return
        self._noted.pop(link.node, None)
        self._epochs[link.node] = theirs.epoch
        self._up[link.node] = link
        log.info("linked to node %s at %s", link.node, link.address)
        self._tell(link.node, True)

    def ended(self, link: Link, why: str, refusal: Refusal | None) -> None:
        """See `wire.Owner`."""
        self._all.pop(link, None)
        self._closing.add(link)
        link.closed.add_done_callback(lambda _: self._closing.discard(link))
        was_up = self._up.get(link.node) is link
        if was_up:
            del self._up[link.node]
            level = logging.INFO if self._is_closed else logging.WARNING
            log.log(level, "the link to node %s ended: %s", link.node, why)
        elif not self._is_closed:
            self._note(link, why)
        link.release()
        if was_up:
            self._tell(link.node, False)
        if refusal is not None and self._on_refusal is not None:
            theirs = link.theirs
            node = theirs.node if theirs is not None else link.node
            generation = theirs.generation if theirs is not None else 0
            self._on_refusal(Refused(node, refusal, generation))

    def asked(self, link: Link, service: str, call: int, payload: bytes) -> None:
        """See `wire.Owner`."""
        self._calls.take(link, service, call, payload)

    def overslept(self, now_ms: int) -> bool:
        """See `wire.Owner`."""
        if now_ms - self._ticked_ms <= limits.LINK_DEAD_MS:
            return False
        slept_s = (now_ms - self._ticked_ms) / 1000
        self._ticked_ms = now_ms
        for link in list(self._up.values()):
            link.end(f"this process stood still for {slept_s:.1f} s")
        return True

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._ticking = loop.call_later(limits.LINK_TICK_S, self._tick)
        now_ms = self.clock.monotonic_ms()
        if self.overslept(now_ms):
            return
        slept_ms = max(0, now_ms - self._ticked_ms - 2 * _TICK_MS)
        self._ticked_ms = now_ms
        for link in list(self._up.values()):
            link.tick(now_ms, slept_ms)

    def _called(self) -> Link:
        """Somebody connects. Those who say nothing make room for the next."""
        strangers = [link for link in self._all if link.dialled is None and not link.was_up]
        if len(strangers) >= limits.LINK_STRANGERS_MAX:
            strangers[0].end("too many wait to be greeted", at_once=True)
        return self._link(Tls(self._passport.server, None), None)

    def _calling(self, node: str) -> Link:
        return self._link(Tls(self._passport.client, name_of(node)), node)

    def _link(self, tls: Tls, dialled: str | None) -> Link:
        link = Link(self, tls, dialled)
        self._all[link] = None
        return link

    def _tell(self, node: str, is_up: bool) -> None:
        for hear in list(self._hearers):
            try:
                hear(node, is_up)
            except Exception:
                word = "came" if is_up else "went"
                log.exception("what follows when node %s %s was not done", node, word)

    def _note(self, link: Link, why: str) -> None:
        """A link that never was: said once for each node, or address, and reason."""
        whom = link.node or link.address.rpartition(":")[0]
        if self._noted.get(whom) == why:
            return
        while len(self._noted) >= _NOTED_MAX:
            del self._noted[next(iter(self._noted))]
        self._noted[whom] = why
        log.warning("no link to %s: %s", whom, why)


async def _first_free(
    loop: asyncio.AbstractEventLoop,
    accept: Callable[[], asyncio.Protocol],
    host: str | None,
    ports: Iterable[int],
) -> tuple[asyncio.Server, int]:
    tried = []
    for port in ports:
        tried.append(port)
        try:
            server = await loop.create_server(accept, host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            text = f"cannot listen for other nodes on {host or '*'}:{port}: {error.strerror}"
            raise MqdError(ErrorCode.UNAVAILABLE, text) from error
        return server, server.sockets[0].getsockname()[1]
    text = f"no port for other nodes is free on {host or '*'}: tried {tried[0]} to {tried[-1]}"
    raise MqdError(ErrorCode.UNAVAILABLE, text)


def _void(_: object) -> None:
    """Drops what an expression gives."""
