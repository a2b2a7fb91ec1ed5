"""Names, clock, swap, unit."""

from __future__ import annotations

import os
import threading

import pytest

from mqd.daemon.checkup import surroundings


def test_names_of_this_machine() -> None:
    found = surroundings.names("localhost")
    assert found.is_local
    assert {"127.0.0.1", "::1"} & set(found.addresses)


def test_a_name_of_nobody() -> None:
    found = surroundings.names("nobody.invalid")
    assert list(found.addresses) == []
    assert found.trouble
    assert not found.is_local


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.1.1", True), ("::1", True), ("192.0.2.1", False)]
)
def test_local_addresses(address: str, local: bool) -> None:
    assert surroundings.is_local(address) is local


def test_what_is_too_slow_is_left_behind() -> None:
    never = threading.Event()
    with pytest.raises(surroundings.TooSlow):
        surroundings.within(0.01, never.wait)
    never.set()
    with pytest.raises(ZeroDivisionError):
        surroundings.within(5, lambda: 1 // 0)


def test_the_clock() -> None:
    found = surroundings.clock(5)
    assert found.newest_file_ms == 5
    assert found.now_ms > 1_700_000_000_000


def test_swap() -> None:
    own, used, total = surroundings.swap(os.getpid())
    assert own <= used <= total or total == 0
    assert surroundings.swap(0)[0] == 0


SHOWN = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "Result": "success",
    "MainPID": "70",
    "NRestarts": "2",
    "LimitNOFILE": "65536",
}


@pytest.mark.parametrize(
    ("pid", "is_system", "ours"),
    [(70, False, True), (71, True, False), (0, True, True), (0, False, False)],
)
def test_a_unit(pid: int, is_system: bool, ours: bool) -> None:
    found = surroundings.unit_facts(SHOWN, pid, is_system)
    assert (found.unit, found.active, found.restarts) == ("mqd.service", "active", 2)
    assert found.open_files_limit == 65_536
    assert found.is_ours is ours


def test_no_unit() -> None:
    assert surroundings.unit_facts({"LoadState": "not-found"}, 0, True).unit == ""


def test_a_limit_that_is_none() -> None:
    found = surroundings.unit_facts(SHOWN | {"LimitNOFILE": "18446744073709551615"}, 0, True)
    assert found.open_files_limit == 2**62
