"""What a disc member is given to take part in elections, and some rules about logs.

Decides how many copies the log of changes has, whose copies count, whether one member alone may
decide, and what the member that leads it puts right. Never starts a server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mqd.cluster.identity import Identity
from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.membership.start import majority
from mqd.cluster.ports import Engine, Mesh, NoMajority
from mqd.daemon.ports import Reserved
from mqd.limits import HAND_OVER_S, META_COPIES_MAX
from mqd.metadata.commands import Member, PutCluster
from mqd.metadata.store import MetadataStore

if TYPE_CHECKING:
    from mqd.cluster.engine.engine import NatsEngine

_WRITTEN_LOOK_S: Final = 0.02

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Station:
    """Of this member. me: with its ports. mesh: all links; gate: to members whose app runs. gone():
    servers, (name, incarnation), that must not vote any more; forgive(those): they do not. moved:
    members that are elsewhere than the metadata says, while this one starts."""

    data: Path
    me: Member
    identity: Identity
    mesh: Mesh
    gate: Mesh
    listen: str
    route: Reserved
    gone: Callable[[], Sequence[tuple[str, str]]]
    forgive: Callable[[Sequence[tuple[str, str]]], None]
    moved: Mapping[str, Member]
    nats_server: str = ""  # its path; "": of the package


def is_missing(error: NoMajority) -> bool:
    """The engine answers, and has no log of that name."""
    from mqd.cluster.engine.api import NoLog

    return isinstance(error, NoLog)


def copies_for(voters: int) -> int:
    """Of META: a majority of three survives one of them, of five two."""
    if voters >= META_COPIES_MAX:
        return META_COPIES_MAX
    return min(voters, 3)


def linked(station: Station, engine: NatsEngine) -> Sequence[str]:
    """The voters that may be up, this member included: a copy is made nowhere else."""
    mesh = station.mesh
    return [name for name in engine.voters if name == mesh.node or name in mesh.up]


async def put_right(station: Station, engine: NatsEngine, discs: Sequence[str]) -> int:
    """What one member does: the one that leads META. Who was struck out votes no more, and META has
    the copies that it should have. discs: all disc members. Left half-way it is done again. Returns
    the copies that are up to date."""
    for each in station.gone():
        await engine.remove_member(*each)
        station.forgive([each])
    copies = copies_for(len(discs))
    info = await engine.info(META)
    if info.replicas > copies or info.replicas < copies <= len(linked(station, engine)):
        await engine.set_replicas(META, copies)
        return copies
    return len(info.current)


async def can_decide(
    station: Station, store: MetadataStore, engine: NatsEngine, was_voter: bool
) -> bool:
    """Whether the voters may have a leader. When all other voters are servers of an earlier
    generation, or of nodes that are no members any more, this one alone votes from now on.
    was_voter: this incarnation has been one."""
    from mqd.cluster.engine.settings import peer_id, server_name

    if engine.has_group:  # a rescue that was left half-way has left this one alone among the voters
        if station.gone() and not {*engine.voters} - {station.me.name}:
            await _vote_alone(station, engine, station.gone())
        return True
    mine = peer_id(server_name(station.me.name, station.me.incarnation))
    others = {each for each in engine.voter_ids if each != mine}
    if not others:
        return not was_voter  # its own server has not told yet
    members = store.state.members.values()
    if others & {peer_id(server_name(each.name, each.incarnation)) for each in members}:
        return True
    lost = [each for each in station.gone() if peer_id(server_name(*each)) in others]
    if len(lost) < len(others):
        _log.warning("voters that nobody remembers keep this node from going on alone")
        return True
    await _vote_alone(station, engine, lost)
    return True


async def _vote_alone(
    station: Station, engine: NatsEngine, lost: Sequence[tuple[str, str]]
) -> None:
    """These are lost for good, and their copies of logs with them. Left half-way it is done again,
    as long as they are not forgiven."""
    named = ", ".join(name for name, _ in lost)
    _log.warning("the servers of %s vote no more: this node alone does", named)
    await engine.rescue(lost)
    station.forgive(lost)


async def goes_on(engine: Engine | None, running: Sequence[str], discs: Sequence[str]) -> bool:
    """Whether those that run can order changes without this one. discs: all disc members.

    Who runs beside a server that is down, for want of room on its disc say, does not vote. META has
    fewer copies than it will have for some seconds after a member came: one of two may be ours.
    """
    voting = running
    try:
        info = await engine.info(META) if engine is not None else None
    except NoMajority:
        info = None
    if info is not None:
        copies = [name for name in running if name in info.current]
        if len(copies) < majority(info.replicas):
            return False
        if info.replicas >= len(discs):
            voting = copies
    return len(voting) >= majority(len(discs))


async def has_written(heir: str, number: int, written: Mapping[str, int], mesh: Mesh) -> bool:
    """Whether that member's disc has all changes up to that one, in time. written: what the
    members tell of it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HAND_OVER_S / 2
    while written.get(heir, 0) < number:
        if heir not in mesh.up or loop.time() >= until:
            return False
        await asyncio.wait([loop.create_future()], timeout=_WRITTEN_LOOK_S)
    return True


def proposed(store: MetadataStore, command: PutCluster) -> asyncio.Future[None]:
    """It is, when this returns; the answer comes when it does."""
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: Exception | None) -> None:
        if answered.done():
            return
        if error is None:
            answered.set_result(None)
        else:
            answered.set_exception(error)

    store.propose(command, done)
    return answered
