"""What the workers of the Celery scenarios run. CELERY_TEST_CONFIG: their settings."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("scenarios")
app.conf.update(json.loads(os.environ["CELERY_TEST_CONFIG"]))

_LONG_S = 120


@app.task(name="add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="total")
def total(values: list[int]) -> int:
    return sum(values)


@app.task(name="clock")
def clock() -> float:
    return time.time()


@app.task(name="flaky", bind=True, max_retries=5)
def flaky(self: Any, fails: int) -> int:
    """Fails so many times, then says how often it ran."""
    if self.request.retries < fails:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


@app.task(name="note")
def note(path: str, text: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@app.task(name="sleep")
def sleep(path: str) -> None:
    """Says that it has begun, and does not end by itself."""
    Path(path).touch()
    time.sleep(_LONG_S)


@app.task(name="survive", bind=True, acks_late=True)
def survive(self: Any, path: str) -> bool:
    """The first run does not end; the next says whether the broker called it a redelivery."""
    if not Path(path).exists():
        sleep(path)
    return bool(self.request.delivery_info["redelivered"])
