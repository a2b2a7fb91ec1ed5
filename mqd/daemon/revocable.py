"""Work that somebody waits for and somebody else may call off.

Decides that whoever waits is told so, with what was begun undone by then. Never decides why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Revocable:
    """One at a time."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None

    async def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What it returns; None: it was revoked. Raises what it raises."""
        task = self._task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:  # who waits is called off itself
            task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            self._task = None
        return None if task.cancelled() else task.result()

    def revoke(self) -> None:
        """What is under way, if anything is, ends now."""
        if self._task is not None:
            self._task.cancel()
