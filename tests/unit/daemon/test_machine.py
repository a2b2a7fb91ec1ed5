"""What the machine has, against what it says elsewhere."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from mqd.daemon import machine


def test_memory_is_plausible() -> None:
    total = machine.memory_total_bytes()
    assert 0 < total <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1_000_000 < machine.memory_used_bytes() < total


def test_disc_space_is_what_the_file_system_says(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert machine.disk_free_bytes(tmp_path) <= found.f_blocks * found.f_frsize


def test_an_open_file_more_is_counted() -> None:
    before = machine.open_files()
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert machine.open_files() == before + 1
    finally:
        os.close(descriptor)


def test_a_limit_somebody_set_stays() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        machine.raise_open_files_limit()
        assert machine.open_files_limit() == 1000
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        machine.raise_open_files_limit()
        assert machine.open_files_limit() == (65_536 if hard < 0 else min(65_536, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_every_control_group_above_ours_limits_memory(tmp_path: Path) -> None:
    mounted, own = tmp_path / "fs", tmp_path / "own"
    (mounted / "a.slice" / "mqd.service").mkdir(parents=True)
    (mounted / "memory" / "x").mkdir(parents=True)
    unlimited = machine.memory_total_bytes(mounted, own)
    own.write_text("0::/a.slice/mqd.service\n5:cpu,memory:/x\n")
    (mounted / "a.slice" / "memory.max").write_text("max\n")
    assert machine.memory_total_bytes(mounted, own) == unlimited
    (mounted / "a.slice" / "memory.max").write_text("300000\n")
    assert machine.memory_total_bytes(mounted, own) == 300_000
    (mounted / "a.slice" / "mqd.service" / "memory.max").write_text("200000\n")
    assert machine.memory_total_bytes(mounted, own) == 200_000
    (mounted / "memory" / "x" / "memory.limit_in_bytes").write_text("100000\n")
    assert machine.memory_total_bytes(mounted, own) == 100_000


def test_the_host_has_its_canonical_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"con1": ("con1.example.org", ["con1"], ["192.0.2.1"])}

    def ask(name: str) -> tuple[str, list[str], list[str]]:
        if name not in found:
            raise OSError("unknown")
        return found[name]

    monkeypatch.setattr(machine.socket, "gethostbyname_ex", ask)
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "con1")
    assert machine.host_name() == "con1.example.org"
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "con9")
    assert machine.host_name() == "con9"
