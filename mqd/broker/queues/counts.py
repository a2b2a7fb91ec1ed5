"""What a queue has done since it is there, in numbers.

Theory. Most numbers follow from others: a message that arrived is ready, is held by a consumer, was
dropped or has left for good; each delivery ended as one of acknowledged, refused, handed back, or
is still out. So the way of a message counts nothing but what is rare: what is dropped, refused,
handed back, fetched; and deliveries without acknowledgement, which leave no other trace. One of
these that never waited is counted here and in no backlog: nobody can hand it back, so it needs no
position there.

Decides how these are put together. Never counts by itself: the kinds of queues do.
"""

from __future__ import annotations

from collections.abc import Mapping


class Counts:
    """passed: straight to a consumer that does not acknowledge; silent: from the backlog to such
    a one; fetched: by basic.get, of them silently so many; dropped: expired, too many, refused;
    emptied: purged; refused; returned: handed back, or lost with their channel; moved: those of
    them that went to the end, as if they arrived anew; forgone: and those that were purged; again:
    arrived without being published."""

    __slots__ = (
        "again",
        "dropped",
        "emptied",
        "fetched",
        "fetched_silently",
        "forgone",
        "moved",
        "passed",
        "refused",
        "returned",
        "silent",
    )

    def __init__(self) -> None:
        self.again = self.dropped = self.emptied = self.fetched = self.fetched_silently = 0
        self.forgone = self.moved = self.passed = self.refused = self.returned = self.silent = 0

    def told(self, arrived: int, ready: int, unacked: int, waiting_again: int) -> Mapping[str, int]:
        """By RabbitMQ's names. arrived: of all time; waiting_again: handed back, not yet out."""
        arrived -= self.moved
        left = arrived - ready - unacked - self.dropped - self.emptied
        out = left + unacked + self.refused + self.returned
        silent, fetched = self.passed + self.silent, self.fetched
        found = {
            "publish": arrived - self.again,
            "deliver_get": out,
            "deliver": out - silent - fetched,
            "deliver_no_ack": silent,
            "get": fetched - self.fetched_silently,
            "get_no_ack": self.fetched_silently,
            "ack": left - silent - self.fetched_silently,
            "redeliver": self.returned - waiting_again - self.forgone,
        }
        return {name: max(0, value) for name, value in found.items()}


NOTHING: Mapping[str, int] = Counts().told(0, 0, 0, 0)
