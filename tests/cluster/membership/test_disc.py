"""Members whose disc takes no more of their metadata, or of what they remember of the cluster."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, have, members
from tests.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def test_a_member_that_cannot_write_its_record_goes_on(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", "c") as (first, ill, new):
        ill.join(first)
        eventually(ill.is_ordered_by_majority)
        hindrance = ill.data / "cluster.json.new"
        hindrance.mkdir()
        new.join(first, "--ram")
        first.ctl("add_user", "later", "pw")
        have({"guest", "later"}, ill)
        eventually(lambda: "cluster.json cannot be written" in ill.log)
        assert ill.call("add_user", "own", "pw")[0] == 0
        ill.ctl("stop_app")
        ill.ctl("start_app")
        have({"guest", "later", "own"}, ill)
        ill.kill()
        ill.begin()
        have({"guest", "later", "own"}, ill)
        assert remembered(ill) == {first.name, ill.name}
        hindrance.rmdir()
        eventually(lambda: remembered(ill) == {first.name, ill.name, new.name})


def test_lost_metadata_is_not_forced_to_be_empty(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (ill, other):
        other.join(ill)
        eventually(other.is_ordered_by_majority)
        other.ctl("add_user", "kept", "pw")
        for node in (ill, other):
            node.kill()
        for path in ill.data.glob("metadata*"):
            path.unlink()
        ill.ctl("force_boot")
        ill.launch()
        eventually(lambda: "has no metadata left that it could be forced" in ill.log)
        eventually(lambda: f"start {other.name}, or give up what the cluster had" in ill.log)
        other.launch()
        for node in (ill, other):
            eventually(node.runs)
            have({"guest", "kept"}, node)


def test_a_lost_record_is_made_again(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (first, ill):
        ill.join(first)
        eventually(ill.is_ordered_by_majority)
        ill.stop()
        record = ill.data / "cluster.json"
        before = json.loads(record.read_text())
        record.write_text('{"format": 1, "no')
        assert ended(ill) != 0
        eventually(lambda: "cluster.json cannot be read" in ill.log)
        eventually(lambda: "move it away and start the node" in ill.log)
        first.ctl("add_user", "meanwhile", "pw")
        record.unlink()
        assert ended(ill) != 0
        eventually(lambda: "made again out of the metadata: start the node again" in ill.log)
        now = json.loads(record.read_text())
        for field in ("cluster", "node", "kind", "incarnation"):
            assert now[field] == before[field], field
        ill.begin()
        eventually(ill.is_ordered_by_majority)
        first.ctl("add_user", "later", "pw")
        eventually(lambda: ill.users() == first.users())


def ended(node: Member) -> int:
    """The exit status of a start."""
    node.launch()
    return node.process.wait(PATIENCE_S)


def remembered(node: Member) -> set[str]:
    record = json.loads((node.data / "cluster.json").read_text())
    return {each["name"] for each in record["members"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_who_cannot_write_inherits_nothing(tmp_path: Path) -> None:
    """Changes that only its memory has are on the other's disc: that one is waited for."""
    with members(tmp_path, "a", "b") as (stops, ill):
        ill.join(stops)
        eventually(ill.is_ordered_by_majority)
        ill.stop()
        with small_disc(ill.data, tmp_path / "engine") as fill:
            ill.begin()
            eventually(ill.is_ordered_by_majority)
            fill(True)
            for number in range(3):
                stops.ctl("add_user", f"u{number}", "pw")
            users = {"guest", "u0", "u1", "u2"}
            have(users, ill)
            stops.ctl("stop_app")
            ill.kill()
            fill(False)
            ill.launch()
            eventually(ill.answers)
            stops.ctl("start_app")
            eventually(ill.runs)
            have(users, ill, stops)


@contextlib.contextmanager
def small_disc(data: Path, engine: Path) -> Iterator[Callable[[bool], None]]:
    """All of a node's data is on it but what its engine has. fill(whether nothing more goes on)."""
    kept, ballast = data.with_name(f"{data.name}.kept"), data / "of-others"
    shutil.move(data, kept)
    shutil.move(kept / "engine", engine)
    data.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={64 << 20},mode=0755", "tmpfs", str(data))

    def fill(full: bool) -> None:
        ballast.unlink(missing_ok=True)
        if full:
            with ballast.open("wb") as file:
                for step in (1 << 20, 4096):
                    with contextlib.suppress(OSError):
                        while True:
                            os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)

    try:
        shutil.copytree(kept, data, dirs_exist_ok=True)
        (data / "engine").mkdir()
        _mount("--bind", str(engine), str(data / "engine"))
        yield fill
    finally:
        for place in (data / "engine", data):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr}")
