"""Rates: what was counted, every few seconds, while the plugin runs.

Theory. Nothing on the way of a message counts for this: at each sample the totals that the broker
has anyway are read off, in slices, and two of them make a rate. Of the whole node an hour is kept,
of single objects the last samples only (an object that did not change shares its sample with the
one before). Births and deaths are heard of as events. Without the plugin none of this runs.

Decides what is sampled and what a `_details` object says. Never decides which keys an answer has.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mqd import limits
from mqd.admin.context import NodeControl
from mqd.broker.broker import Broker
from mqd.broker.events import Facts
from mqd.broker.queues.counts import NOTHING
from mqd.broker.snapshots import channel_counts, connection_counts, queue_counts
from mqd.config.management import ManagementSettings

Json = Any

_TOTALS_KEPT_S: Final = 3600
_OBJECTS_KEPT: Final = 5

CHURN: Final = {
    "connection.created": "connection_created",
    "connection.closed": "connection_closed",
    "channel.created": "channel_created",
    "channel.closed": "channel_closed",
    "queue.created": "queue_created",
    "queue.deleted": "queue_deleted",
}

LENGTHS: Final = ("messages_ready", "messages_unacknowledged")
_OF_QUEUES: Final = frozenset(NOTHING)
_OF_CONNECTIONS: Final = frozenset(("recv_oct", "send_oct"))
_OF_CHANNELS: Final = frozenset(("confirm",))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """What age and incr ask for, in seconds."""

    age_s: int
    step_s: int


def window_of(query: Mapping[str, str], kind: str) -> Window | None:
    """kind: msg_rates, lengths, data_rates, node_stats. None: the rate alone."""
    try:
        age, step = int(query[f"{kind}_age"]), int(query[f"{kind}_incr"])
    except (KeyError, ValueError):
        return None
    return Window(age, step) if 0 < step <= age <= _TOTALS_KEPT_S * 24 else None


Sample = tuple[int, Mapping[str, int]]  # wall clock, ms; what was counted


class Samples:
    """Of one node. Totals grow as long as the plugin runs: what an object that goes had counted
    stays in them."""

    def __init__(self, node: NodeControl, settings: ManagementSettings) -> None:
        self._node = node
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = _nothing
        self._churn = dict.fromkeys([*CHURN.values(), "queue_declared"], 0)
        self._grown: dict[str, int] = {}
        self._grown_in: dict[str, dict[str, int]] = {}  # by vhost
        kept = max(2, _TOTALS_KEPT_S * 1000 // settings.interval_ms)
        self._totals: deque[Sample] = deque(maxlen=min(kept, _TOTALS_KEPT_S))
        self._objects: deque[tuple[int, dict[str, Mapping[str, int]]]] = deque(maxlen=_OBJECTS_KEPT)

    # -- sampling -----------------------------------------------------------------------------

    def start(self) -> None:
        """From now on."""
        broker = self._node.broker
        if broker is not None:
            self._unsubscribe = broker.events.subscribe(self._hear)
        if self._settings.stats:
            self._task = asyncio.get_running_loop().create_task(self._sample_for_ever())

    def stop(self) -> None:
        """Forget everything."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._unsubscribe()
        self.reset()

    def reset(self) -> None:
        """Start from nothing."""
        self._totals.clear()
        self._objects.clear()
        self._grown.clear()
        self._grown_in.clear()
        self._churn = dict.fromkeys(self._churn, 0)

    def _hear(self, event: str, _facts: Facts) -> None:
        name = CHURN.get(event)
        if name is not None:
            self._churn[name] += 1
            if name == "queue_created":
                self._churn["queue_declared"] += 1

    async def _sample_for_ever(self) -> None:
        works = True
        while True:
            try:
                await self.sample()
                works = True
            except Exception:  # noqa: BLE001 - the next one may work; the first is told of
                if works:
                    _log.exception("statistics could not be sampled")
                works = False
            await asyncio.sleep(self._settings.interval_ms / 1000)

    async def sample(self) -> None:
        """Once, now."""
        broker = self._node.broker
        if broker is None:
            return
        before = self._objects[-1][1] if self._objects else {}
        is_first = not self._objects
        now: dict[str, Mapping[str, int]] = {}
        lengths: dict[str, dict[str, int]] = {}
        for count, (pid, vhost, found, summed) in enumerate(_counted(broker)):
            last = before.get(pid)
            same = last is not None and last == found
            now[pid] = last if same and last is not None else found
            sums = lengths.setdefault(vhost, dict.fromkeys(LENGTHS, 0))
            for name in LENGTHS if summed is _OF_QUEUES else ():
                sums[name] += found[name]
            if not same and not is_first:
                self._grow(vhost, found, last or {}, summed)
            if count % limits.HTTP_ROWS == limits.HTTP_ROWS - 1:
                await asyncio.sleep(0)
        for vhost in broker.vhosts:
            sums = lengths.get(vhost, dict.fromkeys(LENGTHS, 0))
            now[of_vhost(vhost)] = {**self._grown_in.get(vhost, {}), **sums}
        for vhost in self._grown_in.keys() - broker.vhosts.keys():
            del self._grown_in[vhost]
        total = {name: sum(sums[name] for sums in lengths.values()) for name in LENGTHS}
        total["messages"] = sum(total.values())
        at = self._node.clock.wall_ms()
        self._objects.append((at, now))
        self._totals.append((at, {**self._grown, **total, **self._churn, **self._machine()}))

    def _grow(
        self,
        vhost: str,
        found: Mapping[str, int],
        last: Mapping[str, int],
        summed: frozenset[str],
    ) -> None:
        inside = self._grown_in.setdefault(vhost, {})
        for name in summed:
            grown = found.get(name, 0) - last.get(name, 0)
            if grown > 0:
                self._grown[name] = self._grown.get(name, 0) + grown
                inside[name] = inside.get(name, 0) + grown

    def _machine(self) -> dict[str, int]:
        files = self._node.file_descriptors()
        return {
            "fd_used": files.used,
            "sockets_used": files.sockets_used,
            "mem_used": self._node.memory().total_bytes,
            "disk_free": self._node.disk().free_bytes,
            **running(),
        }

    # -- what they tell -----------------------------------------------------------------------

    def totals(self) -> Mapping[str, int]:
        """Of the last sample, but births and deaths of now."""
        last = self._totals[-1][1] if self._totals else {}
        return {**last, **self._churn}

    def in_vhost(self, vhost: str) -> Mapping[str, int]:
        """Of the last sample."""
        return self._objects[-1][1].get(of_vhost(vhost), {}) if self._objects else {}

    def of_total(self, name: str, window: Window | None = None) -> Json:
        """The `_details` of a total."""
        return self._details([(at, found.get(name, 0)) for at, found in self._totals], window)

    def of_object(self, pid: str, name: str, window: Window | None = None) -> Json:
        """The `_details` of a count of a queue, connection or channel."""
        series = [(at, found[pid].get(name, 0)) for at, found in self._objects if pid in found]
        return self._details(series, window)

    def _details(self, series: list[tuple[int, int]], window: Window | None) -> Json:
        found: dict[str, Json] = {"rate": _rate(series[-2:])}
        if window is not None and series:
            found |= _history(series, window)
        return found


def _nothing() -> None:
    """It hears nothing yet."""


def _rate(pair: list[tuple[int, int]]) -> float:
    if len(pair) < 2 or pair[1][0] <= pair[0][0]:
        return 0.0
    return round((pair[1][1] - pair[0][1]) * 1000 / (pair[1][0] - pair[0][0]), 4)


def _history(series: list[tuple[int, int]], window: Window) -> dict[str, Json]:
    """Samples from the newest back, at the asked steps, as far as they are kept."""
    newest = series[-1][0]
    chosen: list[tuple[int, int]] = []
    due = newest
    for at, value in reversed(series):
        if at <= due:
            chosen.append((at, value))
            due = at - window.step_s * 1000
        if newest - at >= window.age_s * 1000:
            break
    span = [chosen[-1], chosen[0]]
    return {
        "avg": sum(value for _, value in chosen) / len(chosen),
        "avg_rate": _rate(span),
        "samples": [{"sample": value, "timestamp": at} for at, value in chosen],
    }


def of_vhost(name: str) -> str:
    """Under which the sums of a vhost are kept, among pids."""
    return f"vhost {name}"


def running() -> dict[str, int]:
    """What the process does beside its memory and files."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "proc_used": len(asyncio.all_tasks()),
        "context_switches": usage.ru_nvcsw + usage.ru_nivcsw,
        "gc_num": sum(one["collections"] for one in gc.get_stats()),
    }


def _counted(broker: Broker) -> Iterator[tuple[str, str, dict[str, int], frozenset[str]]]:
    """Every object with its vhost, counts, and which of these make totals; those that go meanwhile
    may be among them. Channels and queues count the same deliveries: they are summed once."""
    for vhost in list(broker.vhosts.values()):
        for queue in list(vhost.queues.values()):
            if not queue.is_remote:
                yield queue.pid, vhost.name, queue_counts(queue), _OF_QUEUES
    for entry in list(broker.connections.values()):
        name = entry.vhost.name
        yield entry.pid, name, connection_counts(entry), _OF_CONNECTIONS
        for channel in list(entry.channels.values()):
            yield channel.pid, name, channel_counts(channel), _OF_CHANNELS
