"""What every member keeps telling the others of itself: its alarms, maintenance, clients by limit.

Theory. Each member owns its own part and sends it whole when a link comes up, later only what
changed; links are ordered, so what was heard last is true. A link that goes down takes what was
heard over it along: a node that nobody reaches has no alarm that blocks publishers, and no clients
that count. One that starts asks those that are linked already, who told their part to the process
before it.

Decides what is told and when. Never judges: `mqd.broker` holds publishers and counts clients.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mqd.cluster.ports import Mesh

SERVICE: Final = "standing"

# what every member's log has of an alarm (observed: 3.10.8)
BANNER: Final = (
    "%s resource limit alarm set on node %s.\n\n"
    "**********************************************************\n"
    "*** Publishers will be blocked until this alarm clears ***\n"
    "**********************************************************\n"
)

_VHOSTS, _USERS, _CHANNELS = "vhosts", "users", "channels"


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one member. alarms: names of resources, "memory", "disk", "file_descriptor"."""

    alarms: frozenset[str] = frozenset()
    in_maintenance: bool = False


Census = Mapping[str, Counter[str]]  # "vhosts", "users", "channels" -> name -> how many
Hear = Callable[[str, Standing, Standing], None]  # (node, before, now)


def census(clients: Iterable[tuple[str, str, int]]) -> Census:
    """(vhost, user, channels) of each connection, added up."""
    counted: dict[str, Counter[str]] = {_VHOSTS: Counter(), _USERS: Counter(), _CHANNELS: Counter()}
    for vhost, user, channels in clients:
        counted[_VHOSTS][vhost] += 1
        counted[_USERS][user] += 1
        counted[_CHANNELS][user] += channels
    return counted


class Standings:
    """The members' standings as this one knows them.

    own: this member's now. count: its clients now. hear is told of the others' changes.
    """

    def __init__(
        self, mesh: Mesh, own: Callable[[], Standing], count: Callable[[], Census], hear: Hear
    ) -> None:
        self._mesh = mesh
        self._own = own
        self._count = count
        self._hear = hear
        self._told: Census = {}
        self._of: dict[str, Standing] = {}
        self._clients: dict[str, dict[str, Counter[str]]] = {}
        self._ends: list[Callable[[], None]] = []

    def start(self) -> None:
        """Tell and hear from now on."""
        self._ends = [
            self._mesh.take(SERVICE, self._take),
            self._mesh.on_change(self._linked),
        ]
        self._told = self._count()
        self._mesh.broadcast(SERVICE, self._whole(asks=True))

    def stop(self) -> None:
        """Nothing is known of the others any more."""
        while self._ends:
            self._ends.pop()()
        for node in list(self._of):
            self._forget(node)

    # -- what is known ------------------------------------------------------------------------

    def of(self, node: str) -> Standing:
        """Of a linked member; of others nothing is known."""
        return self._own() if node == self._mesh.node else self._of.get(node, Standing())

    def in_vhost(self, vhost: str) -> int:
        return self._sum(_VHOSTS, vhost)

    def of_user(self, user: str) -> int:
        return self._sum(_USERS, user)

    def channels_of_user(self, user: str) -> int:
        return self._sum(_CHANNELS, user)

    def _sum(self, kind: str, name: str) -> int:
        return sum(counted[kind][name] for counted in self._clients.values() if kind in counted)

    # -- telling ------------------------------------------------------------------------------

    def tell(self) -> None:
        """This member's alarms or maintenance are others than before."""
        self._mesh.broadcast(SERVICE, _message({"standing": _plain(self._own())}))

    def tell_clients(self) -> None:
        """So are its clients. The caller gathers changes: this adds all of them up."""
        now, before = self._count(), self._told
        self._told = now
        changed = {
            kind: {
                name: counted[name]
                for name in {*counted, *before.get(kind, ())}
                if counted[name] != before.get(kind, Counter())[name]
            }
            for kind, counted in now.items()
        }
        if any(changed.values()):
            self._mesh.broadcast(SERVICE, _message({"clients": changed}))

    def _whole(self, *, asks: bool) -> bytes:
        clients = {kind: dict(counted) for kind, counted in self._told.items()}
        whole = {"standing": _plain(self._own()), "clients": clients, "whole": True, "asks": asks}
        return _message(whole)

    # -- hearing ------------------------------------------------------------------------------

    def _linked(self, node: str, is_up: bool) -> None:
        if is_up:
            self._mesh.send(node, SERVICE, self._whole(asks=False))
        else:
            self._forget(node)

    def _take(self, node: str, payload: bytes) -> None:
        told: dict[str, Any] = json.loads(payload)
        if told.get("asks"):
            self._mesh.send(node, SERVICE, self._whole(asks=False))
        if told.get("whole"):
            self._clients.pop(node, None)
        if "clients" in told:
            counted = self._clients.setdefault(node, {})
            for kind, counts in told["clients"].items():
                counted.setdefault(kind, Counter()).update(
                    {name: count - counted[kind][name] for name, count in counts.items()}
                )
        if "standing" in told:
            alarms = frozenset(map(str, told["standing"]["alarms"]))
            self._put(node, Standing(alarms, bool(told["standing"]["maintenance"])))

    def _forget(self, node: str) -> None:
        self._clients.pop(node, None)
        self._put(node, Standing())
        self._of.pop(node, None)

    def _put(self, node: str, now: Standing) -> None:
        before = self._of.get(node, Standing())
        self._of[node] = now
        if now != before:
            self._hear(node, before, now)


def _plain(standing: Standing) -> dict[str, Any]:
    return {"alarms": sorted(standing.alarms), "maintenance": standing.in_maintenance}


def _message(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
