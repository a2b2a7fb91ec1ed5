"""How the log of changes comes to be, or is found.

Theory. Whoever was named as the authority orders `authority=""` as its last command, and the log
begins with the number after that. So one member makes it, and no other one that runs: who was cut
off may know less, and would have it begin too early. When that one dies in between, those that
start next look again: the one that has most of the metadata makes it.

Decides who makes it, with how many copies, and for how long that is tried. Never decides when the
engine is to order (`electorate`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.membership.start import majority
from mqd.cluster.ports import NoMajority
from mqd.daemon.revocable import Revocable
from mqd.daemon.station import Station, copies_for, is_missing, linked
from mqd.errors import MqdError
from mqd.metadata.store import MetadataStore

if TYPE_CHECKING:
    from mqd.cluster.engine.engine import NatsEngine

_AGAIN_S: Final = 0.1

_log = logging.getLogger(__name__)


class Founding:
    """By one member. written: what the others have on disc of the metadata."""

    def __init__(self, station: Station, store: MetadataStore, written: Mapping[str, int]) -> None:
        self.is_given_up = False
        self.copies = 0  # of the log, as told last
        self._station = station
        self._store = store
        self._written = written
        self._making = Revocable()

    async def found(self, engine: NatsEngine, first_seq: int) -> bool:
        """Until it is there: the point of no return is behind. False: it was given up."""
        self.is_given_up = not await self._making.run(self._until_made(engine, first_seq))
        return not self.is_given_up

    def give_up_in_vain(self, engine: NatsEngine) -> None:
        """This member stops. Without a majority the log is not made in the time that it has; all,
        or a majority, will be needed to start, and find it or make it."""
        voters = engine.voters
        if voters and len(linked(self._station, engine)) < majority(len(voters)):
            self._making.revoke()

    async def _until_made(self, engine: NatsEngine, first_seq: int) -> bool:
        failed = 0
        while True:
            try:
                await self._make(engine, first_seq, failed)
            except (NoMajority, MqdError) as error:
                _log.info("the log of changes is not made yet: %s", error)
            else:
                return True
            failed += 1
            await asyncio.sleep(_AGAIN_S)

    async def _make(self, engine: NatsEngine, first_seq: int, failed: int) -> None:
        """That a member is linked does not say that its server is up: with each attempt that failed
        it is tried with fewer copies. Whoever leads the log adds to them."""
        at_least = max(majority(len(engine.voters)), 2)
        copies = copies_for(max(len(linked(self._station, engine)) - failed, at_least))
        await engine.create(META, replicas=copies, first_seq=first_seq, tells=True)
        self.tell(copies)

    def tell(self, copies: int) -> None:
        """It has so many: once, while it stays the same."""
        if copies != self.copies:
            self.copies = copies
            _log.info("%d copies of the log of changes", copies)

    async def end(self, engine: NatsEngine, until: float) -> int:
        """The last number of the log, which this member, that starts, makes if it must. Raises
        NoMajority when that time is over."""
        failed = 0
        while True:
            try:
                return (await engine.info(META)).last_seq
            except NoMajority as error:
                hindrance: NoMajority | MqdError = error
                makes = is_missing(error) and self._knows_most(engine)
            if makes:
                try:
                    await self._make(engine, self._store.last_number + 1, failed)
                    continue
                except (NoMajority, MqdError) as error:
                    hindrance, failed = error, failed + 1
            if asyncio.get_running_loop().time() >= until:
                raise NoMajority(str(hindrance)) from hindrance
            await asyncio.sleep(_AGAIN_S)

    def _knows_most(self, engine: NatsEngine) -> bool:
        """Whoever was to make it did not get there."""
        mesh = self._station.mesh
        mine = (self._store.last_number, mesh.node)
        others = [(self._written.get(name, 0), name) for name in mesh.up]
        return engine.has_group and all(mine >= each for each in others)
