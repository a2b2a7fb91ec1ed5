"""What a store was told about messages that it wrote before, until a commit tells the disc.

Decides in which order such news counts: what is settled first, then what was dropped, then how
often the rest was returned. Never decides when a commit comes (`mqd.storage.messages`).
"""

from __future__ import annotations

from mqd.broker.message import Message
from mqd.storage.format import Drop, pack_settled
from mqd.storage.ledger import Ledger


class News:
    """counts: by key, how often a message that is not settled was returned by now."""

    __slots__ = ("counts", "drops", "settled")

    def __init__(self) -> None:
        self.settled: list[Message] = []
        self.drops: list[Drop] = []
        self.counts: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self.settled or self.drops or self.counts)

    def followed_by(self, later: News) -> News:
        """Both, this one's first."""
        both = News()
        both.settled = self.settled + later.settled
        both.drops = self.drops + later.drops
        both.counts = self.counts | later.counts
        return both

    def tell(self, commit_id: int, ledger: Ledger) -> bytes:
        """Count it in the ledger; returns what the commit has to say of it."""
        keys = ledger.settle(commit_id, self.settled) if self.settled else []
        told = [
            drop
            for drop in self.drops
            if ledger.drop(commit_id, drop.queue_id, drop.last_segment, drop.kept)
        ]
        counts = ledger.count(commit_id, self.counts) if self.counts else {}
        for row in ledger.crowded(counts):
            keys += row.settled_keys()
            counts |= row.counted_keys()
            ledger.told_anew(commit_id, row)
        if not ledger.is_needed(commit_id):
            return b""  # a later drop emptied what earlier ones left
        return pack_settled(keys, told, counts)
