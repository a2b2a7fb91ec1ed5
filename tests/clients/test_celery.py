"""A Celery worker with results through rpc://: tasks, groups, chains, retries, control."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def tasks(address: tuple[str, int]) -> Iterator[Any]:
    """The task module, with a worker process that runs it."""
    environment = os.environ | {
        "CELERY_TEST_URL": f"amqp://guest:guest@{address[0]}:{address[1]}//",
        "CELERY_TEST_QUEUE": f"celery-{uuid.uuid4()}",
    }
    os.environ.update(environment)
    module = importlib.import_module("tests.clients.celery_tasks")
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "tests.clients.celery_tasks"),
            *("worker", "--pool", "solo", "--loglevel", "warning"),
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    yield module
    worker.terminate()
    worker.communicate(timeout=PATIENCE_S)


def test_results_come_back(tasks: Any) -> None:
    pending = [tasks.add.delay(number, number) for number in range(20)]
    assert [result.get(timeout=PATIENCE_S) for result in pending] == [2 * n for n in range(20)]


def test_group_and_chain(tasks: Any) -> None:
    from celery import chain, group

    assert group(tasks.add.s(n, 1) for n in range(5))().get(timeout=PATIENCE_S) == [1, 2, 3, 4, 5]
    assert chain(tasks.add.s(1, 2), tasks.add.s(10))().get(timeout=PATIENCE_S) == 13


def test_retries_and_errors(tasks: Any) -> None:
    assert tasks.flaky.delay(2).get(timeout=PATIENCE_S) == 2
    with pytest.raises(ValueError, match="as asked"):
        tasks.explode.delay().get(timeout=PATIENCE_S)


def test_worker_answers_control(tasks: Any) -> None:
    """ping goes through a fanout exchange and comes back on a reply queue."""
    tasks.add.delay(1, 1).get(timeout=PATIENCE_S)
    replies = tasks.app.control.ping(timeout=PATIENCE_S, limit=1)
    assert [next(iter(reply.values())) for reply in replies] == [{"ok": "pong"}]
