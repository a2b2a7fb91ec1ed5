"""mqd.storage.writer: order, outcomes, end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mqd.limits import RETRY_MAX_S, RETRY_MIN_S
from mqd.storage.writer import Backoff, Writer
from tests.waiting import PATIENCE_S


@pytest.mark.asyncio
async def test_jobs_run_in_order_and_outcomes_come_back_on_the_loop_thread() -> None:
    writer = Writer()
    ran: list[int] = []
    told: list[tuple[int, int]] = []
    here = threading.get_ident()

    def job(number: int) -> int:
        assert threading.get_ident() != here
        ran.append(number)
        return number * 10

    for number in range(50):
        writer.submit(
            lambda number=number: job(number),  # type: ignore[misc]
            lambda result, _error: told.append((result, threading.get_ident())),
        )
    assert await writer.call(lambda: "last") == "last"
    assert ran == list(range(50))
    assert told == [(number * 10, here) for number in range(50)]
    writer.stop()


@pytest.mark.asyncio
async def test_an_error_is_an_outcome() -> None:
    writer = Writer()

    def fail() -> None:
        raise OSError("no disc")

    with pytest.raises(OSError, match="no disc"):
        await writer.call(fail)
    assert await writer.call(lambda: 1) == 1
    writer.stop()


@pytest.mark.asyncio
async def test_a_call_that_is_cancelled_still_runs() -> None:
    writer = Writer()
    gate = threading.Event()
    done = threading.Event()

    def job() -> None:
        gate.wait(PATIENCE_S)
        done.set()

    task = asyncio.ensure_future(writer.call(job))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await writer.call(lambda: None)
    assert done.is_set()
    writer.stop()


def test_backoff_grows_to_a_bound_and_starts_again() -> None:
    backoff = Backoff()
    waits = [backoff.next_s() for _ in range(20)]
    assert waits[0] == RETRY_MIN_S
    assert waits[1] == 2 * RETRY_MIN_S
    assert waits[-1] == RETRY_MAX_S
    backoff.reset()
    assert backoff.next_s() == RETRY_MIN_S
