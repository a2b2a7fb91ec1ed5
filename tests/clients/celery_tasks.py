"""What the Celery worker of the client tests runs. The broker comes in CELERY_TEST_URL."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("judge", broker=os.environ["CELERY_TEST_URL"], backend="rpc://")
app.conf.task_default_queue = os.environ["CELERY_TEST_QUEUE"]
app.conf.broker_connection_retry_on_startup = True
app.conf.result_expires = 60
app.conf.task_acks_late = True


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self, fails: int) -> int:  # type: ignore[no-untyped-def]
    """Fails so many times, then says how often it ran."""
    if self.request.retries < fails:
        raise self.retry(countdown=0)
    return int(self.request.retries)


@app.task
def explode() -> None:
    raise ValueError("as asked")
