"""The log of changes is made anew while a disc member is away for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.membership.members import know, members
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


def test_two_of_three_that_have_not_seen_the_third_since_they_started_order_changes(
    tmp_path: Path,
) -> None:
    with members(tmp_path, "a", "b", "c") as (heir, other, away):
        other.join(heir)
        away.join(heir)
        eventually(away.is_ordered_by_majority)
        away.stop()
        other.stop()
        heir.kill()
        heir.begin()
        said = len(heir.log)
        other.begin()
        eventually(lambda: "2 copies of the log of changes" in heir.log[said:])
        heir.ctl("add_user", "later", "pw")
        know("later", other)
        away.begin()
        know("later", away)
        eventually(
            lambda: any(
                "3 copies of the log of changes" in node.log[said:] for node in (heir, other)
            )
        )
        other.kill()
        eventually(lambda: not heir.call("add_user", "last", "pw")[0] or "last" in heir.users())
        know("last", away)
