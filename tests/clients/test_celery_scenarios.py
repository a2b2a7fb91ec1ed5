"""What applications do with Celery: chords, countdowns, killed workers, revoking, priorities.

Every scenario has queues of its own and a worker process or two, so that any broker can be judged.
CELERY_TEST_TASKS says how many tasks the larger ones have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.filterwarnings("ignore")

_TASKS = int(os.environ.get("CELERY_TEST_TASKS", "12"))
_MODULE = "tests.clients.celery_scenario_tasks"

Settings = dict[str, Any]


@pytest.fixture(scope="module")
def settings(address: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of a scenario that wants nothing special; rpc:// knows no chords, so results are files."""
    results = tmp_path_factory.mktemp("results")
    return {
        "broker_url": f"amqp://guest:guest@{address[0]}:{address[1]}//",
        "broker_connection_retry_on_startup": True,
        "result_backend": f"file://{results}",
        "worker_prefetch_multiplier": 1,
    }


def _own(settings: Settings, **more: Any) -> Settings:
    name = f"celery-{uuid.uuid4().hex[:8]}"
    own = {"task_default_queue": name, "task_default_exchange": name}
    return {**settings, **own, "task_default_routing_key": name, **more}


@contextmanager
def _client(settings: Settings) -> Iterator[Any]:
    from celery import Celery

    app = Celery(f"client-{settings['task_default_queue']}", set_as_current=False)
    app.conf.update(settings)
    try:
        yield app
    finally:
        if consumer := getattr(app.backend, "result_consumer", None):
            consumer.stop()
        app.close()


@contextmanager
def _worker(settings: Settings, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "celery", "-A", _MODULE, "worker", "--loglevel", "warning"]
    words += ["-n", f"{uuid.uuid4().hex[:8]}@%h", "--without-mingle", "--without-gossip"]
    process = subprocess.Popen(
        words + list(options or ("--pool", "solo")),
        env=os.environ | {"CELERY_TEST_CONFIG": json.dumps(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Any]:
    """A client, with a worker of two processes that runs what it sends."""
    own = _own(settings)
    with _worker(own, "--pool", "prefork", "--concurrency", "2"), _client(own) as client:
        client.send_task("clock").get(
            timeout=PATIENCE_S
        )  # an order to a worker that is not there is lost
        yield client


def _until(is_true: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := is_true()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


def test_a_chord_runs_its_body_once_all_are_done(app: Any) -> None:
    """With files as results, a task that retries with a countdown looks whether all are done."""
    from celery import chord

    header = [app.signature("add", (number, 1)) for number in range(_TASKS)]
    body = app.signature("total")
    result = chord(header, app=app)(body, interval=0.1)
    assert result.get(timeout=PATIENCE_S) == sum(range(_TASKS)) + _TASKS


def test_a_countdown_is_waited_for(app: Any) -> None:
    sent = time.time()
    results = [app.send_task("clock", countdown=0.5 + number / 10) for number in range(5)]
    assert all(
        result.get(timeout=PATIENCE_S) >= sent + 0.5 + number / 10
        for number, result in enumerate(results)
    )


def test_retries_come_back(app: Any) -> None:
    results = [app.send_task("flaky", (number % 4,)) for number in range(_TASKS)]
    assert [result.get(timeout=PATIENCE_S) for result in results] == [n % 4 for n in range(_TASKS)]


def test_a_revoked_task_does_not_run(app: Any, tmp_path: Path) -> None:
    from celery.exceptions import TaskRevokedError

    result = app.send_task("note", (str(tmp_path / "ran"), "x"), countdown=6)
    app.control.revoke(result.id, reply=True, timeout=PATIENCE_S, limit=1)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE_S)
    assert not (tmp_path / "ran").exists()


def test_a_running_task_is_ended(app: Any, tmp_path: Path) -> None:
    from celery.exceptions import TaskRevokedError

    result = app.send_task("sleep", (str(tmp_path / "began"),))
    _until((tmp_path / "began").exists)
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE_S)


def test_a_worker_takes_another_queue_when_told(app: Any) -> None:
    """Orders and answers go through a fanout exchange and a queue for each who asks."""
    name = f"{app.conf.task_default_queue}-more"
    app.control.add_consumer(name, reply=True, timeout=PATIENCE_S, limit=1)
    assert app.send_task("add", (1, 2), queue=name).get(timeout=PATIENCE_S) == 3
    (queues,) = app.control.inspect(timeout=PATIENCE_S, limit=1).active_queues().values()
    assert {queue["name"] for queue in queues} == {app.conf.task_default_queue, name}
    app.control.cancel_consumer(name, reply=True, timeout=PATIENCE_S, limit=1)


def test_results_through_the_broker(settings: Settings) -> None:
    from celery import chain, group

    own = _own(settings, result_backend="rpc://", result_persistent=True)
    with _worker(own), _client(own) as app:
        add = app.signature
        several = group([add("add", (n, 1)) for n in range(_TASKS)], app=app)()
        assert several.get(timeout=PATIENCE_S) == [n + 1 for n in range(_TASKS)]
        one = chain(add("add", (1, 2)), add("add", (10,)), add("add", (100,)), app=app)()
        assert one.get(timeout=PATIENCE_S) == 113


def test_a_task_outlives_its_worker(settings: Settings, tmp_path: Path) -> None:
    """Acknowledged late, it is delivered again when its worker is killed."""
    own = _own(settings)
    path = tmp_path / "began"
    with ExitStack() as stack:
        first = stack.enter_context(_worker(own))
        app = stack.enter_context(_client(own))
        result = app.send_task("survive", (str(path),))
        _until(path.exists)
        stack.enter_context(_worker(own))
        first.kill()
        assert result.get(timeout=PATIENCE_S) is True


def test_urgent_tasks_first(settings: Settings, tmp_path: Path) -> None:
    own = _own(settings, task_queue_max_priority=10, task_default_priority=1)
    path = tmp_path / "order"
    with _client(own) as app:
        results = [
            app.send_task("note", (str(path), str(priority)), priority=priority)
            for priority in [1, 5, 9, 0] * (_TASKS // 4)
        ]
        with _worker(own):
            for result in results:
                result.get(timeout=PATIENCE_S)
    order = [int(line) for line in path.read_text().splitlines()]
    assert order == sorted(order, reverse=True)


def test_quorum_queues_and_their_delays(settings: Settings) -> None:
    """A countdown is waited for in the broker: a ladder of queues with times to live."""
    own = _own(
        settings,
        task_default_queue_type="quorum",
        task_default_exchange_type="topic",
        broker_transport_options={"confirm_publish": True},
        worker_detect_quorum_queues=True,
    )
    with _worker(own), _client(own) as app:
        results = [app.send_task("add", (n, 1)) for n in range(_TASKS)]
        assert [result.get(timeout=PATIENCE_S) for result in results] == [
            n + 1 for n in range(_TASKS)
        ]
        sent = time.time()
        later = [app.send_task("clock", countdown=seconds) for seconds in (2, 1)]
        for seconds, result in zip((2, 1), later, strict=True):
            assert sent + seconds - 0.1 <= result.get(timeout=PATIENCE_S)
