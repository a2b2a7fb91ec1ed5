"""A member whose disc is full for a while (a tmpfs: root)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqd.cluster.engine.engine import NatsEngine
from mqd.cluster.ports import NoMajority
from tests.cluster.engine.nodes import Nodes, full, nodes
from tests.waiting import PATIENCE_S, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
    pytest.mark.timeout(300),
]
_BYTES = 16 << 20
A, B, C = "rabbit@a", "rabbit@b", "rabbit@c"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """What the engine of `A` has is on it."""
    folder = tmp_path / A / "engine"
    folder.mkdir(parents=True)
    options = f"size={_BYTES},mode=0755"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip(f"no tmpfs here: {made.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    """To the last byte."""
    with (folder / "of-others").open("ab") as file:
        for step in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)


def empty(folder: Path) -> None:
    (folder / "of-others").unlink()


async def write(engine: NatsEngine, count: int) -> None:
    for number in range(count):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(NoMajority):
                    await engine.append("META", "META.x", b"x" * 20_000, unique=str(number))
                    break


async def counts(cluster: Nodes) -> bool:
    """Whether the copy of `A` does."""
    with contextlib.suppress(NoMajority):
        return A in (await cluster.up[B].info("META")).current
    return False


@pytest.mark.parametrize("leader", [pytest.param(A, marks=full), B])
def test_a_member_whose_disc_was_full_counts_again(
    tmp_path: Path, small: Path, leader: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And the loss of another one is survived: without it there was no majority then."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            engines = await cluster.found()
            await engines[0].create("META", replicas=3)
            await engines[0].lead("META", leader)
            fill(small)
            await write(engines[1], 20)

            async def told() -> bool:
                return "the disc is full" in engines[0].ails

            await until(told)
            assert not await counts(cluster)
            with pytest.raises(NoMajority):
                await engines[0].info("META")
            empty(small)
            await until(lambda: counts(cluster))
            assert engines[0].ails == ""
            await cluster.crash(C)
            last = await engines[0].append("META", "META.x", b"last", unique="last")
            await engines[0].lead("META", A)
            found = await engines[0].read("META", 1, last)
            assert [len(each.data) for each in found] == [20_000] * 20 + [4]

    asyncio.run(run())
    assert "could not write" in caplog.text


def test_a_member_whose_disc_is_full_at_its_start_begins_once_it_is_not(
    tmp_path: Path, small: Path
) -> None:
    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            engines = await cluster.found()
            await engines[1].create("META", replicas=3)
            await cluster.stop(A)
            fill(small)
            engine = await cluster.start(A)
            assert engine.pid is None
            assert "No space left" in engine.ails or "full" in engine.ails
            empty(small)
            await until(lambda: counts(cluster))

    asyncio.run(run())


def test_a_server_that_cannot_write_one_log_is_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would go on with the others, and without that one for good."""

    async def run() -> None:
        async with nodes(tmp_path, 3) as cluster:
            engines = await cluster.found()
            await engines[0].create("META", replicas=3)
            await engines[0].lead("META", B)
            first = engines[0].pid
            assert first is not None
            resource.prlimit(first, resource.RLIMIT_FSIZE, (200_000, 200_000))
            await write(engines[1], 20)

            async def another() -> bool:
                return engines[0].pid not in (first, None)

            await until(another)
            await until(lambda: counts(cluster))

    asyncio.run(run())
    assert "could not write" in caplog.text
    assert "DISABLED" not in caplog.text
