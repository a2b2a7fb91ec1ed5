"""Looks at memory and free disc space and raises the broker's alarms.

Decides thresholds and when to look again; texts are RabbitMQ's (observed: 3.10.8). Never stops a
publisher: `Broker.set_alarm` does. Runs on timers of the loop, so it needs no task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from mqd.config.settings import ResourceSettings
from mqd.daemon import machine

_log = logging.getLogger(__name__)

# RabbitMQ's disc monitor looks between every 100 ms and every 10 s, by how soon the disc could be
# full if somebody wrote 250 MB a second (rabbit_disk_monitor).
_FASTEST_WRITE_BYTES_PER_S = 250_000_000
_DISK_INTERVAL_MIN_S = 0.1
_DISK_INTERVAL_MAX_S = 10.0

SetAlarm = Callable[[str, bool], None]
ShareMemory = Callable[[int, int], None]

# Of the watermark: above it backlogs give memory back, before publishers have to wait for it.
_COMFORTABLE = 0.9


def _keep(limit_bytes: int, spare_bytes: int) -> None:
    """Until somebody wants to know how much of the memory is used."""


class Alarms:
    """The two alarms of one node. Limits may be changed at run time.

    share is told at each look at the memory what backlogs may have at most, and how much more may
    be used now (less, below 0)."""

    def __init__(
        self,
        node: str,
        directory: Path,
        settings: ResourceSettings,
        set_alarm: SetAlarm,
        share: ShareMemory = _keep,
    ) -> None:
        self._node = node
        self._directory = directory
        self._set_alarm = set_alarm
        self._share = share
        self._use_memory(settings)
        self._use_disk(settings)
        self.watches_disk = True
        self.is_on_elsewhere: Callable[[str], bool] = lambda name: False  # on another member
        self._on: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def _use_memory(self, settings: ResourceSettings) -> None:
        self._memory_interval_s = settings.memory_interval_ms / 1000
        self.memory_total_bytes = settings.memory_total_bytes or machine.memory_total_bytes()
        self.memory_fraction = settings.memory_relative or 0.0
        self.memory_absolute_bytes = settings.memory_absolute_bytes
        self._paging_ratio = settings.paging_ratio

    def _use_disk(self, settings: ResourceSettings) -> None:
        if settings.disk_relative is not None:
            self.disk_limit_bytes = int(settings.disk_relative * self.memory_total_bytes)
        else:
            self.disk_limit_bytes = settings.disk_absolute_bytes

    def use_memory(self, settings: ResourceSettings) -> None:
        """Of a configuration that was read again."""
        self._use_memory(settings)
        if self._timers:
            self.check_memory()

    def use_disk(self, settings: ResourceSettings) -> None:
        """The same for the disc."""
        self._use_disk(settings)
        if self._timers:
            self.check_disk()

    @property
    def memory_limit_bytes(self) -> int:
        """Above it the memory alarm is on."""
        return self.memory_absolute_bytes or int(self.memory_fraction * self.memory_total_bytes)

    @property
    def backlog_limit_bytes(self) -> int:
        """What the messages that wait in queues may have of it (RabbitMQ: paging ratio)."""
        return int(self.memory_limit_bytes * self._paging_ratio)

    def start(self) -> None:
        """Look now, and from now on."""
        self._watch_memory()
        self._watch_disk()

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def set_memory_watermark(self, fraction: float, absolute_bytes: int) -> None:
        self.memory_fraction = fraction
        self.memory_absolute_bytes = absolute_bytes
        self.check_memory()

    def set_disk_limit(self, limit_bytes: int) -> None:
        self.disk_limit_bytes = limit_bytes
        self.check_disk()

    def watch_disk(self, on: bool) -> None:
        """Whether free space is looked at; where it is not, there is no alarm of it."""
        self.watches_disk = on
        if on:
            self.check_disk()
        elif self._change("disk", False):
            self._tell("disk")

    def check_memory(self) -> None:
        used, limit = machine.memory_used_bytes(), self.memory_limit_bytes
        if used > limit:  # what the allocator only keeps for later is not needed now
            machine.give_back_freed_memory()
            used = machine.memory_used_bytes()
        self._share(self.backlog_limit_bytes, int(limit * _COMFORTABLE) - used)
        if self._change("memory", used > limit or limit == 0):
            state = "set" if "memory" in self._on else "clear"
            _log.info("vm_memory_high_watermark %s. Memory used:%d allowed:%d", state, used, limit)
            self._tell("memory")

    def check_disk(self) -> int:
        """Returns the free bytes. None are free where they cannot be asked for: publishers wait
        rather than lose what they publish."""
        try:
            free = machine.disk_free_bytes(self._directory)
        except OSError as error:
            if "disk" not in self._on:
                _log.error("free disk space of %s cannot be told: %s", self._directory, error)
            free = -1
        if self.watches_disk and self._change("disk", free < self.disk_limit_bytes):
            word = "insufficient" if "disk" in self._on else "sufficient"
            text = "Free disk space is %s. Free bytes: %d. Limit: %d"
            _log.info(text, word, free, self.disk_limit_bytes)
            self._tell("disk")
        return free

    def _change(self, name: str, on: bool) -> bool:
        """Whether that is news."""
        if (name in self._on) == on:
            return False
        self._on ^= {name}
        return True

    def _tell(self, name: str) -> None:
        on = name in self._on
        if on:
            from mqd.cluster.fanout.standings import BANNER  # not at the start of a node alone

            _log.warning(BANNER, name, self._node)
        else:
            _log.warning("%s resource limit alarm cleared on node %s", name, self._node)
        self._set_alarm(name, on)
        if not on and not self.is_on_elsewhere(name):
            _log.warning("%s resource limit alarm cleared across the cluster", name)

    def _watch_memory(self) -> None:
        self.check_memory()
        self._again("memory", self._memory_interval_s, self._watch_memory)

    def _watch_disk(self) -> None:
        free = self.check_disk()
        self._again("disk", disk_interval_s(free, self.disk_limit_bytes), self._watch_disk)

    def _again(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(delay_s, callback)


def disk_interval_s(free_bytes: int, limit_bytes: int) -> float:
    """When free space is worth another look: half the time in which it could be used up."""
    soonest_s = abs(free_bytes - limit_bytes) / _FASTEST_WRITE_BYTES_PER_S / 2
    return min(max(soonest_s, _DISK_INTERVAL_MIN_S), _DISK_INTERVAL_MAX_S)
