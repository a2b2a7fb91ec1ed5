"""The cluster as one member's administrator sees it, over the links.

Decides who counts as running (whoever is linked), and joins calls, standings and limits to one
broker. Never decides who is a member: the metadata does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mqd.broker.broker import Broker
from mqd.broker.ports import ALONE
from mqd.cluster.fanout.calls import Calls, Carry
from mqd.cluster.fanout.standings import BANNER, Standing, Standings, census
from mqd.cluster.ports import Mesh
from mqd.metadata.commands import Member

if TYPE_CHECKING:
    from mqd.cluster.fanout.copies import ClusterQueues
    from mqd.cluster.fanout.standings import Census

BLOCKING: Final = ("memory", "disk")  # the alarms for which publishers wait
CLIENTS_LULL_S: Final = 0.01  # clients that come and go within it are told of together

_log = logging.getLogger(__name__)


class View:
    """Of one member, while its application runs. `own` is its standing now, `carry` carries out
    what others ask of it. queues: while there are any with copies elsewhere; may be set later."""

    def __init__(
        self,
        mesh: Mesh,
        members: Callable[[], Mapping[str, Member]],
        broker: Broker,
        own: Callable[[], Standing],
        carry: Carry,
        queues: ClusterQueues | None = None,
    ) -> None:
        self.queues = queues
        self._mesh = mesh
        self._members = members
        self._broker = broker
        self._calls = Calls(mesh, carry)
        self._standings = Standings(mesh, own, self._count, self._hear)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on others are answered, told and heard."""
        self._calls.start()
        self._standings.start()
        self._broker.elsewhere = self._standings
        self._broker.census_changed = self._clients_changed
        self._broker.alarms_changed = self._standings.tell

    def stop(self) -> None:
        """The others' alarms and clients count here no more."""
        self._broker.census_changed = self._broker.alarms_changed = lambda: None
        self._broker.elsewhere = ALONE
        if self._timer is not None:
            self._timer.cancel()
        self._standings.stop()
        self._calls.stop()

    # -- ClusterView --------------------------------------------------------------------------

    @property
    def members(self) -> Mapping[str, Member]:
        return self._members()

    @property
    def running(self) -> Sequence[str]:
        return [*self._mesh.up, self._mesh.node]

    def standing(self, node: str) -> Standing:
        return self._standings.of(node)

    def tell_standing(self) -> None:
        self._standings.tell()

    def replies(
        self, node: str, rpc: str, request: bytes, actor: str, idle_s: float
    ) -> AsyncIterator[bytes]:
        return self._calls.replies(node, rpc, request, actor, idle_s)

    # -- the broker ---------------------------------------------------------------------------

    def _hear(self, node: str, before: Standing, now: Standing) -> None:
        for name in sorted(before.alarms ^ now.alarms):
            if name in BLOCKING:
                self._tell_alarm(name, name in now.alarms, node)
        self._broker.turn.end()

    def _tell_alarm(self, name: str, on: bool, node: str) -> None:
        """Every member's log has it (observed: 3.10.8)."""
        self._broker.set_alarm(name, on, node)
        if on:
            _log.warning(BANNER, name, node)
            return
        _log.warning("%s resource limit alarm cleared on node %s", name, node)
        if name not in self._broker.alarms:
            _log.warning("%s resource limit alarm cleared across the cluster", name)

    def _count(self) -> Census:
        return census(
            (entry.vhost.name, entry.user.name, len(entry.channels))
            for entry in self._broker.connections.values()
        )

    def _clients_changed(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CLIENTS_LULL_S, self._tell_clients)

    def _tell_clients(self) -> None:
        self._timer = None
        self._standings.tell_clients()
