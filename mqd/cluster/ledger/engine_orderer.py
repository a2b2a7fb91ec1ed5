"""The order is that of a log of the engine: the view of a disc node among others.

Decides how proposals get into the log META and entries out of it: one entry is one line, the number
of an entry is its sequence. What is appended and not answered is appended again under its id until
PROPOSAL_TIMEOUT_S is over; then it is said what is known: that nothing was changed when it never
left, else that nobody knows. If it was ordered all the same it is applied like any other.

An entry that names an authority is the last one: what was on its way and comes into the log behind
it is an entry for nobody. So the authority goes on from that number without a look at who may still
append, and who proposed it proposes it again, to the authority.

Entries come as they are told; what is not told is seen by the gap it leaves, by an append that is
answered with a number not seen, or by looking now and then. What the log has dropped already, and
everything while it cannot be read, comes over a link from another disc node. The node that leads
the log drops what all disc nodes have on disc, and more when one is away for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mqd.cluster.ledger.barrier import Barrier
from mqd.cluster.ledger.intake import Intake
from mqd.cluster.ledger.members import disc_members, listed, missing
from mqd.cluster.ledger.timers import Cancel, Later
from mqd.cluster.ports import Engine, Entry, Mesh, NoMajority
from mqd.errors import ErrorCode, MqdError
from mqd.limits import (
    META_CHECK_S,
    META_ENTRIES_MAX,
    META_PURGE_MIN,
    META_PURGE_S,
    META_READ_MAX,
    PROPOSAL_TIMEOUT_S,
    PROPOSALS_UNDER_WAY_MAX,
)
from mqd.metadata.order import Orderer
from mqd.metadata.store import MetadataStore

META: Final = "META"  # the log
SUBJECT: Final = "META.line"
_RETRY_S = 0.5
_AGE_MAX = int(PROPOSAL_TIMEOUT_S / META_CHECK_S)  # looks
_PURGE_LOOKS = int(META_PURGE_S / META_CHECK_S)

_CANNOT = (NoMajority, MqdError)  # the latter: there is no such log yet, or any more

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Proposal:
    line: str
    age: int = 0  # looks
    sent: bool = False  # it may be in the log


class EngineOrderer(Orderer):
    """For `MetadataStore.use_orderer`, on a disc member while several have the log."""

    def __init__(
        self,
        engine: Engine,
        mesh: Mesh,
        store: MetadataStore,
        later: Later,
        intake: Intake,
        barrier: Barrier,
    ) -> None:
        self._engine = engine
        self._mesh = mesh
        self._store = store
        self._later = later
        self._intake = intake
        self._barrier = barrier
        self._proposals: dict[str, _Proposal] = {}
        self._queue: deque[str] = deque()
        self._under_way = 0
        self._unknown: set[str] = set()  # given up
        self._reading = False
        self._again = False
        self._first_needed: int | None = None  # while entries come over a link: up to that one
        self._closed = False
        self._finishing = False
        self._looks = 0
        self._seen = 0  # the last number, at the last look
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancel_look: Cancel = lambda: None
        self._stops: list[Callable[[], None]] = []

    def start(self) -> None:
        self._stops = [
            self._engine.follow(META, self._hear),
            self._engine.on_leader(self._leader_changed),
        ]
        self._intake.on_progress = self._caught_some
        self._cancel_look = self._later(META_CHECK_S, self._look)
        for proposal, line in self._store.waiting.items():
            self.propose(proposal, line)
        self._catch_up()

    def close(self) -> None:
        self._closed = True
        self._cancel_look()
        self._intake.stop()
        self._intake.on_progress = lambda: None
        for stop in self._stops:
            stop()
        for task in self._tasks:
            task.cancel()

    async def finish(self) -> None:
        """Wait for what is under way and apply all that the log has; nothing may be proposed
        meanwhile (`MetadataStore.hold`). Raises NoMajority."""
        self._finishing = True
        while self._under_way and not self._is_over:
            await asyncio.wait(list(self._tasks), return_when=asyncio.FIRST_COMPLETED)
        while not self._is_over:
            info = await self._engine.info(META)
            if info.last_seq <= self._store.last_number:
                return
            if info.first_seq > self._store.last_number + 1:
                raise NoMajority("this node lags behind what the log has dropped")
            self._take_all(
                await self._engine.read(META, self._store.last_number + 1, META_READ_MAX)
            )
            if self._closed:
                raise NoMajority("the log cannot be followed")

    @property
    def _is_over(self) -> bool:
        """Its last entry is applied."""
        cluster = self._store.state.cluster
        return cluster is not None and cluster.authority != ""

    # proposals

    def propose(self, proposal: str, line: str) -> None:
        self._proposals[proposal] = _Proposal(line)
        self._queue.append(proposal)
        self._pump()

    def _can_append(self) -> bool:
        if self._finishing or self._is_over or self._under_way >= PROPOSALS_UNDER_WAY_MAX:
            return False
        return self._engine.leads.get(META, "?") is not None

    def _pump(self) -> None:
        while self._queue and self._can_append():
            unique = self._queue.popleft()
            proposal = self._proposals.get(unique)
            if proposal is not None:
                self._under_way += 1
                proposal.sent = True
                self._spawn(self._append(unique, proposal.line))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _append(self, unique: str, line: str) -> None:
        try:
            seq = await self._engine.append(META, SUBJECT, line.encode(), unique=unique)
        except _CANNOT as error:
            _log.info("a change is not ordered yet: %s", error)
            self._later(_RETRY_S, lambda: self._again_if_waited_for(unique))
        else:
            if seq > self._store.last_number:
                self._catch_up()
        finally:
            self._under_way -= 1
        if not self._closed:
            self._pump()

    def _again_if_waited_for(self, proposal: str) -> None:
        if not self._closed and self._store.waits_for(proposal):
            self._queue.append(proposal)
            self._pump()

    def _leader_changed(self, log: str, member: str | None) -> None:
        if log == META and member is not None:
            self._pump()
            self._catch_up()

    def _give_up(self, unique: str, proposal: _Proposal) -> None:
        names = missing(self._store.state, self._mesh.node, self._mesh.up)
        if names:
            why = f"the change needs a majority of the disc nodes: {listed(names)}"
        else:
            why = "the change needs a leader among the disc nodes, and none could be asked"
        if proposal.sent:
            self._unknown.add(unique)
            code = ErrorCode.TIMEOUT
            why += "; it is not known whether it was made, look before it is asked for again"
        else:
            code = ErrorCode.UNAVAILABLE
            why += "; nothing was changed"
        self._store.fail(unique, MqdError(code, why))

    # entries

    def _hear(self, entry: Entry) -> None:
        if entry.seq > self._store.last_number + 1:
            self._catch_up()
        else:
            self._take_all([entry])

    def _take_all(self, entries: Sequence[Entry]) -> bool:
        """False: some are missing in between."""
        for entry in entries:
            if self._is_over:
                return True
            try:
                if not self._store.take(entry.seq, entry.data.decode()):
                    return False
            except MqdError as error:
                _log.critical("the metadata of the cluster cannot be followed: %s", error)
                self.close()
                return True
        return True

    def _catch_up(self) -> None:
        self._again = True
        if not self._reading and not self._closed:
            self._reading = True
            self._spawn(self._read())

    async def _read(self) -> None:
        try:
            while self._again and not self._closed:
                self._again = False
                await self._read_once()
        except _CANNOT as error:
            _log.debug("the log cannot be read: %s", error)
            if not self._closed:
                self._lag(None)
        finally:
            self._reading = False

    async def _read_once(self) -> None:
        info = await self._engine.info(META)
        after = self._store.last_number
        if info.first_seq > after + 1:
            self._lag(info.first_seq)
            return
        self._intake.stop()
        if info.last_seq <= after or self._is_over:
            return
        entries = await self._engine.read(META, after + 1, META_READ_MAX)
        if self._closed or not entries:
            return
        if not self._take_all(entries):
            self._lag(entries[-1].seq)
        self._again = True

    def _lag(self, first: int | None) -> None:
        """Entries below that one come over a link. None: all, until the log can be read again; if
        only this node's server is down, others have them."""
        self._first_needed = first
        if not self._intake.follows:
            _log.info("metadata comes over a link until the log has it")
            self._intake.follow(lambda _source: None)

    def _caught_some(self) -> None:
        if self._first_needed is not None and self._store.last_number + 1 >= self._first_needed:
            self._catch_up()

    # now and then

    def _look(self) -> None:
        self._cancel_look = self._later(META_CHECK_S, self._look)
        self._looks += 1
        for unique, proposal in list(self._proposals.items()):
            proposal.age += 1
            if not self._store.waits_for(unique):
                del self._proposals[unique]
            elif proposal.age >= _AGE_MAX:
                del self._proposals[unique]
                self._give_up(unique, proposal)
        for unique in list(self._unknown):
            outcome = self._store.outcome(unique)
            if outcome is not None:
                self._unknown.discard(unique)
                became = "refused" if outcome.refusal is not None else "made"
                _log.info("a change whose outcome was not known was %s after all", became)
        if self._intake.follows and self._store.last_number == self._seen:
            self._intake.turn_to_another()
        self._seen = self._store.last_number
        self._catch_up()
        if self._looks % _PURGE_LOOKS == 0 and self._engine.leads.get(META) == self._mesh.node:
            self._spawn(self._purge())

    async def _purge(self) -> None:
        store = self._store
        told = self._barrier.written
        others = disc_members(store.state, self._mesh.node)
        everywhere = min([store.written_number, *(told.get(each, 0) for each in others)])
        too_old = min(store.last_number - META_ENTRIES_MAX, store.written_number)
        before = max(everywhere, too_old) + 1
        try:
            info = await self._engine.info(META)
            if before - info.first_seq >= META_PURGE_MIN:
                await self._engine.purge(META, before=before)
        except _CANNOT as error:
            _log.debug("the log is not shortened: %s", error)
