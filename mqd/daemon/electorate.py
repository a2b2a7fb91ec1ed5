"""The disc members of a cluster as those who vote: their engine, and who orders changes.

Theory. While one disc member runs by itself, it orders changes and no engine is needed
(`mqd.cluster.ledger`: `order_here`). With two or more the engine does, so that each change is on
the discs of a majority. The metadata says which holds (`ClusterRecord.authority`), so it changes at
one number for all:

- *To the engine.* The authority has the others start their servers and waits until they vote, drops
  a META that an earlier time left, orders `authority=""` as its last command and makes META begin
  with the number after it. The others find META, and change when that command reaches them.
- *To one member.* A member that stops in order, and would leave less than a majority, first has one
  of those that go on named as the authority: through META, as its last entry but for what was on
  its way. It waits until that one has read META to its end and has everything on disc.
- *To the last one.* When only one disc member is left the engine is rescued once, so that it alone
  votes; what is in shards is brought out of them, then the engine goes.

Decides when to change and who does what. Never starts a server itself (`mqd.cluster.engine`) and
never decides what a change does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mqd.cluster.ledger.ledger import Ledger
from mqd.cluster.membership.record import DISC
from mqd.cluster.membership.start import majority
from mqd.cluster.ports import NoMajority, PeerDown
from mqd.cluster.shards.service import ShardService
from mqd.daemon.founding import Founding
from mqd.daemon.revocable import Revocable
from mqd.daemon.station import (
    Station,
    can_decide,
    copies_for,
    goes_on,
    has_written,
    is_missing,
    proposed,
    put_right,
)
from mqd.errors import ErrorCode, MqdError
from mqd.limits import ENGINE_ASK_S, ENGINE_CALM_S, ENGINE_READY_S, SHARDS_STOP_S
from mqd.metadata.commands import ClusterRecord, Member, PutCluster
from mqd.metadata.store import MetadataStore

if TYPE_CHECKING:
    from mqd.cluster.engine.engine import NatsEngine

META: Final = "META"
FOUND, JOIN, AGAIN = "found", "join", "again"  # as `mqd.cluster.engine.engine.Start` calls them
_SERVICE: Final = "engine"
_LOOK_S: Final = 1.0
_AGAIN_S: Final = 0.1

_log = logging.getLogger(__name__)


class Electorate:
    """Of one disc member, while its app starts and runs."""

    def __init__(self, station: Station, store: MetadataStore, ledger: Ledger) -> None:
        self.shards: ShardService | None = None
        self._station = station
        self._store = store
        self._ledger = ledger
        self._node = station.me.name
        self._engine: NatsEngine | None = None
        self._starting = asyncio.Lock()
        self._stirred = asyncio.Event()
        self._steering: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()  # held while a change is under way
        self._founding = Founding(station, store, ledger.barrier.written)
        self._put_off = Revocable()  # what can be done at another time
        self._stopping = False
        self._why = ""
        self._used: tuple[Member, ...] = ()
        self._shards_began = False
        self._end = station.mesh.answer(_SERVICE, self._answer)

    # -- what is known ------------------------------------------------------------------------

    @property
    def _cluster(self) -> ClusterRecord:
        cluster = self._store.state.cluster
        assert cluster is not None
        return cluster

    @property
    def _discs(self) -> list[str]:
        members = self._store.state.members
        return sorted(name for name, each in members.items() if each.kind == DISC)

    @property
    def _running_discs(self) -> list[str]:
        up = self._station.gate.up
        return [name for name in self._discs if name == self._node or name in up]

    @property
    def ails(self) -> str:
        """Why this member's vote and copies do not count now; empty while they may, or need not."""
        if self._store.state.cluster is None or self._cluster.authority != "":
            return ""
        return self._engine.ails if self._engine is not None else "its nats-server is not started"

    def _members_of(self, names: Sequence[str]) -> list[Member]:
        members = {**self._store.state.members, **self._station.moved}
        found = [members[name] for name in names if name in members]
        return [self._station.me if each.name == self._node else each for each in found]

    def _has_store(self) -> bool:
        """This incarnation has been a voter."""
        return (self._station.data / "engine" / self._station.me.incarnation / "joined").exists()

    # -- starting -----------------------------------------------------------------------------

    async def take_part(self) -> None:
        """The engine orders: be current. Raises MqdError when there is no majority in time."""
        engine = await self._started(JOIN)
        loop = asyncio.get_running_loop()
        until = loop.time() + ENGINE_READY_S
        if not await engine.ready(ENGINE_READY_S):
            raise NoMajority("no majority of the disc nodes came together")
        last = await self._founding.end(engine, until)
        await self._ledger.hold()
        self._ledger.use_engine(engine)
        while self._store.last_number < last and self._cluster.authority == "":
            if loop.time() >= until:
                raise NoMajority("the log of changes was not read to its end in time")
            await asyncio.sleep(_AGAIN_S)

    def begin(self, shards: ShardService) -> None:
        """The app runs: from now on the engine follows the members."""
        self.shards = shards
        loop = asyncio.get_running_loop()
        self._steering = loop.create_task(self._steer(), name="electorate")

    def stir(self) -> None:
        """Members came, went or changed: they come first, and may be what is waited for."""
        self._put_off.revoke()
        self._stirred.set()

    def renewed(self) -> None:
        """The certificates are of another generation."""
        self._used = ()
        self.stir()

    async def _started(self, how: str, names: Sequence[str] | None = None) -> NatsEngine:
        async with self._starting:
            if self._engine is None:
                try:  # what it needs is installed, and loaded, only where it is used
                    from mqd.cluster.engine.engine import NatsEngine, Start
                except ImportError as error:
                    text = f"clusters of several disc nodes need mqd[cluster]: {error}"
                    raise MqdError(ErrorCode.UNAVAILABLE, text) from error
                station = self._station
                me = station.me
                engine = NatsEngine(
                    station.data,
                    me,
                    self._cluster.id,
                    binary=station.nats_server,
                    listen=station.listen,
                )
                members = self._members_of(names if names is not None else self._discs)
                station.route.release()
                await engine.start(members, station.identity, Start(how))
                self._engine = engine
            return self._engine

    # -- steering -----------------------------------------------------------------------------

    async def _steer(self) -> None:
        await asyncio.sleep(ENGINE_CALM_S)
        while not self._stopping:
            async with self._busy:
                try:
                    await self._look()
                except (NoMajority, MqdError, PeerDown, TimeoutError) as error:
                    self._tell_why(error)
                except Exception:  # noqa: BLE001 - tried again; nobody else would hear of it
                    _log.exception("the engine could not be brought in line with the members")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), _LOOK_S)
            self._stirred.clear()

    def _tell_why(self, error: Exception) -> None:
        """Once, while it stays the same."""
        why = repr(error)
        if why != self._why:
            self._why = why
            _log.info("the engine does not follow the members yet: %s", str(error) or why)

    async def _look(self) -> None:
        cluster, discs = self._cluster, self._discs
        if self._stopping:
            return
        if cluster.authority == "":
            await self._as_voter()
        elif len(discs) > 1 and (self._has_store() or self._engine is not None):
            engine = await self._started(AGAIN)
            self._begin_shards(engine)
            await self._put_off.run(self._use_members(engine))
        if cluster.authority != self._node or self._stopping:
            return
        if self._engine is not None and not await self._can_decide(self._engine):
            return
        if len(discs) == 1:
            if self._has_store() or self._engine is not None:
                await self._dissolve()
        elif len(self._running_discs) >= max(2, majority(len(discs))):
            await self._to_engine(self._running_discs)

    async def _as_voter(self) -> None:
        engine = await self._started(JOIN)
        if self._store.orders_here or not self._ledger.uses_engine:
            if not await engine.ready(_LOOK_S):
                return
            await engine.info(META)  # raises while whoever makes it is not there yet
            await self._ledger.hold()
            self._ledger.use_engine(engine)
            _log.info("changes are ordered by a majority of the disc nodes from now on")
        self._begin_shards(engine)
        await self._put_off.run(self._use_members(engine))
        if (
            engine.leads.get(META) == self._node
            and not self._stopping
            and not self._cluster.authority
        ):
            await self._put_off.run(self._put_right(engine))

    async def _put_right(self, engine: NatsEngine) -> None:
        copies = await put_right(self._station, engine, self._discs)
        if copies == copies_for(len(self._discs)):
            # not where the change is asked for: that may be put off, and is then under way
            self._founding.tell(copies)

    async def _use_members(self, engine: NatsEngine) -> None:
        members = tuple(self._members_of(self._discs))
        if members != self._used:
            await engine.use(members, self._station.identity)
            self._used = members

    def _begin_shards(self, engine: NatsEngine) -> None:
        if not self._shards_began and self.shards is not None:
            self._shards_began = True
            self.shards.begin(engine)

    # -- to the engine ------------------------------------------------------------------------

    async def _to_engine(self, names: Sequence[str]) -> None:
        """What can be begun again is left half-way for what cannot wait."""
        prepared: list[NatsEngine] = []
        await self._put_off.run(self._prepare(names, prepared))
        cluster = self._cluster
        if not prepared or self._stopping or cluster.authority != self._node:
            return
        (engine,) = prepared
        answered = proposed(self._store, PutCluster(replace(cluster, authority="")))
        number = await self._ledger.hold()
        await answered
        self._ledger.use_engine(engine)  # while there is no log, who waits is told so in time
        if await self._founding.found(engine, number + 1):
            _log.info("changes are ordered by a majority of the disc nodes from now on")
            self._begin_shards(engine)

    async def _prepare(self, names: Sequence[str], prepared: list[NatsEngine]) -> None:
        """All vote, and there is no log. `prepared` has the engine then."""
        how = AGAIN if self._has_store() else FOUND
        engine = await self._started(how, names)
        others = [name for name in names if name != self._node]
        for name in others:
            word = JOIN if how == AGAIN else FOUND
            await self._tell(name, {"do": "start", "how": word, "members": list(names)})
        if not await self._is_ready(engine):
            return
        await self._use_members(engine)
        try:
            await engine.info(META)
            await engine.delete(META)  # of an earlier time
        except NoMajority as error:
            if not is_missing(error):
                raise
        if len(engine.voters) >= len(names):
            prepared.append(engine)

    async def _is_ready(self, engine: NatsEngine) -> bool:
        """Not when this member stops meanwhile."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ENGINE_READY_S
        while not self._stopping and loop.time() < until:
            if await engine.ready(_LOOK_S / 2):
                return not self._stopping
        return False

    # -- to one member ------------------------------------------------------------------------

    async def hand_over(self, running: Sequence[str]) -> None:
        """This member stops: whoever goes on can, when it is the last one, too. Raises MqdError,
        NoMajority, TimeoutError."""
        self._stopping = True
        self._put_off.revoke()
        while self._busy.locked() and self._engine is not None:
            self._founding.give_up_in_vain(self._engine)
            await asyncio.sleep(_AGAIN_S)
        async with self._busy:  # what is under way ends first
            if self._founding.is_given_up:
                return
            if self._engine is not None:
                with contextlib.suppress(MqdError):  # others may have new certificates by now
                    await self._use_members(self._engine)
        await self._stop_shards()
        heirs = [name for name in self._discs if name in running and name != self._node]
        cluster = self._cluster
        if not heirs or cluster.authority not in ("", self._node):
            return
        if not cluster.authority and await goes_on(self._engine, heirs, self._discs):
            return
        written = self._ledger.barrier.written
        heir = await self._willing(sorted(heirs, key=lambda name: (-written.get(name, 0), name)))
        if heir is None:
            return  # all stop at once: all, or a majority, will be needed to start
        self._ledger.feed.accepts_proposals = False
        # What is in its memory alone it may lose, and would then begin again from before it.
        mesh, number = self._station.mesh, self._store.last_number
        if not await has_written(heir, number, written, mesh):
            _log.warning("%s does not take over: its disc does not have all changes yet", heir)
            return
        _log.info("handing over to %s, which orders changes from now on", heir)
        answered = proposed(self._store, PutCluster(replace(cluster, authority=heir)))
        if cluster.authority == self._node:
            number = await self._ledger.hold()
            await answered
        else:
            await answered
            number = self._store.last_number
        await has_written(heir, number, written, mesh)
        await self._tell(heir, {"do": "taken"})
        self._ledger.follow((heir,))

    async def _willing(self, heirs: Sequence[str]) -> str | None:
        """The first that does not stop, too."""
        for heir in heirs:
            try:
                await self._tell(heir, {"do": "inherit"})
            except (MqdError, PeerDown, TimeoutError) as error:
                _log.info("%s does not take over: %s", heir, error)
            else:
                return heir
        return None

    async def _stop_shards(self) -> None:
        """Others write what this member wrote."""
        if self.shards is not None and self._shards_began:
            self._shards_began = False
            try:
                async with asyncio.timeout(SHARDS_STOP_S):
                    await self.shards.stop()
            except TimeoutError:  # all stop at once: nobody keeps what is given away
                self.shards.abandon()

    async def take_over(self) -> None:
        """This member was named as the authority by the metadata itself."""
        self._put_off.revoke()
        async with self._busy:
            while self._cluster.authority == self._node and not self._store.orders_here:
                try:
                    await self._ledger.hold()
                except NoMajority as error:
                    _log.warning("what was ordered last cannot be read yet: %s", error)
                    await asyncio.sleep(_AGAIN_S)
                    continue
                self._ledger.order_here()
                _log.info("this node orders changes from now on")

    # -- alone --------------------------------------------------------------------------------

    async def _can_decide(self, engine: NatsEngine) -> bool:
        return await can_decide(self._station, self._store, engine, self._has_store())

    async def _dissolve(self) -> None:
        """One disc member is left: it needs no engine."""
        engine = await self._started(AGAIN)
        self._begin_shards(engine)
        if not await self._can_decide(engine):
            return
        if self.shards is not None and self._shards_began:
            await self.shards.bring_out()
            self.shards.abandon()
            self._shards_began = False
        self._engine = None
        await engine.stop()
        from mqd.cluster.engine.engine import wipe

        await asyncio.to_thread(wipe, self._station.data)
        self._station.forgive(self._station.gone())
        _log.info("this is the only disc node now: it keeps all changes by itself")

    # -- members among each other -------------------------------------------------------------

    async def _tell(self, node: str, question: dict[str, Any]) -> None:
        payload = json.dumps(question).encode()
        await self._station.mesh.request(node, _SERVICE, payload, ENGINE_ASK_S)

    async def _answer(self, node: str, payload: bytes) -> bytes:
        question = json.loads(payload)
        if self._stopping:
            raise MqdError(ErrorCode.UNAVAILABLE, f"{self._node} is stopping")
        if question["do"] == "inherit":
            return b""
        if question["do"] == "taken":
            while not self._store.orders_here:  # noqa: ASYNC110 - rare, and soon so
                await asyncio.sleep(_AGAIN_S / 5)
        else:
            await self._started(question["how"], question["members"])
        return b""

    # -- the end ------------------------------------------------------------------------------

    async def close(self) -> None:
        """Its server hands over what it leads, and ends."""
        self._stopping = True
        self._end()
        if self._steering is not None:
            self._steering.cancel()
            await asyncio.wait([self._steering])
        try:
            await self._stop_shards()
        finally:
            self._ledger.close()
            if self._engine is not None:
                await self._engine.stop()
                self._engine = None
