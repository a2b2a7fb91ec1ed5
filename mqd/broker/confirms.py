"""Publisher confirms of one channel: from outcomes to contiguous acks.

Theory. Publishes are numbered from 1 (basic.publish n of a channel in confirm mode has seqno n).
Each either needs nothing or waits for a batch of the message store; batch numbers grow with time,
so what waits is a queue of runs, each "all up to this seqno wait for this batch". A publish that
needs nothing but comes behind one that waits joins its run: confirms then stay in order and one
ack with `multiple` answers a whole batch. There is one producer of acks a channel: `flush`.

A publish that a queue rejected is answered by basic.nack at the end of its turn, before any ack
that would cover it. Acks with `multiple` may step over it: the client knows of it already.

A publish may wait for a ticket (`mqd.broker.tickets`): those end in any order. While one is open no
`multiple` ack covers it; what is ready behind it is acked one by one (RabbitMQ:
rabbit_channel, coalesce_and_send), and stepped over later as what was nacked.

Decides when a seqno may be acked. Never looks at messages or queues.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from functools import partial

from mqd.amqp.outlet import Outlet
from mqd.broker.tickets import TICKETS, Tickets

_ACK = struct.Struct(">BHIIQBB")
_ACK_INDEX = 0x003C0050
_NACK_INDEX = 0x003C0078


class Confirms:
    """Confirm state of a channel; exists once confirm.select was sent."""

    __slots__ = (
        "_acked", "_channel_id", "_dirty", "_freed", "_misplaced", "_nacks", "_open", "_order",
        "_outlet", "_ready", "_runs", "_singled", "_tickets", "_told", "_wait", "seqno",
    )  # fmt: skip

    def __init__(
        self,
        channel_id: int,
        outlet: Outlet,
        wait: Callable[[Confirms], None],
        tickets: Tickets | None = None,
        misplaced: Callable[[int], None] | None = None,
    ) -> None:
        """misplaced(seqno): another node answers for it; an ack that follows says nothing."""
        self.seqno = 0  # of the last publish
        self._channel_id = channel_id
        self._outlet = outlet
        self._wait = wait  # told when there is something that waits for a commit
        self._runs: deque[list[int]] = deque()  # [seqno, batch]
        self._ready = 0
        self._acked = 0
        self._dirty = False
        self._nacks: list[int] = []  # to be sent
        self._told: set[int] = set()  # answered one by one, above `_acked`
        self._tickets = tickets
        self._open: set[int] = set()  # those that wait for a ticket
        self._order: deque[int] = deque()  # the same, lowest first; some may have ended
        self._freed: list[int] = []  # whose ticket ended, when those around them had been acked
        self._misplaced = misplaced
        self._singled = 0  # up to here what could be acked one by one was

    @property
    def unconfirmed_count(self) -> int:
        return self.seqno - self._acked - len(self._told)

    def published(self, batch: int) -> None:
        """The next publish was routed; batch: what it waits for, 0 for nothing."""
        seqno = self.seqno = self.seqno + 1
        runs = self._runs
        if batch:
            if runs and runs[-1][1] >= batch:
                runs[-1][0] = seqno
            elif batch >= TICKETS:
                self._await(seqno, batch)
            else:
                if not runs:
                    self._wait(self)
                runs.append([seqno, batch])
        elif runs:
            runs[-1][0] = seqno
        else:
            self._ready = seqno
            if not self._dirty:
                self._dirty = True
                self._outlet.turn.confirms.append(self.flush)

    def _await(self, seqno: int, ticket: int) -> None:
        assert self._tickets is not None, "who gives tickets has them"
        if self._runs:
            self._runs[-1][0] = seqno
        else:
            self._ready = seqno
        self._open.add(seqno)
        self._order.append(seqno)
        self._tickets.wait(ticket, partial(self._ended, seqno))

    def _ended(self, seqno: int, accepted: bool | None) -> None:
        """Its ticket did."""
        if seqno not in self._open:
            return  # the channel is closed
        self._open.remove(seqno)
        is_misplaced = accepted is None and self._misplaced is not None
        if is_misplaced and self._misplaced is not None:
            self._misplaced(seqno)
        if not accepted and not is_misplaced:
            self._nacks.append(seqno)
        elif seqno <= self._singled:
            self._freed.append(seqno)
        if not self._dirty:
            self._dirty = True
            self._outlet.turn.confirms.append(self.flush)

    def rejected(self) -> None:
        """The next publish was not taken by some queue it was routed to."""
        self.published(0)
        self._nacks.append(self.seqno)
        if not self._dirty:
            self._dirty = True
            self._outlet.turn.confirms.append(self.flush)

    def durable(self, batch: int) -> bool:
        """All batches up to this one are on disc. Returns whether anything still waits."""
        runs = self._runs
        while runs and runs[0][1] <= batch:
            self._ready = runs.popleft()[0]
            if not self._dirty:
                self._dirty = True
                self._outlet.turn.confirms.append(self.flush)
        return bool(runs)

    def flush(self) -> None:
        """Ack everything that is ready, at the end of a turn."""
        self._dirty = False
        if self._nacks:
            self._refuse()
        ready = self._ready
        lowest = self._lowest() if self._order else 0
        if lowest and lowest <= ready:
            ready = lowest - 1
        count = ready - self._acked
        if self._told:
            ready, count = self._step_over(ready)
        if count and not self._outlet.closed:
            self._acked = ready
            self._outlet.write(
                _ACK.pack(1, self._channel_id, 13, _ACK_INDEX, ready, count > 1, 0xCE)
            )
        if lowest:
            self._ack_behind(lowest)

    def _lowest(self) -> int:
        """The first one that waits for a ticket; 0 when none does any more."""
        order = self._order
        while order and order[0] not in self._open:
            order.popleft()
        if order:
            return order[0]
        self._freed.clear()  # an ack with `multiple` covers them
        return 0

    def _ack_behind(self, lowest: int) -> None:
        """One by one, what is ready behind a publish that waits for its ticket."""
        ready = self._ready
        first = max(self._singled, lowest) + 1
        singles = [seqno for seqno in self._freed if seqno > lowest]
        singles += (seqno for seqno in range(first, ready + 1) if seqno not in self._open)
        self._freed.clear()
        self._singled = max(self._singled, ready)
        if self._outlet.closed:
            return
        for seqno in singles:
            if seqno not in self._told:
                self._told.add(seqno)
                frame = _ACK.pack(1, self._channel_id, 13, _ACK_INDEX, seqno, 0, 0xCE)
                self._outlet.write(frame)

    def _refuse(self) -> None:
        nacks, self._nacks = self._nacks, []
        self._told.update(nacks)
        if not self._outlet.closed:
            for seqno in nacks:
                frame = _ACK.pack(1, self._channel_id, 13, _NACK_INDEX, seqno, 0, 0xCE)
                self._outlet.write(frame)

    def _step_over(self, ready: int) -> tuple[int, int]:
        """(last seqno up to `ready` that was not answered, how many are there to be acked)."""
        told = self._told
        acked = self._acked
        last = ready
        while last > acked and last in told:
            last -= 1
        if last == acked:  # all up to here were answered
            told.difference_update(range(acked + 1, ready + 1))
            self._acked = ready
            return ready, 0
        before = len(told)
        told.difference_update(range(acked + 1, last + 1))
        return last, last - acked - before + len(told)

    def close(self) -> None:
        """The channel is gone: nothing more is sent."""
        self._nacks.clear()
        self._runs.clear()
        self._open.clear()
        self._order.clear()
        self._ready = self._acked
