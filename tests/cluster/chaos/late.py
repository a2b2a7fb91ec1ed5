"""When members were late: linked, and not waited for, as the logs of those say that answered.

On a machine with much else to do that is no fault. Decides which members may have been behind
when; never what they may have answered then (`register_check`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from math import inf

from tests.cluster.chaos.history import Behind
from tests.cluster.trio import Member

_LINE = re.compile(
    r"^(\S+ \S+) \[info\] \S+ (?:changes are answered before node (\S+) has them: it is late"
    r"|node (\S+) is waited for again: it has the changes it was late with)$",
    re.MULTILINE,
)
_EARLIER_S = 2.0  # it had been waited for before, and had been late even then
_LATER_S = 1.0


def late(members: Sequence[Member]) -> list[Behind]:
    """In the time of `time.monotonic`."""
    ahead = time.time() - time.monotonic()
    found = []
    for teller in members:
        for path in (teller.directory / "log").glob("*.log"):
            text = path.read_text(errors="replace")
            found += _of(text, {each.name: each.index for each in members}, ahead)
    return found


def _of(text: str, indices: dict[str, int], ahead: float) -> list[Behind]:
    found = []
    since: dict[str, float] = {}
    for stamp, begins, ends in _LINE.findall(text):
        at = datetime.fromisoformat(stamp).timestamp() - ahead
        if begins:
            since.setdefault(begins, at)
        elif ends in since:
            members = frozenset((indices[ends],))
            found.append(Behind(members, since.pop(ends) - _EARLIER_S, at + _LATER_S))
    for name, at in since.items():  # its link ended, or it was still late
        found.append(Behind(frozenset((indices[name],)), at - _EARLIER_S, inf))
    return found
