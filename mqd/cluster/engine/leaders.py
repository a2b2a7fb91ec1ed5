"""Who leads each log, out of two sources that are never quite in step.

Decides whom to believe: what the new leader announces counts at once, since it knows; what the
own server says when asked (the only source when a leader is gone, as nobody announces that) counts
when it was asked after the last announcement, and, if it contradicts what is known, twice in a
row: a follower learns of its leader a little after the announcement. Never asks anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Change = tuple[str, str | None]


class Leaders:
    """`known`: by log; None where it has no leader."""

    def __init__(self) -> None:
        self.known: dict[str, str | None] = {}
        self._turn = 0
        self._announced: dict[str, int] = {}  # log -> the turn it was last announced in
        self._doubted: dict[str, str | None] = {}

    def announced(self, log: str, leader: str | None) -> Sequence[Change]:
        """Somebody has just become, or ceased to be, its leader. What changed by that."""
        self._announced[log] = self._turn
        self._doubted.pop(log, None)
        return self._set(log, leader)

    def asks(self) -> int:
        """The own server is asked now; the number goes with its answer."""
        self._turn += 1
        return self._turn

    def answered(self, turn: int, leaders: Mapping[str, str | None]) -> Sequence[Change]:
        """What the own server says of the logs that it has a copy of."""
        changes: list[Change] = []
        doubted: dict[str, str | None] = {}
        for log, leader in leaders.items():
            if self._announced.get(log, 0) >= turn or self.known.get(log, "") == leader:
                continue
            doubts_before = log in self._doubted and self._doubted[log] == leader
            if self.known.get(log) is None or doubts_before:
                changes += self._set(log, leader)
            else:
                doubted[log] = leader
        self._doubted = doubted
        return changes

    def gone(self, turn: int, log: str) -> Sequence[Change]:
        """The log was deleted, says who was asked in that turn: it may be there again."""
        if self._announced.get(log, 0) >= turn:
            return []
        known = self.known.pop(log, None)
        return [(log, None)] if known is not None else []

    def nobody(self) -> Sequence[Change]:
        """The own server cannot be asked: nothing is known any more."""
        self._doubted = {}
        return [change for log in list(self.known) for change in self._set(log, None)]

    @property
    def in_doubt(self) -> bool:
        """Ask again soon: somebody has no leader, or sources contradict each other."""
        return bool(self._doubted) or None in self.known.values()

    def _set(self, log: str, leader: str | None) -> Sequence[Change]:
        if log in self.known and self.known[log] == leader:
            return []
        was_known = log in self.known
        self.known[log] = leader
        return [(log, leader)] if was_known or leader is not None else []
