"""Messages for a queue of another node that nobody has answered for yet.

Theory. A quorum queue's next home is sent again what the former one did not answer, with its number
(the ticket), so that it can tell a message it has. What is in a log, the log tells the next home.
What is not in one yet can be in none that the next home reads: the home that was sent it says
whether it took it, and nobody else is sent it before (`_awaited`).

Order. Messages go in the order of their tickets. A home takes none that does not come behind an
`again` that it heard since the queue is there: from that on it gets all that is not answered, in
order. So what was under way to it as it came to be the home, or came to be it again, does not get
in before what has to be sent once more. And nothing goes to a home while something that was sent
before is still open (`_before`), since that may have to go first.

Decides that. Never decides what becomes of a message that was answered: `RemoteQueue` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mqd.broker.homes import Home

if TYPE_CHECKING:
    from mqd.broker.queues.remote import RemoteQueue

Kept = tuple[bytes, bytes, bool, int]  # names, content, persistent, how often it came back


class Outbox:
    """Of one queue that survives its home. in_log: it was so when its home was looked at last."""

    __slots__ = ("_awaited", "_before", "_messages", "_queue", "bytes", "in_log")

    def __init__(self, queue: RemoteQueue) -> None:
        self.bytes = 0
        self.in_log = queue.definition.shard is not None
        self._queue = queue
        self._messages: dict[int, Kept] = {}  # by ticket
        self._awaited: dict[int, Home] = {}  # the homes that alone can tell of them
        self._before: set[int] = set()

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._messages

    @property
    def holds(self) -> bool:
        """Whether what is published now has to wait for what was sent before."""
        return bool(self._before)

    def put(self, ticket: int, kept: Kept, home: Home | None) -> None:
        """A message. home: where it goes now, if that can be."""
        self._messages[ticket] = kept
        self.bytes += len(kept[1])
        if home is not None and not self._before:
            self._send(home, ticket, kept)

    def _send(self, home: Home, ticket: int, kept: Kept) -> None:
        if not self.in_log:
            self._awaited[ticket] = home
        home.publish(self._queue, ticket, *kept)

    def take(self, ticket: int) -> Kept | None:
        """It is answered, or somebody else sees to it; None: it is not here."""
        kept = self._messages.pop(ticket, None)
        if kept is not None:
            self.bytes -= len(kept[1])
        return kept

    def closed(self, ticket: int) -> None:
        """Who was sent it has said what became of it, or never will."""
        self._awaited.pop(ticket, None)
        if ticket in self._before:
            self._before.discard(ticket)
            self._go()

    def begin(self) -> None:
        """The home can be asked, or may have forgotten what it was told."""
        self._before = set(self._awaited)
        self._go()

    def _go(self) -> None:
        home = self._queue.at
        if self._before or home is None or not home.is_up:
            return
        home.again(self._queue)
        for ticket in sorted(self._messages):
            self._send(home, ticket, self._messages[ticket])

    def await_nobody(self) -> None:
        """The queue is gone, and with it whatever became of them."""
        self._awaited.clear()
        self._before.clear()

    def take_all(self) -> list[tuple[int, Kept]]:
        """Those that nobody else can tell of, in order; they are here no more."""
        found = [ticket for ticket in sorted(self._messages) if ticket not in self._awaited]
        taken = []
        for ticket in found:
            kept = self.take(ticket)
            assert kept is not None
            taken.append((ticket, kept))
        return taken
