"""A member is overtaken by another one's new generation before its own start is through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.membership.members import Member, have, members
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def in_vain(votes: Member, dies: Member) -> None:
    """Both start, and one dies before they have elected anybody."""
    dies.kill()
    votes.kill()
    said = len(votes.log)
    votes.launch()
    dies.launch()
    eventually(lambda: f"linked to node {dies.name}" in votes.log[said:])
    dies.kill()
    assert "Server startup complete" not in votes.log[said:]


def test_who_votes_in_vain_joins_the_one_that_was_forced(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (forced, votes):
        votes.join(forced)
        eventually(forced.is_ordered_by_majority)
        in_vain(votes, forced)
        forced.ctl("force_boot")
        forced.begin()
        forced.ctl("add_user", "later", "pw")
        eventually(votes.runs)
        assert votes.process is not None
        assert votes.process.poll() is None  # it is the process that was started
        have({"guest", "later"}, votes)
        eventually(forced.is_ordered_by_majority)


def test_who_votes_in_vain_waits_again_or_is_stopped(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (dies, votes):
        votes.join(dies)
        eventually(dies.is_ordered_by_majority)
        in_vain(votes, dies)
        eventually(lambda: "The others are looked for again, 9 retries left" in votes.log)
        eventually(lambda: "waits for" in votes.ctl("cluster", "explain"))
        dies.begin()
        eventually(votes.runs)
        in_vain(votes, dies)
        retried = votes.log.count("looked for again")
        votes.ctl("stop_app")
        eventually(lambda: f"the start of {votes.name}, which waited" in votes.log)
        assert votes.log.count("looked for again") == retried  # it did not wait for the election
        assert votes.process is not None
        assert votes.process.poll() is None
        dies.launch()
        votes.ctl("start_app")
        eventually(votes.is_ordered_by_majority)


def test_who_votes_in_vain_is_forced(tmp_path: Path) -> None:
    with members(tmp_path, "a", "b") as (dies, votes):
        votes.join(dies)
        eventually(dies.is_ordered_by_majority)
        in_vain(votes, dies)
        votes.ctl("force_boot")
        eventually(votes.runs)
        assert "looked for again" not in votes.log  # it did not wait for the election
        votes.ctl("add_user", "forced", "pw")
        dies.begin()
        have({"guest", "forced"}, dies)
