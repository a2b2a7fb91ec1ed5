"""The shards that this node writes: it takes over those whose logs it leads, and gives them up.

Decides when this node begins to write a shard and when it stops. Never decides who leads a log (the
engine does), what two writers may do (`writer`), or where clients are sent (`whereabouts`).

Taking over: the log is read to its end and fenced, then the queues of the shard live here. Giving
up: when an append of ours meets a newer epoch, or a member tells that it writes in one; never only
because somebody else leads the log, since until that one has begun nobody else serves its queues.
Then the queues are rehomed, and what had not landed goes with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mqd.broker.broker import Broker
from mqd.broker.definitions import QueueDefinition
from mqd.broker.moving import Move
from mqd.broker.ports import SharedStore
from mqd.broker.queues.base import Queue
from mqd.broker.queues.ordered import OrderedQueue
from mqd.broker.vhost import VHost
from mqd.clock import Clock
from mqd.cluster.ports import Engine, NoMajority
from mqd.cluster.shards.log import ShardLog
from mqd.cluster.shards.replay import Replay
from mqd.cluster.shards.shard import Shard
from mqd.cluster.shards.store import ShardStore
from mqd.cluster.shards.upkeep import Upkeep
from mqd.cluster.shards.whereabouts import Whereabouts, Written
from mqd.cluster.shards.writer import Writer
from mqd.errors import MqdError

log = logging.getLogger(__name__)

_PREFIX: Final = "Q"
_AGAIN_S: Final = 0.5  # before a shard that was lost is taken over again by who leads its log
_HAND_OVER_S: Final = 3.0
_ORPHANED_S: Final = 300.0  # after which what no queue asked for belongs to none


def log_of(shard: int) -> str:
    """The name of its log."""
    return f"{_PREFIX}{shard}"


def shard_number(name: str) -> int | None:
    """Inverse of `log_of`; None: it is the log of something else."""
    digits = name.removeprefix(_PREFIX)
    return int(digits) if digits != name and digits.isdecimal() else None


@dataclass(slots=True, eq=False)
class Own:
    """A shard that this node writes, or is about to. began: its queues live here."""

    shard: Shard
    upkeep: Upkeep
    began: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # set when it is not any more
    stores: dict[str, ShardStore] = field(default_factory=dict)  # by vhost
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class Shards:
    """See the file's charter."""

    def __init__(
        self, engine: Engine, broker: Broker, whereabouts: Whereabouts, node: str, clock: Clock
    ) -> None:
        self._engine = engine
        self._broker = broker
        self._whereabouts = whereabouts
        self._node = node
        self._clock = clock
        self._own: dict[int, Own] = {}
        self._rests = False  # takes nothing over that another can lead
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Take over what this node leads, now and from now on."""
        self._broker.shared_store = self.store_of
        self._whereabouts.rest(False)
        self._stops = [
            self._engine.on_leader(self._led),
            self._whereabouts.on_move(self._moved),
        ]
        for name, leader in dict(self._engine.leads).items():
            self._led(name, leader)

    @property
    def own(self) -> Mapping[int, Own]:
        """By number."""
        return self._own

    def store_of(self, vhost: VHost, definition: QueueDefinition) -> SharedStore | None:
        """Where the messages of a queue are that lives here; None when it is in no shard."""
        if definition.shard is None:
            return None
        own = self._own.get(definition.shard)
        if own is None or not own.began:
            return None
        return self._store(own, vhost)

    def _store(self, own: Own, vhost: VHost) -> ShardStore:
        store = own.stores.get(vhost.name)
        if store is None:
            store = own.stores[vhost.name] = ShardStore(
                own.shard, vhost.tickets, self._broker.origin, vhost.turn.end_soon, own.upkeep
            )
        return store

    # -- taking over --------------------------------------------------------------------------

    def _led(self, name: str, leader: str | None) -> None:
        number = shard_number(name)
        if number is None or leader != self._node or number in self._own or self._closed:
            return
        if self._rests:
            self._spawn(self._pass_on(number))
        else:
            self._take(number)

    def _take(self, number: int) -> None:
        if number in self._own or self._closed:
            return
        name = log_of(number)
        clock = self._clock
        flow = self._broker.flow
        shard = Shard(name, lambda: clock.wall_ms() - clock.monotonic_ms(), flow)
        own = self._own[number] = Own(shard, Upkeep(self._engine, shard))
        replay = Replay(name)
        shard.log = ShardLog(
            self._engine,
            name,
            Writer(name, f"{self._node}~{secrets.token_hex(8)}"),
            replay.take,
            partial(self._began, number, own, replay),
            partial(self._landed, own),
            partial(self._lost, number, own),
            lambda: self._engine.leads.get(name) in (self._node, None),
        )

    def _began(self, number: int, own: Own, replay: Replay) -> None:
        own.shard.states = replay.queues
        own.began = True
        own.tasks.append(self._loop.create_task(own.upkeep.run()))
        own.timers.append(self._loop.call_later(_ORPHANED_S, self._drop_orphans, own))
        epoch = own.shard.log.writer.epoch
        log.info(
            "%s: %d frames read, written here in epoch %d", own.shard.name, replay.frames, epoch
        )
        self._bring_home(own)
        self._whereabouts.tell(number, Written(epoch, self._whereabouts.copies_of(number)))

    def _bring_home(self, own: Own) -> None:
        """Messages of queues that are this node's own by now: it ended on the way."""
        for vhost in self._broker.vhosts.values():
            for queue in vhost.queues.values():
                queue_id = queue.definition.id
                if queue_id in own.shard.states and _is_own(queue):
                    store = self._store(own, vhost)
                    found = store.attach(queue_id, lambda message: None)
                    Move(vhost, store, [(message, True) for message in found], queue)

    @staticmethod
    def _landed(own: Own) -> None:
        own.shard.flush()
        own.upkeep.stir()

    def _drop_orphans(self, own: Own) -> None:
        """Messages of queues that there are none of."""
        known = {
            queue.definition.id
            for vhost in self._broker.vhosts.values()
            for queue in vhost.queues.values()
        }
        for queue_id in own.shard.states.keys() - known:
            del own.shard.states[queue_id]
            own.upkeep.deleted(queue_id)

    # -- giving up ----------------------------------------------------------------------------

    def _moved(self, number: int) -> None:
        """Somebody writes it, or nobody."""
        own = self._own.get(number)
        if own is not None and own.began and self._whereabouts.home_of(number) != self._node:
            own.shard.log.close()

    def _lost(self, number: int, own: Own) -> None:
        if self._own.get(number) is not own:
            return
        log.info("%s: written here no more", own.shard.name)
        del self._own[number]
        own.gone.set()
        own.shard.relieve()
        for task in own.tasks:
            task.cancel()
        for timer in own.timers:
            timer.cancel()
        if own.began:
            self._whereabouts.tell(number, None)
        own.shard.proofs.end(own.shard.log.landed)
        if not self._closed:
            self._loop.call_later(_AGAIN_S, self._look_again, number)

    def _look_again(self, number: int) -> None:
        name = log_of(number)
        self._led(name, self._engine.leads.get(name))

    # -- in good order ------------------------------------------------------------------------

    async def hand_over(self) -> None:
        """Others lead what this node leads, where there are any; it takes nothing back until
        `take_back`. Returns when they serve it, or after a while."""
        self._rests = True
        self._whereabouts.rest(True)
        await asyncio.gather(*(self._give(number) for number in list(self._own)))

    def take_back(self) -> None:
        """It may lead again."""
        self._rests = False
        self._whereabouts.rest(False)
        for name, leader in dict(self._engine.leads).items():
            self._led(name, leader)

    async def _give(self, number: int) -> None:
        own = self._own.get(number)
        if own is None:
            return
        await own.shard.log.flush(_HAND_OVER_S / 2)
        if not await self._lead_elsewhere(number):
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(own.gone.wait(), _HAND_OVER_S)

    async def _pass_on(self, number: int) -> None:
        """It came to a node that rests."""
        if not await self._lead_elsewhere(number):
            self._take(number)

    async def _lead_elsewhere(self, number: int) -> bool:
        name = log_of(number)
        try:
            info = await self._engine.info(name)
            for member in info.current:
                # Trying to have one lead that is gone takes the log from those that are there.
                if self._whereabouts.is_up(member) and not self._whereabouts.rests(member):
                    await self._engine.lead(name, member)
                    return True
        except (NoMajority, MqdError) as error:
            log.info("%s: nobody else leads it: %s", name, error)
        return False

    async def stop(self) -> None:
        """Give up what this node writes, in good order, and take nothing more."""
        if self._closed:
            return
        await self.hand_over()
        self.abandon()

    def abandon(self) -> None:
        """The same at once: what has not landed is lost to this node."""
        self._closed = True
        for stop in self._stops:
            stop()
        self._stops = []
        for task in self._tasks:
            task.cancel()
        for own in list(self._own.values()):
            own.shard.log.close()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_own(queue: Queue) -> bool:
    """Of this node, and in no shard."""
    return isinstance(queue, OrderedQueue) and queue.definition.shard is None
