"""Deliveries that nobody acknowledged in time (`consumer_timeout`).

Theory. No delivery carries a time: that would cost the hot path a clock. Instead the oldest
unacknowledged delivery of each channel is looked at now and then; one that was the oldest already
when the timeout began has waited at least that long. A channel that acknowledges anything in order
starts anew, so a delivery behind a slow one may wait up to twice the time.

Decides when a channel is looked at and which is overdue. Never closes it: its session does.
"""

from __future__ import annotations

from collections.abc import Iterable

from mqd.broker.channel import Channel
from mqd.broker.entries import ConnectionEntry

_INTERVAL_MIN_MS = 500
_INTERVAL_MAX_MS = 60_000  # RabbitMQ: channel_tick_interval


class Overdue:
    """The watch over all channels of a node. timeout_ms 0: none."""

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._interval_ms = min(max(timeout_ms // 4, _INTERVAL_MIN_MS), _INTERVAL_MAX_MS)
        self._next_ms = 0
        self._oldest: dict[Channel, tuple[int, int]] = {}  # delivery tag, seen first when

    def find(
        self, connections: Iterable[ConnectionEntry], now_ms: int
    ) -> list[tuple[ConnectionEntry, Channel, int]]:
        """Connection, channel and delivery tag of every delivery that is overdue now."""
        if not self._timeout_ms or now_ms < self._next_ms:
            return []
        self._next_ms = now_ms + self._interval_ms
        before, self._oldest = self._oldest, {}
        found = []
        for entry in connections:
            for channel in entry.channels.values():
                tag = next(iter(channel.unacked), 0)
                if not tag:
                    continue
                seen = before.get(channel, (0, 0))
                if seen[0] != tag:
                    seen = (tag, now_ms)
                self._oldest[channel] = seen
                if now_ms - seen[1] > self._timeout_ms:
                    found.append((entry, channel, tag))
        return found
