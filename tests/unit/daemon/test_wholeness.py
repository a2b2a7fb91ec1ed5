"""What a member knows of its copies of quorum queues' logs, and remembers when it is down."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from mqd.cluster.ports import Engine, LogInfo, NoMajority
from mqd.daemon.remembered import Remembered, remembered
from mqd.daemon.wholeness import Wholeness
from mqd.metadata.store import MetadataStore

LOGS = ("Q0", "Q1", "Q2")


class Answers:
    """An engine of which only `info` is asked. has: whether a log's leader counts this member's
    copy as whole; None: it has no leader; a log that is not there has no majority."""

    def __init__(self, has: dict[str, bool | None]) -> None:
        self.has = has

    @property
    def leads(self) -> dict[str, str | None]:
        return {"META": "b", **dict.fromkeys(self.has, "b")}

    async def info(self, log: str) -> LogInfo:
        if log not in self.has:
            raise NoMajority(log)
        is_whole = self.has[log]
        return LogInfo(1, 9, None if is_whole is None else "b", 3, ("b", "a") if is_whole else ())


def wholeness(folder: Path, engine: Answers | None, used: tuple[str, ...] = LOGS) -> Wholeness:
    queues = {log: SimpleNamespace(shard=int(log[1:])) for log in used}
    store = SimpleNamespace(state=SimpleNamespace(queues=queues))
    return Wholeness(
        folder,
        "a",
        cast("MetadataStore", store),
        lambda: cast("Engine | None", cast("Any", engine)),
    )


def told(folder: Path) -> tuple[str, ...]:
    found = remembered(folder)
    return found.lacks if found is not None else ()


def test_until_it_is_known_nothing_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    assert remembered(folder) is None
    whole = wholeness(folder, None)
    assert list(whole.lacks) == list(LOGS)
    asyncio.run(whole.look())
    assert list(whole.lacks) == list(LOGS) == list(told(folder))


def test_where_no_queue_is_in_a_log_nothing_is_written(tmp_path: Path) -> None:
    whole = wholeness(tmp_path / "engine", None, ())
    asyncio.run(whole.look())
    assert not (tmp_path / "engine").exists()


def test_it_is_remembered_and_only_logs_with_queues_are_told_of(tmp_path: Path) -> None:
    whole = wholeness(tmp_path, Answers({"Q0": True, "Q1": False, "Q2": False}), ("Q0", "Q2"))
    asyncio.run(whole.look())
    assert list(whole.lacks) == ["Q2"]
    assert told(tmp_path) == ("Q1", "Q2")
    assert list(wholeness(tmp_path, None).lacks) == ["Q1", "Q2"]


def test_members_that_go_down_first_take_nothing_from_those_that_are_left(tmp_path: Path) -> None:
    """A power cut: whoever is last has whole copies and cannot ask anybody any more."""
    engine = Answers(dict.fromkeys(LOGS, True))
    whole = wholeness(tmp_path, engine)
    asyncio.run(whole.look())
    engine.has = {"Q0": None}
    asyncio.run(whole.look())
    assert told(tmp_path) == () == tuple(whole.lacks)


def test_when_it_ran_last_is_the_time_of_the_file(tmp_path: Path) -> None:
    async def runs() -> None:
        whole = wholeness(tmp_path, Answers(dict.fromkeys(LOGS, True)))
        await whole.look()
        os.utime(tmp_path / "lacks", (1000, 1000))
        assert remembered(tmp_path) == Remembered((), 1_000_000)
        whole.begin()
        whole.close()
        found = remembered(tmp_path)
        assert found is not None
        assert found.at_ms > 1_000_000

    asyncio.run(runs())


_SAID = st.sampled_from((True, False, None, "gone"))


@given(looks=st.lists(st.fixed_dictionaries(dict.fromkeys(LOGS, _SAID)), min_size=1))
def test_the_last_who_could_tell_is_believed(
    looks: list[dict[str, bool | str | None]], tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("engine")
    engine = Answers({})
    whole = wholeness(folder, engine)
    expected = dict.fromkeys(LOGS, False)
    for said in looks:
        engine.has = {log: cast("bool | None", has) for log, has in said.items() if has != "gone"}
        asyncio.run(whole.look())
        expected |= {log: has for log, has in said.items() if isinstance(has, bool)}
        assert list(whole.lacks) == [log for log in LOGS if not expected[log]]
        assert set(told(folder)) == set(whole.lacks)
