"""When publishers are blocked for want of memory or disc space."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from mqd.config.settings import ResourceSettings
from mqd.daemon import alarms, machine
from mqd.daemon.alarms import Alarms, disk_interval_s


class Machine:
    """What the machine would say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used, self.free, self.total = 100, 1000, 1000
        monkeypatch.setattr(machine, "memory_used_bytes", lambda: self.used)
        monkeypatch.setattr(machine, "memory_total_bytes", lambda: self.total)
        monkeypatch.setattr(machine, "disk_free_bytes", lambda _directory: self.free)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def watching(settings: ResourceSettings) -> tuple[Alarms, list[tuple[str, bool]]]:
    told: list[tuple[str, bool]] = []
    return Alarms("n@h", Path(), settings, lambda *news: told.append(news)), told


def test_memory_above_the_watermark_is_told_once_and_cleared(
    host: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    watch, told = watching(ResourceSettings(memory_relative=0.4))
    watch.check_memory()
    host.used = 401
    with caplog.at_level(logging.INFO, alarms.__name__):
        watch.check_memory()
        watch.check_memory()
        host.used = 400
        watch.check_memory()
    assert told == [("memory", True), ("memory", False)]
    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == "vm_memory_high_watermark set. Memory used:401 allowed:400"
    assert texts[1].startswith("memory resource limit alarm set on node n@h.\n\n*****")
    assert texts[-1] == "memory resource limit alarm cleared across the cluster"


def test_a_watermark_of_nothing_blocks_everybody(host: Machine) -> None:
    watch, told = watching(ResourceSettings(memory_relative=0.0))
    host.used = 0
    watch.check_memory()
    assert told == [("memory", True)]


def test_an_absolute_watermark_and_one_set_at_run_time(host: Machine) -> None:
    watch, told = watching(ResourceSettings(memory_relative=None, memory_absolute_bytes=150))
    assert watch.memory_limit_bytes == 150
    watch.set_memory_watermark(0.05, 0)
    assert watch.memory_limit_bytes == 50
    assert told == [("memory", True)]


def test_disc_space_below_the_limit(host: Machine) -> None:
    watch, told = watching(ResourceSettings(disk_absolute_bytes=1000))
    watch.check_disk()
    host.free = 999
    watch.check_disk()
    watch.set_disk_limit(500)
    assert told == [("disk", True), ("disk", False)]


def test_disc_space_that_nobody_looks_at_sets_no_alarm(host: Machine) -> None:
    watch, told = watching(ResourceSettings(disk_absolute_bytes=1000))
    host.free = 1
    watch.check_disk()
    watch.watch_disk(False)
    watch.check_disk()
    assert told == [("disk", True), ("disk", False)]
    watch.watch_disk(True)
    assert told[2:] == [("disk", True)]


def test_a_limit_relative_to_memory(host: Machine) -> None:
    watch, _ = watching(ResourceSettings(disk_relative=1.5))
    assert watch.disk_limit_bytes == 1500
    assert host.total == 1000


def test_a_disc_that_may_soon_be_full_is_looked_at_more_often() -> None:
    assert disk_interval_s(50_000_000, 50_000_000) == 0.1
    assert disk_interval_s(10**12, 50_000_000) == 10.0
    assert disk_interval_s(550_000_000, 50_000_000) == 1.0


def test_it_looks_at_once_and_stops_when_told(host: Machine) -> None:
    async def scenario() -> None:
        watch, told = watching(ResourceSettings(disk_absolute_bytes=5000))
        watch.start()
        assert told == [("disk", True)]
        watch.stop()
        assert watch._timers == {}

    asyncio.run(scenario())
    assert host.free == 1000


def test_a_data_directory_that_is_gone_counts_as_full(
    host: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(directory: Path) -> int:
        raise FileNotFoundError(2, "No such file or directory", str(directory))

    watch, told = watching(ResourceSettings(disk_absolute_bytes=0))
    monkeypatch.setattr(machine, "disk_free_bytes", gone)
    watch.check_disk()
    watch.check_disk()
    monkeypatch.setattr(machine, "disk_free_bytes", lambda _directory: host.free)
    watch.check_disk()
    assert told == [("disk", True), ("disk", False)]
    assert caplog.text.count("cannot be told") == 1


def test_backlogs_are_told_what_they_may_have_at_every_look(host: Machine) -> None:
    told: list[tuple[int, int]] = []
    settings = ResourceSettings(memory_relative=0.4, paging_ratio=0.5)
    watch = Alarms(
        "n@h", Path(), settings, lambda *_: None, lambda limit, spare: told.append((limit, spare))
    )
    watch.check_memory()
    host.used = 380  # under the watermark, but backlogs have to give back
    watch.check_memory()
    watch.set_memory_watermark(0.1, 0)
    assert told == [(200, 260), (200, -20), (50, -290)]
