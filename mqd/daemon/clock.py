"""The machine's clock.

Decides nothing: the only place that reads the time. Everything else is handed a `mqd.clock.Clock`.
"""

from __future__ import annotations

import time


class SystemClock:
    """Milliseconds of the machine."""

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000
