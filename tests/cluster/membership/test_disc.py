"""What a member remembers of its cluster cannot be written: the metadata goes on all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, eventually, members

pytestmark = [pytest.mark.timeout(150), pytest.mark.slow]


def test_a_member_that_cannot_write_its_record_goes_on(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b", "c") as (first, ill, new):
        ill.join(first)
        eventually(ill.is_ordered_by_majority)
        hindrance = ill.data / "cluster.new"
        hindrance.mkdir()
        new.join(first, "--ram")
        first.ctl("add_user", "later", "pw")
        assert ill.users() == {"guest", "later"}
        assert "cluster.json cannot be written" in ill.log
        assert ill.call("add_user", "own", "pw")[0] == 0
        ill.ctl("stop_app")
        ill.ctl("start_app")
        assert ill.users() == {"guest", "later", "own"}
        ill.kill()
        ill.begin()
        assert ill.users() == {"guest", "later", "own"}
        assert remembered(ill) == {first.name, ill.name}
        hindrance.rmdir()
        eventually(lambda: remembered(ill) == {first.name, ill.name, new.name})


def remembered(node: Member) -> set[str]:
    record = json.loads((node.data / "cluster.json").read_text())
    return {each["name"] for each in record["members"]}
