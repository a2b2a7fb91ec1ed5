"""What clients hold without acknowledging it: how much of that may be in memory.

Theory. A delivered message is kept until it is acknowledged, and a consumer without a prefetch
count may be sent a whole backlog. Nothing is counted as that happens. Instead the channels are
looked at now and then (`Broker.tick`); one that holds many messages is a tenant of the room that
all backlogs share (`mqd.broker.room`), and when it has more than its own limit or is refused, the
contents that were delivered first go to the shelf (`mqd.broker.shelf`), a page a turn. What stays
is some 400 bytes a message.

Not put there: what is small, what the store has still to write, and what came from a stream, whose
messages belong to all its readers.

Decides what goes to the shelf and when. Never settles or delivers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from mqd import limits
from mqd.amqp.outlet import Turn
from mqd.broker.channel import Channel
from mqd.broker.entries import ConnectionEntry
from mqd.broker.message import Message
from mqd.broker.room import Room
from mqd.broker.shelf import Shelf, is_worth

_MESSAGES_MIN: Final = 256  # a channel that holds fewer is looked at only if they seem large:
_BYTES_MIN: Final = 1_048_576  # if there were so many bytes in all, were they all like the newest
_OVERHEAD_BYTES: Final = 120  # what a message object costs beside its content


class Held:
    """A tenant: what one channel holds in memory, and how far it was looked at."""

    __slots__ = (
        "_channel",
        "_done_to",
        "_goal_bytes",
        "_owner",
        "_seen",
        "_sizes",
        "lease_bytes",
        "resident_bytes",
    )

    def __init__(self, owner: Holdings, channel: Channel) -> None:
        self.lease_bytes = owner.room.step_bytes
        self.resident_bytes = 0
        self._owner = owner
        self._channel = channel
        self._sizes: dict[int, int] = {}  # by tag: what is in memory, delivered first first
        self._done_to = 0  # tags up to it are on the shelf, or are not to be
        self._goal_bytes: int | None = None  # until where it goes on in the next turns
        self._seen = (0, 0)

    def look(self) -> None:
        """See how much it is by now, and begin to make it less if it is too much."""
        channel = self._channel
        seen = (channel.last_tag, len(channel.unacked))
        if seen == self._seen:
            return
        self._seen = seen
        self._count()
        limit_bytes, room = self._owner.limit_bytes, self._owner.room
        wanted_bytes = min(self.resident_bytes, limit_bytes)
        if wanted_bytes > self.lease_bytes:
            before_bytes = self.lease_bytes
            if not room.lease(self, wanted_bytes) or room.leased_bytes > room.total_bytes:
                limit_bytes = before_bytes  # it has what it was not granted: it asks too late
        if self.resident_bytes > limit_bytes:
            self._seen = (0, 0)
            self._shrink(limit_bytes // 2)

    def _count(self) -> None:
        """From the newest back to where it was done with: the shelf may hold a million."""
        unacked = self._channel.unacked
        sizes: list[tuple[int, int]] = []
        for tag in reversed(unacked):
            if tag <= self._done_to:
                break
            queue, message, _, _ = unacked[tag]
            if queue.takes_back:
                sizes.append((tag, len(message.content) + _OVERHEAD_BYTES))
        self._sizes = dict(reversed(sizes))
        self.resident_bytes = sum(self._sizes.values())

    def _shrink(self, goal_bytes: int) -> None:
        """A page of it in the next turn, and so on."""
        if self._goal_bytes is None:
            self._owner.turn.later.append(self._go_on)
        self._goal_bytes = goal_bytes

    def _go_on(self) -> None:
        goal_bytes, self._goal_bytes = self._goal_bytes, None
        if goal_bytes is not None and self._put_page(goal_bytes):
            self._shrink(goal_bytes)

    def shed(self) -> None:
        self._goal_bytes = None
        while self._put_page(0):
            pass

    def _put_page(self, goal_bytes: int) -> bool:
        """Put those on the shelf that were delivered first; False when there are none that can be,
        or enough are."""
        unacked = self._channel.unacked
        page: list[Message] = []
        page_bytes = 0
        done: list[int] = []
        for tag, size in islice(self._sizes.items(), limits.PAGE_MESSAGES_MAX):
            if self.resident_bytes <= goal_bytes or page_bytes >= limits.PAGE_BYTES_MAX:
                break
            entry = unacked.get(tag)
            if entry is not None:
                message = entry[1]
                if message.stored and not message.segment:
                    break  # the store is about to write it, and all that came later
                if is_worth(message):
                    page.append(message)
                    page_bytes += len(message.content)
            done.append(tag)
            self.resident_bytes -= size
        for tag in done:
            del self._sizes[tag]
            self._done_to = tag
        if page:
            self._owner.shelf.put(page)
        return bool(done)


class Holdings:
    """Those of all channels of a node."""

    def __init__(self, room: Room, shelf: Shelf, limit_bytes: int, turn: Turn) -> None:
        """limit_bytes: of one channel."""
        self.room = room
        self.shelf = shelf
        self.limit_bytes = limit_bytes
        self.turn = turn
        self._held: dict[Channel, Held] = {}

    def look(self, connections: Iterable[ConnectionEntry]) -> None:
        """Called about twice a second."""
        self.shelf.tidy()
        before, self._held = self._held, {}
        for entry in connections:
            for channel in entry.channels.values():
                if channel.unacked and (channel in before or _seems_much(channel)):
                    held = before.pop(channel, None) or Held(self, channel)
                    self._held[channel] = held
                    held.look()
        for held in before.values():
            self.room.leave(held)


def _seems_much(channel: Channel) -> bool:
    unacked = channel.unacked
    count = len(unacked)
    if count >= _MESSAGES_MIN:
        return True
    newest = unacked[next(reversed(unacked))][1]
    return count * len(newest.content) >= _BYTES_MIN
