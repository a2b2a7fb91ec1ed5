"""What is secret is in one file, for its user alone; what may be run is checked."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from pathlib import Path

import pytest

from mqd.cluster.engine import binary
from mqd.errors import MqdError
from tests.cluster.engine.nodes import nodes


def passwords(config: dict[str, object]) -> list[str]:
    accounts = config["accounts"]
    assert isinstance(accounts, dict)
    return [user["password"] for account in accounts.values() for user in account["users"]]


def test_secrets_are_in_no_log_and_on_no_command_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def run() -> list[str]:
        async with nodes(tmp_path, 2) as cluster:
            a, _ = await cluster.found()
            await a.create("META", replicas=2)
            config = tmp_path / "rabbit@a" / "engine" / "nats-server.json"
            assert stat.S_IMODE(config.stat().st_mode) == 0o600
            assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
            found = passwords(json.loads(config.read_text()))
            assert not any(each in shown(a.pid) for each in found)
            await cluster.stop("rabbit@a")
            assert not config.exists()
            return found

    found = asyncio.run(run())
    assert len(set(found)) == 3
    assert "nats-server: " in caplog.text
    assert not any(each in caplog.text for each in found)


def shown(pid: int | None) -> str:
    """What others on this host may see of a process."""
    folder = Path("/proc") / str(pid)
    return (folder / "cmdline").read_text() + (folder / "environ").read_text()


def script(folder: Path, says: str) -> str:
    path = folder / "nats-server"
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("echo nats-server: v2.9.10", "2.15 or later"),
        ("echo something else", "2.15 or later"),
        ("exit 3", "cannot be run"),
    ],
)
def test_a_server_that_will_not_do_is_refused(tmp_path: Path, says: str, reason: str) -> None:
    with pytest.raises(MqdError, match=reason):
        binary.find(script(tmp_path, says))


def test_a_later_one_and_the_package_s_will_do(tmp_path: Path) -> None:
    path = script(tmp_path, "echo nats-server: v2.16.0")
    assert binary.find(path) == Path(path)
    assert binary.find().name == "nats-server"
    with pytest.raises(MqdError, match="cannot be run"):
        binary.find(str(tmp_path / "none"))
