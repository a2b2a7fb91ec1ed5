"""Publisher confirms of one channel: from outcomes to contiguous acks.

Theory. Publishes are numbered from 1 (basic.publish n of a channel in confirm mode has seqno n).
Each either needs nothing or waits for a batch of the message store; batch numbers grow with time,
so what waits is a queue of runs, each "all up to this seqno wait for this batch". A publish that
needs nothing but comes behind one that waits joins its run: confirms then stay in order and one
ack with `multiple` answers a whole batch. There is one producer of acks a channel: `flush`.

A publish that a queue rejected is answered by basic.nack at the end of its turn, before any ack
that would cover it. Acks with `multiple` may step over it: the client knows of it already.

Decides when a seqno may be acked. Never looks at messages or queues.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable

from mqd.amqp.outlet import Outlet

_ACK = struct.Struct(">BHIIQBB")
_ACK_INDEX = 0x003C0050
_NACK_INDEX = 0x003C0078


class Confirms:
    """Confirm state of a channel; exists once confirm.select was sent."""

    __slots__ = (
        "_acked", "_channel_id", "_dirty", "_nacks", "_outlet", "_ready", "_runs", "_told", "_wait",
        "seqno",
    )  # fmt: skip

    def __init__(self, channel_id: int, outlet: Outlet, wait: Callable[[Confirms], None]) -> None:
        self.seqno = 0  # of the last publish
        self._channel_id = channel_id
        self._outlet = outlet
        self._wait = wait  # told when there is something that waits for a commit
        self._runs: deque[list[int]] = deque()  # [seqno, batch]
        self._ready = 0
        self._acked = 0
        self._dirty = False
        self._nacks: list[int] = []  # to be sent
        self._told: set[int] = set()  # nacked, above `_acked`

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
        count = ready - self._acked
        if self._told:
            ready, count = self._step_over(ready)
        if count and not self._outlet.closed:
            self._acked = ready
            self._outlet.write(
                _ACK.pack(1, self._channel_id, 13, _ACK_INDEX, ready, count > 1, 0xCE)
            )

    def _refuse(self) -> None:
        nacks, self._nacks = self._nacks, []
        self._told.update(nacks)
        if not self._outlet.closed:
            for seqno in nacks:
                frame = _ACK.pack(1, self._channel_id, 13, _NACK_INDEX, seqno, 0, 0xCE)
                self._outlet.write(frame)

    def _step_over(self, ready: int) -> tuple[int, int]:
        """(last seqno up to `ready` that was not nacked, how many are there to be acked)."""
        told = self._told
        while ready > self._acked and ready in told:
            ready -= 1
        if ready == self._acked:  # all up to here were nacked
            while ready + 1 in told and ready < self._ready:
                ready += 1
                told.discard(ready)
            self._acked = ready
            return ready, 0
        self._told = {seqno for seqno in told if seqno > ready}
        return ready, ready - self._acked - len(told) + len(self._told)

    def close(self) -> None:
        """The channel is gone: nothing more is sent."""
        self._nacks.clear()
        self._runs.clear()
        self._ready = self._acked
