"""Which member writes each shard, as every member knows it, with or without an engine, and where
its copies are.

Decides from what writers tell over the links: the newest epoch counts, and a writer that is not
linked is none. A writer tells once it has replayed the log, so whoever is sent to it is served. Who
leads the engine's log is another matter: a hint, which only disc members hear.

When a shard has another home, or none, its queues on this node are rehomed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mqd.broker.broker import Broker
from mqd.cluster.ports import Mesh

SERVICE: Final = "shards"
ASK: Final = "shards.home"
_ASK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Written:
    """A shard, as its writer tells. copies: members that have the log, as far as it knows."""

    epoch: int
    copies: tuple[str, ...] = ()


@dataclass(slots=True)
class Told:
    """What a member told. rests: it wants to lead nothing."""

    rests: bool = False
    shards: dict[int, Written] = field(default_factory=dict)


class Whereabouts:
    """See the file's charter; `mqd.cluster.ports.ShardHomes`."""

    def __init__(self, mesh: Mesh, broker: Broker) -> None:
        self._mesh = mesh
        self._broker = broker
        self._own = Told()
        self._told: dict[str, Told] = {mesh.node: self._own}  # by member
        self._homes: dict[int, str] = {}
        self._last: dict[int, Written] = {}  # of the last writer, also when it is gone
        self._hearing: list[Callable[[int], None]] = []
        self._stops = [
            mesh.take(SERVICE, self._take),
            mesh.answer(ASK, self._answer),
            mesh.on_change(self._changed),
        ]
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
        return self._told[home].shards[shard].epoch if home is not None else 0

    def copies_of(self, shard: int) -> tuple[str, ...]:
        """As last told by who wrote it."""
        last = self._last.get(shard)
        return last.copies if last is not None else ()

    async def is_agreed(self, shard: int) -> bool:
        """Whether all linked members know the same home of it."""
        home = self.home_of(shard)
        question = str(shard).encode()
        asked = (self._mesh.request(node, ASK, question, _ASK_S) for node in self._mesh.up)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        told = [answer.decode() for answer in answers if isinstance(answer, bytes)]
        return len(told) == len(answers) and {home} >= {*told, self.home_of(shard)}

    async def _answer(self, node: str, payload: bytes) -> bytes:
        return (self.home_of(int(payload)) or "").encode()

    @property
    def homes(self) -> Mapping[int, str]:
        """By shard, those that have one."""
        return self._homes

    def is_up(self, node: str) -> bool:
        """Whether it is linked."""
        return node in self._mesh.up

    def rests(self, node: str) -> bool:
        """Whether a linked member, or this one, wants to lead nothing."""
        told = self._told.get(node)
        return told is not None and told.rests

    def on_move(self, hear: Callable[[int], None]) -> Callable[[], None]:
        """hear(shard) after its home changed and its queues were rehomed."""
        self._hearing.append(hear)
        return lambda: self._hearing.remove(hear)

    # -- telling ------------------------------------------------------------------------------

    def tell(self, shard: int, written: Written | None) -> None:
        """This node writes it from now on; None: no more."""
        if written is None:
            self._own.shards.pop(shard, None)
        else:
            self._own.shards[shard] = written
        self._mesh.broadcast(SERVICE, self._message())
        self._look((shard,))

    def rest(self, rests: bool) -> None:
        """Whether this node wants to lead nothing."""
        self._own.rests = rests
        self._mesh.broadcast(SERVICE, self._message())

    def _message(self) -> bytes:
        shards = {shard: [one.epoch, *one.copies] for shard, one in self._own.shards.items()}
        return json.dumps([self._own.rests, shards]).encode()

    # -- hearing ------------------------------------------------------------------------------

    def _take(self, node: str, payload: bytes) -> None:
        rests, shards = json.loads(payload)
        told = Told(
            bool(rests),
            {
                int(shard): Written(epoch, tuple(copies))
                for shard, (epoch, *copies) in shards.items()
            },
        )
        before = self._told.get(node, Told())
        self._told[node] = told
        self._look({*before.shards, *told.shards})

    def _changed(self, node: str, is_up: bool) -> None:
        if is_up:
            self._mesh.send(node, SERVICE, self._message())
        else:
            self._look(self._told.pop(node, Told()).shards)

    def _look(self, shards: Iterable[int]) -> None:
        for shard in sorted(shards):
            writers = [
                (told.shards[shard].epoch, node)
                for node, told in self._told.items()
                if shard in told.shards
            ]
            home = max(writers)[1] if writers else None
            if home is not None:
                self._last[shard] = self._told[home].shards[shard]
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
