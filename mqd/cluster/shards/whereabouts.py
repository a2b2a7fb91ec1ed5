"""Which member writes each shard, as every member knows it, with or without an engine.

Decides from what writers tell over the links: the newest epoch counts, and a writer that is not
linked is none. A writer tells once it has replayed the log, so whoever is sent to it is served. Who
leads the engine's log is another matter: a hint, which only disc members hear.

When a shard has another home, or none, its queues on this node are rehomed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Final

from mqd.broker.broker import Broker
from mqd.cluster.ports import Mesh

SERVICE: Final = "shards"


class Whereabouts:
    """See the file's charter; `mqd.cluster.ports.ShardHomes`."""

    def __init__(self, mesh: Mesh, broker: Broker) -> None:
        self._mesh = mesh
        self._broker = broker
        self._told: dict[str, dict[int, int]] = {mesh.node: {}}  # by writer: shards, epochs
        self._homes: dict[int, str] = {}
        self._hearing: list[Callable[[int], None]] = []
        self._stops = [mesh.take(SERVICE, self._take), mesh.on_change(self._changed)]
        for node in mesh.up:
            self._changed(node, True)

    def close(self) -> None:
        """Hear no more; what is known stays."""
        for stop in self._stops:
            stop()

    def home_of(self, shard: int) -> str | None:
        """None: nobody is known to write it now."""
        return self._homes.get(shard)

    def epoch_of(self, shard: int) -> int:
        """Of its writer; 0 while there is none."""
        home = self._homes.get(shard)
        return self._told[home][shard] if home is not None else 0

    def on_move(self, hear: Callable[[int], None]) -> Callable[[], None]:
        """hear(shard) after its home changed and its queues were rehomed."""
        self._hearing.append(hear)
        return lambda: self._hearing.remove(hear)

    def tell(self, shard: int, epoch: int | None) -> None:
        """This node writes it in that epoch from now on; None: no more."""
        own = self._told[self._mesh.node]
        if epoch is None:
            own.pop(shard, None)
        else:
            own[shard] = epoch
        self._mesh.broadcast(SERVICE, json.dumps(own).encode())
        self._look((shard,))

    def _take(self, node: str, payload: bytes) -> None:
        told = {int(shard): int(epoch) for shard, epoch in json.loads(payload).items()}
        before = self._told.get(node, {})
        self._told[node] = told
        self._look({*before, *told})

    def _changed(self, node: str, is_up: bool) -> None:
        if is_up:
            own = self._told[self._mesh.node]
            self._mesh.send(node, SERVICE, json.dumps(own).encode())
        else:
            self._look(self._told.pop(node, ()))

    def _look(self, shards: Iterable[int]) -> None:
        for shard in sorted(shards):
            writers = [(told[shard], node) for node, told in self._told.items() if shard in told]
            home = max(writers)[1] if writers else None
            if home == self._homes.get(shard):
                continue
            if home is None:
                del self._homes[shard]
            else:
                self._homes[shard] = home
            self._rehome(shard)
            for hear in list(self._hearing):
                hear(shard)

    def _rehome(self, shard: int) -> None:
        for vhost in list(self._broker.vhosts.values()):
            for queue in list(vhost.queues.values()):
                if queue.definition.shard == shard:
                    vhost.rehome(queue.name)
        self._broker.turn.end_soon()


def shard_of(vhost: str, name: str, count: int) -> int:
    """Where a queue that is to be belongs: by rendezvous, so that another count moves few."""

    def weight(shard: int) -> bytes:
        key = f"{shard}/{vhost}/{name}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(key, digest_size=8).digest()

    return max(range(count), key=weight)
