"""Who listens."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mqd.daemon.checkup import ports

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
ROW = "   0: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1\n"


def test_rows_of_proc(tmp_path: Path) -> None:
    rows = ROW.format("0100007F:1628", "0A", 77) + ROW.format("0100007F:1629", "01", 78)
    (tmp_path / "tcp").write_text(HEAD + rows)
    (tmp_path / "tcp6").write_text(
        HEAD + ROW.format("00000000000000000000000001000000:1628", "0A", 79)
    )
    assert list(ports.listeners(tmp_path)) == [("127.0.0.1", 5672, "77"), ("::1", 5672, "79")]


@pytest.mark.parametrize(
    ("wanted", "there", "is_taken"),
    [
        ("::", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("[::1]", "::1", True),
    ],
)
def test_which_addresses_meet(wanted: str, there: str, is_taken: bool) -> None:
    assert ports._meet(wanted, there) is is_taken


def test_a_port_of_ours() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        (free,) = ports.facts([("127.0.0.1", port, "amqp")])
        assert not free.is_listened
        one.listen()
        (taken,) = ports.facts([("::", port, "amqp")])
    assert (taken.is_listened, taken.holder_pid) == (True, os.getpid())
    assert taken.holder_name


def test_an_address_of_another_machine() -> None:
    (found,) = ports.facts([("192.0.2.1", 5672, "amqp")])
    assert found.trouble == "Cannot assign requested address"


def test_nobody_holds_nothing() -> None:
    assert ports.holder("0") == 0
    assert ports.process_name(0) == ""
