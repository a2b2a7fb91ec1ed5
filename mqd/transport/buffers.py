"""What waits in all connections together for peers that read slowly.

Theory. A connection takes up to its high water, then its consumers are offered nothing more
(`mqd.amqp.outlet`) and messages stay in their queues, where they are paged. With a thousand slow
consumers of a large fan-out the waters add up. So their sum is looked at now and then: beyond
its own limit every connection's high water is lowered, down to a least one with which a peer that
reads keeps its rate, and raised again by and by. The sum is a tenant of the room that all backlogs
share (`mqd.broker.room`): what connections need others have less. Bytes that wait already stay.
(RabbitMQ: 200 messages on their way from one queue to one channel, whatever their size.)

Decides the high water of connections. Never writes or stops anybody: transports do, and outlets.
"""

from __future__ import annotations

import asyncio

from mqd import limits
from mqd.broker.room import Room


class Buffers:
    """See the file's charter; a `mqd.broker.room.Tenant`."""

    def __init__(self, room: Room) -> None:
        self.lease_bytes = room.step_bytes
        self.resident_bytes = 0
        self.high_water_bytes = limits.WRITE_HIGH_WATER_BYTES
        self._room = room
        self._transports: set[asyncio.Transport] = set()

    def add(self, transport: asyncio.Transport) -> None:
        """A connection begins."""
        self._transports.add(transport)
        self._tell(transport)

    def discard(self, transport: asyncio.Transport) -> None:
        self._transports.discard(transport)

    def look(self) -> None:
        """Called about twice a second."""
        sizes = [size for each in self._transports if (size := each.get_write_buffer_size())]
        total = self.resident_bytes = sum(sizes)
        if total > self._room.step_bytes:
            self._room.lease(self, total, must=True)
        else:
            self._room.leave(self)
        limit = min(limits.WRITE_TOTAL_BYTES_MAX, self._room.total_bytes // 4)
        if total > limit:
            self._bound(min(limit // len(sizes), self.high_water_bytes))
        elif total < limit // 2:
            self._bound(2 * self.high_water_bytes)

    def shed(self) -> None:
        self._bound(0)

    def _bound(self, high_water_bytes: int) -> None:
        high_water_bytes = max(high_water_bytes, limits.WRITE_HIGH_WATER_BYTES_MIN)
        high_water_bytes = min(high_water_bytes, limits.WRITE_HIGH_WATER_BYTES)
        if high_water_bytes != self.high_water_bytes:
            self.high_water_bytes = high_water_bytes
            for transport in self._transports:
                self._tell(transport)

    def _tell(self, transport: asyncio.Transport) -> None:
        high = self.high_water_bytes
        low = high * limits.WRITE_LOW_WATER_BYTES // limits.WRITE_HIGH_WATER_BYTES
        transport.set_write_buffer_limits(high, low)
