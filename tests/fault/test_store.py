"""The message store when the process is killed, the log is torn, the disc refuses."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mqd.errors import MqdError
from mqd.storage.engine import StorageEngine
from tests.stores import Stage, copy_image, message
from tests.waiting import PATIENCE_S

VICTIM = Path(__file__).with_name("store_victim.py")
ROOT = Path(__file__).parents[2]


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(VICTIM), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _recovered(directory: Path) -> list[int]:
    async def read() -> list[int]:
        engine = StorageEngine.open(directory)
        found = list(engine.open_store("/").recover())
        assert all(flag for _, _, flag in found), "after a kill all may have been delivered"
        # not closed in order: the next victim must find what a kill left behind
        numbers = [int(each.body.split()[0]) for _, each, _ in found]
        for store in engine.stores.values():
            store.abandon()
        await engine.close()
        return numbers

    return asyncio.run(read())


@pytest.mark.slow
def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    facts: dict[str, set[int]] = {"c": set(), "s": set(), "a": set()}
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    highest = 0
    for turn in range(100):
        if turn >= 12 and min(len(facts["c"]), len(facts["a"])) > 100:
            break
        victim = _start("kill", str(tmp_path / "stores"), str(highest))
        _kill_after(victim, moments.uniform(0.0, 0.3), facts)
        recovered = _recovered(tmp_path / "stores")
        assert recovered == sorted(recovered)
        assert not facts["c"] - facts["s"] - set(recovered), (seed, turn, "confirmed and lost")
        assert not facts["a"] & set(recovered), (seed, turn, "acknowledged and back")
        highest = max([*recovered, *facts["c"]])
    assert len(facts["c"]) > 100
    assert len(facts["a"]) > 100


def _kill_after(victim: subprocess.Popen[str], seconds: float, facts: dict[str, set[int]]) -> None:
    """Let it work for a while once it works at all; collects what it said."""
    assert victim.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lines.extend, args=(victim.stdout,))
    first = victim.stdout.readline()
    reader.start()
    time.sleep(seconds)  # this is the random moment, not a wait for something
    victim.kill()
    victim.wait()
    reader.join()
    victim.stdout.close()
    for line in [first, *lines]:
        if line.endswith("\n"):  # the last one may be cut off
            kind, number = line.split()
            facts[kind].add(int(number))


@pytest.mark.slow
def test_a_disc_that_refuses_and_then_does_not(tmp_path: Path) -> None:
    """A limit of file size stands for the full disc: the same write calls fail."""
    victim = _start("starve", str(tmp_path))
    said, _ = victim.communicate(timeout=PATIENCE_S)
    assert victim.returncode == 0
    lines = said.splitlines()
    trouble = next(at for at, line in enumerate(lines) if line.startswith("trouble"))
    confirmed_before = sum(line.startswith("c ") for line in lines[:trouble])
    assert lines[trouble] != "trouble None"
    durable, _, batch = next(line.split()[1:] for line in lines if line.startswith("durable"))
    assert int(durable) < int(batch)
    assert lines.count("trouble None") == 1
    confirmed = [int(line.split()[1]) for line in lines if line.startswith("c ")]
    assert confirmed == list(range(1, len(confirmed) + 1))
    assert confirmed_before < len(confirmed)
    assert _orderly(tmp_path) == confirmed


def _orderly(directory: Path) -> list[int]:
    stage = Stage(next(directory.glob("*.db")))
    numbers = [int(each.body.split()[0]) for _, each, _ in stage.recover()]
    stage.database.close()
    return numbers


class Torn:
    """A log of commits, with where each of them ends in SQLite's write-ahead log."""

    def __init__(self, path: Path) -> None:
        self.stage = Stage(path)
        self.stage.recover()
        self.log = Path(f"{path}-wal")
        self.ends: list[tuple[int, int]] = []  # (size of the log, messages permanent by then)
        count = 0
        for burst in range(1, 25):
            for _ in range(burst):
                count += 1
                self.stage.store.append(1, message(b"%d " % count + bytes(count * 7 % 900)))
            self.stage.writer.run()
            self.ends.append((self.log.stat().st_size, count))

    def permanent_before(self, offset: int) -> int:
        return max((count for size, count in self.ends if size <= offset), default=0)


@pytest.mark.parametrize("damage", ["cut", "flip", "zero"])
def test_a_torn_log_keeps_every_commit_before_the_tear(tmp_path: Path, damage: str) -> None:
    torn = Torn(tmp_path / "x.db")
    size = torn.ends[-1][0]
    seed = random.randrange(10**6)
    places = random.Random(seed)
    for turn in range(40):
        offset = places.randrange(torn.ends[0][0], size)
        image = tmp_path / f"{turn}.db"
        again = _damaged(torn, image, damage, offset)
        numbers = [int(each.body.split()[0]) for _, each, _ in again.recover()]
        again.database.close()
        assert numbers == list(range(1, len(numbers) + 1)), (seed, turn)
        assert len(numbers) >= torn.permanent_before(offset), (seed, turn)
    torn.stage.database.close()


def _damaged(torn: Torn, image: Path, damage: str, offset: int) -> Stage:
    copy_image(torn.stage.path, image)
    log = Path(f"{image}-wal")
    data = bytearray(log.read_bytes())
    if damage == "cut":
        del data[offset:]
    elif damage == "flip":
        data[offset] ^= 0xFF
    else:
        data[offset:] = bytes(len(data) - offset)
    log.write_bytes(data)
    return Stage(image)


def test_messages_of_a_damaged_page_are_reported_not_made_up(tmp_path: Path) -> None:
    """A page of the file itself, after it was copied from the log, has no checksum of SQLite's."""
    torn = Torn(tmp_path / "x.db")
    torn.stage.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    torn.stage.database.close()
    places = random.Random(5)
    whole = torn.stage.path.read_bytes()
    sent = {b"%d " % n + bytes(n * 7 % 900) for n in range(1, torn.ends[-1][1] + 1)}
    refusals: list[str] = []
    for _ in range(40):
        data = bytearray(whole)
        data[places.randrange(8192, len(whole))] ^= 0xFF
        torn.stage.path.write_bytes(data)
        try:
            again = Stage(torn.stage.path)
            bodies = {each.body for _, each, _ in again.recover()}
        except MqdError as error:
            refusals.append(error.detail)  # SQLite noticed by itself
            continue
        assert bodies <= sent
        again.database.close()
    assert all("restore it from a backup" in each for each in refusals)
