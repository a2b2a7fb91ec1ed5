"""What administration asks of the shards: the port `mqd.cluster.fanout.copies.ClusterQueues`.

Decides who is asked: a member without an engine, or one that does not write the shard, asks the one
that does, over the link. Never decides what is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mqd.broker.definitions import QueueDefinition
from mqd.cluster.fanout.copies import Copies, Copy
from mqd.cluster.ports import Engine, Mesh, NoMajority, PeerDown
from mqd.cluster.shards.reconciler import Reconciler
from mqd.cluster.shards.shards import Shards, log_of
from mqd.cluster.shards.whereabouts import Whereabouts
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member

SERVICE: Final = "shards.ask"
_ANSWER_S: Final = 5.0


class ShardQueues:
    """See the file's charter."""

    def __init__(
        self, mesh: Mesh, whereabouts: Whereabouts, members: Callable[[], Mapping[str, Member]]
    ) -> None:
        self._mesh = mesh
        self._whereabouts = whereabouts
        self._members = members
        self._engine: Engine | None = None
        self._shards: Shards | None = None
        self._reconciler: Reconciler | None = None
        self._stop = mesh.answer(SERVICE, self._answer)

    def use(
        self, engine: Engine | None, shards: Shards | None, reconciler: Reconciler | None
    ) -> None:
        """What this member has; None: it has none."""
        self._engine, self._shards, self._reconciler = engine, shards, reconciler

    def stir(self) -> None:
        """Members came or went."""
        if self._reconciler is not None:
            self._reconciler.stir()

    def close(self) -> None:
        """Answer nobody any more."""
        self._stop()

    # -- the port -----------------------------------------------------------------------------

    def copies(self, queue: QueueDefinition) -> Copies:
        shard = self._shard(queue)
        leader = self._whereabouts.home_of(shard)
        copies = set(self._whereabouts.copies_of(shard))
        if not copies:
            copies = {name for name in self._members() if self.may_hold(name)}
        if leader is not None:
            copies.add(leader)
        running = {self._mesh.node, *self._mesh.up}
        members = sorted(copies, key=lambda name: (name != leader, name))
        return Copies(leader, members, [name for name in members if name in running])

    async def look(self, queue: QueueDefinition) -> Sequence[Copy]:
        found = self.copies(queue)
        try:
            told = await self._ask_home(queue, {"look": self._shard(queue)})
        except MqdError:
            told = {"last": 0, "epoch": 0, "have": {}}
        return [
            Copy(
                name,
                "leader" if name == found.leader else "follower",
                index := told["have"].get(name, 0),
                index,
                told["epoch"],
            )
            if name in found.online  # one whose copy is being made is a follower as well
            else Copy(name, "noproc")
            for name in found.members
        ]

    def may_hold(self, node: str) -> bool:
        member = self._members().get(node)
        return member is not None and member.kind == "disc"

    async def lead(self, queue: QueueDefinition, node: str) -> None:
        await self._ask_home(queue, {"lead": [self._shard(queue), node]})

    async def rebalance(self) -> None:
        if self._reconciler is not None:
            await self._spread()
            return
        for node in self._mesh.up:
            if self.may_hold(node):
                await self._ask(node, {"rebalance": True})
                return

    async def hand_over(self) -> None:
        if self._shards is not None:
            await self._shards.hand_over()

    def take_back(self) -> None:
        if self._shards is not None:
            self._shards.take_back()

    # -- asking -------------------------------------------------------------------------------

    @staticmethod
    def _shard(queue: QueueDefinition) -> int:
        assert queue.shard is not None, "a queue that is in no shard has no copies"
        return queue.shard

    async def _ask_home(self, queue: QueueDefinition, question: dict[str, Any]) -> Any:
        home = self._whereabouts.home_of(self._shard(queue))
        if home is None:
            raise MqdError(ErrorCode.UNAVAILABLE, f"no member leads {queue.resource} now")
        return await self._ask(home, question)

    async def _ask(self, node: str, question: dict[str, Any]) -> Any:
        if node == self._mesh.node:
            return await self._do(question)
        payload = json.dumps(question).encode()
        try:
            return json.loads(await self._mesh.request(node, SERVICE, payload, _ANSWER_S))
        except (PeerDown, TimeoutError):
            raise MqdError(ErrorCode.UNAVAILABLE, f"{node} does not answer") from None

    async def _answer(self, node: str, payload: bytes) -> bytes:
        return json.dumps(await self._do(json.loads(payload))).encode()

    async def _do(self, question: dict[str, Any]) -> Any:
        if self._engine is None:
            raise MqdError(ErrorCode.UNAVAILABLE, f"{self._mesh.node} has no logs")
        try:
            match question:
                case {"look": shard}:
                    info = await self._engine.info(log_of(shard))
                    epoch = self._whereabouts.epoch_of(shard)
                    have = {name: max(info.last_seq - lag, 0) for name, lag in info.lags.items()}
                    have |= dict.fromkeys(info.current, info.last_seq)
                    return {"last": info.last_seq, "epoch": epoch, "have": have}
                case {"lead": [shard, member]}:
                    await self._engine.lead(log_of(shard), member)
                case _:
                    await self._spread()
        except NoMajority as error:
            raise MqdError(ErrorCode.UNAVAILABLE, f"the logs have no majority: {error}") from None
        return {}

    async def _spread(self) -> None:
        if self._reconciler is not None:
            try:
                await self._reconciler.spread()
            except NoMajority as error:
                raise MqdError(ErrorCode.UNAVAILABLE, str(error)) from None
