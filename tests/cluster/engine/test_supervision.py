"""What reaches a server, and what happens beside it: changes of its configuration, listeners that
fail, descriptors and folders that are not there."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from mqd.cluster.engine import api
from mqd.cluster.engine.child import Child
from mqd.cluster.engine.engine import NatsEngine, Start
from mqd.cluster.ports import Entry
from tests.cluster.engine.nodes import Nodes, nodes
from tests.cluster.engine.test_faults import gone, is_server
from tests.waiting import PATIENCE_S, until


async def routes(engine: NatsEngine) -> list[str]:
    """To whom its server goes, as it says."""
    session = engine._session
    asked = api.server(session._server_id, "VARZ")
    said: dict[str, Any] = await session.system.ask(asked, b"{}", None, 5.0, api.server_answer)
    return list(said["cluster"]["urls"])


def port_of(cluster: Nodes, index: int) -> str:
    return str(cluster.members[index].route_port)


def test_changes_that_come_at_once_are_taken_one_after_the_other(tmp_path: Path) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, _ = await cluster.found()
            pid = a.pid
            more = [*cluster.members, *(cluster.member(name) for name in "cde")]
            identity = cluster.identity(cluster.members[0])
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(a.use(more[:count], identity) for count in (3, 4, 5)))
            assert a.pid == pid
            assert {url.rpartition(":")[2] for url in await routes(a)} == {
                str(member.route_port) for member in more[1:]
            }

    asyncio.run(run())


def test_a_change_that_comes_while_a_server_starts_is_not_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            two = cluster.members[:2]
            await cluster.start("rabbit@b", Start.FOUND, members=two)
            a = await cluster.start("rabbit@a", Start.FOUND, members=two)
            await_listening(cluster.members[0].route_port)  # it has read its configuration
            await a.use(cluster.members, cluster.identity(cluster.members[0]))

            async def knows() -> bool:
                return a._session.is_open and any(
                    port_of(cluster, 2) in url for url in await routes(a)
                )

            await until(knows)

    asyncio.run(run())


def await_listening(port: int) -> None:
    """Without giving anybody else a turn."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until_s
        else:
            return


def test_a_process_that_cannot_be_watched_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwatched: list[int] = []
    open_pidfd = os.pidfd_open

    def no_descriptor(pid: int) -> int:
        if unwatched:
            return open_pidfd(pid)
        unwatched.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", no_descriptor)

    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a = await cluster.start("rabbit@a", Start.FOUND)

            async def serves() -> bool:
                return a.pid is not None and is_server(a.pid)

            await until(serves)
            assert a.pid not in unwatched
            await until(lambda: gone(unwatched[0]))

    asyncio.run(run())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_stop_that_comes_as_the_server_becomes_ready_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    take = Child._take

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stops: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        async with nodes(tmp_path, 2) as cluster:

            def after(count: int) -> None:
                if count:
                    loop.call_soon(after, count - 1)
                else:
                    stops.put_nowait(loop.create_task(cluster.stop("rabbit@a")))

            def taken(child: Child, line: bytes) -> None:
                was_ready = child.ports.done()
                take(child, line)
                if child.ports.done() and not was_ready and "rabbit@a" in cluster.up:
                    after(turns)

            monkeypatch.setattr(Child, "_take", taken)
            engine = await cluster.start("rabbit@a", Start.FOUND)
            pid = engine.pid
            async with asyncio.timeout(PATIENCE_S):
                await (await stops.get())
            assert pid is not None
            assert engine.pid is None
            await until(lambda: gone(pid))

    asyncio.run(run())


def test_a_folder_that_went_away_ends_nothing_but_the_server(tmp_path: Path) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, _ = await cluster.found()
            folder = tmp_path / "rabbit@a" / "engine"
            shutil.move(folder, tmp_path / "away")
            assert a.pid is not None
            os.kill(a.pid, signal.SIGKILL)

            async def ails() -> bool:
                return "cannot be started" in a.ails or "not started" in a.ails

            await until(ails)
            shutil.move(tmp_path / "away", folder)
            assert await a.ready(PATIENCE_S)

    asyncio.run(run())


def test_a_listener_that_fails_is_told_of_and_hinders_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 2) as cluster:
            a, _ = await cluster.found()
            pid = a.pid
            heard: list[int] = []
            led: list[str] = []

            def fails(*_: object) -> None:
                raise LookupError("of a listener")

            a.on_leader(fails)
            a.on_leader(lambda log, member: led.append(log) if member else None)
            a.follow("META", fails)
            a.follow("META", lambda entry: heard.append(entry.seq))
            await a.create("META", replicas=2, tells=True)
            last = await a.append("META", "META.x", b"1")

            async def told() -> bool:
                return last in heard and "META" in led

            await until(told)
            assert a.pid == pid
            assert Entry(last, "META.x", b"1") in await a.read("META", last, 1)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert caplog.text.count("LookupError: of a listener") >= 2
