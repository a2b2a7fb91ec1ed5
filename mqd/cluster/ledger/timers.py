"""How the parts of the ledger ask to be called later.

Decides the shape alone, so that a test can let time pass by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Cancel = Callable[[], None]
Later = Callable[[float, Callable[[], None]], Cancel]  # (seconds, what to call)


def loop_timers(loop: asyncio.AbstractEventLoop) -> Later:
    """Those of a running loop."""

    def later(seconds: float, call: Callable[[], None]) -> Cancel:
        return loop.call_later(seconds, call).cancel

    return later
