"""The end of a member's start: it waits for the others, and until they keep what it promises.

Theory. Nothing has copies until a second disc member votes, which takes some seconds: the first
election, then logs. Whoever has been told that the node has started declares a quorum queue, and
relies on it that it survives the loss of a node. So that is told when it holds; not for ever, since
the others may never come that far, and the node itself is of use without them.

A client that comes then may ask for a queue of any member that runs. Whether it does is told over
the link to it, which may be a moment later than the metadata: so that moment is waited for, too.

Decides when what is ordered and what is put into quorum queues has its copies. Never makes one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Final

from mqd.cluster.ledger.engine_orderer import META
from mqd.cluster.membership.record import DISC
from mqd.cluster.membership.start import majority
from mqd.cluster.ports import Mesh, NoMajority
from mqd.cluster.shards.service import ShardService
from mqd.cluster.shards.shards import log_of
from mqd.daemon.station import copies_for
from mqd.limits import COPIED_S, MET_S, SHARD_COPIES_MAX
from mqd.metadata.store import MetadataStore

_LOOK_S: Final = 0.1

_log = logging.getLogger(__name__)


async def met(gate: Mesh, others: Collection[str]) -> None:
    """Returns when all of these are known to run, or soon: some may not."""
    loop = asyncio.get_running_loop()
    until = loop.time() + MET_S
    while not set(others) <= set(gate.up) and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S / 5)


async def copied(
    store: MetadataStore, gate: Mesh, shards: ShardService, given_up: asyncio.Event
) -> None:
    """Returns when there are copies, nobody to have them, no time left (the log says so then), or
    `given_up` is set."""
    loop = asyncio.get_running_loop()
    until = loop.time() + COPIED_S
    while not given_up.is_set() and not await _has_copies(store, gate, shards):
        if loop.time() >= until:
            _log.warning(
                "after %.0f s changes and quorum queues are still not copied to other disc nodes",
                COPIED_S,
            )
            return
        await asyncio.sleep(_LOOK_S)


async def _has_copies(store: MetadataStore, gate: Mesh, shards: ShardService) -> bool:
    cluster = store.state.cluster
    discs = [name for name, each in store.state.members.items() if each.kind == DISC]
    running = [name for name in discs if name == gate.node or name in gate.up]
    if cluster is None or len(running) < max(2, majority(len(discs))):
        return True
    if cluster.authority or shards.engine is None:
        return False
    homes = [shards.whereabouts.home_of(shard) for shard in range(shards.count)]
    if not all(homes):
        return False
    logs = [META, *(log_of(shard) for shard in range(shards.count))]
    try:
        infos = [await shards.engine.info(log) for log in logs]
    except NoMajority:
        return False
    wanted = min(copies_for(len(running)), SHARD_COPIES_MAX)
    return all(len(info.current) >= wanted for info in infos)  # one that lags is none yet
