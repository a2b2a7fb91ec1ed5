"""The one thread that waits for the disc.

Decides that jobs run one after another in the order they were handed over, and that their
outcome comes back to the loop thread. Never knows what a job writes. The order is a promise
others build on: what was submitted earlier is on disc earlier.

A job's exception is an outcome like another: it goes to `done`, which runs on the loop thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from mqd.limits import RETRY_MAX_S, RETRY_MIN_S

Job = Callable[[], Any]
Outcome = Callable[[Any, BaseException | None], None]


class Writer:
    """Runs jobs on its thread and tells their outcome on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[Job, Outcome] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mqd-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job, done: Outcome) -> None:
        """Run `job()` on the writer thread, then `done(result, error)` on the loop's."""
        self._jobs.put((job, done))

    async def call(self, job: Job) -> Any:
        """`submit` for coroutines: returns the job's result or raises its error."""
        future: asyncio.Future[Any] = self.loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.submit(job, settle)
        return await asyncio.shield(future)

    def stop(self) -> None:
        """End the thread after the jobs that were handed over; waits for it."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        take = self._jobs.get
        post = self.loop.call_soon_threadsafe
        while (item := take()) is not None:
            job, done = item
            result, error = None, None
            try:
                result = job()
            except BaseException as caught:  # noqa: BLE001 - handed to the loop thread as it is
                error = caught
            try:
                post(done, result, error)
            except RuntimeError:  # the loop was closed under us: nobody is left to be told
                return
            del item, job, done, result, error  # a batch must not live until the next one


class Backoff:
    """How long to wait before the disc is asked again."""

    def __init__(self) -> None:
        self._wait_s = RETRY_MIN_S

    def next_s(self) -> float:
        wait_s = self._wait_s
        self._wait_s = min(wait_s * 2, RETRY_MAX_S)
        return wait_s

    def reset(self) -> None:
        self._wait_s = RETRY_MIN_S
