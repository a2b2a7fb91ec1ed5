"""What the service manager is told (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqd.daemon.systemd import Notifier
from tests.waiting import PATIENCE_S


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(str(tmp_path / "notify"))
        receiving.settimeout(PATIENCE_S)
        yield receiving


def test_messages(manager: socket.socket, tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"})
    assert notifier.is_active
    assert notifier.watchdog_s == 15.0
    notifier.status("Starting", extend_s=2)
    notifier.ready("Ready")
    notifier.alive()
    notifier.stopping("Stopping")
    assert [manager.recv(200).decode() for _ in range(4)] == [
        "STATUS=Starting\nEXTEND_TIMEOUT_USEC=2000000",
        "READY=1\nSTATUS=Ready",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=Stopping",
    ]


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind("")  # autobind picks a free abstract name
        name = receiving.getsockname()
        receiving.settimeout(PATIENCE_S)
        Notifier({"NOTIFY_SOCKET": "@" + name[1:].decode()}).ready("x")
        assert receiving.recv(100) == b"READY=1\nSTATUS=x"


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    notifier.ready("x")
    assert not notifier.is_active
    assert notifier.watchdog_s == 0.0


def test_a_manager_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
