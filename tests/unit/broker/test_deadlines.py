"""mqd.broker.deadlines: a time to live ends on time, without a look at every queue."""

from __future__ import annotations

import pytest

from mqd.broker.deadlines import Deadlines
from tests.harness import Queue, World


class Looked:
    """Stands for a queue: what time it was when it was told to look."""

    def __init__(self, again_ms: int = 0) -> None:
        self.due_ms = 0
        self.deleted = False
        self.looks: list[int] = []
        self.again_ms = again_ms
        self.deadlines: Deadlines | None = None

    def tick(self, now_ms: int) -> bool:
        self.looks.append(now_ms)
        if self.again_ms and self.deadlines is not None:
            self.deadlines.at(self, self.again_ms)  # type: ignore[arg-type]
            self.again_ms = 0
        return True


def test_only_what_is_due_looks_and_the_next_wake_is_asked_for() -> None:
    wakes: list[int] = []
    deadlines = Deadlines(wakes.append)
    early, late = Looked(), Looked()
    deadlines.at(late, 200)  # type: ignore[arg-type]
    deadlines.at(early, 100)  # type: ignore[arg-type]
    deadlines.run(150)
    assert (early.looks, late.looks) == ([150], [])
    assert wakes == [200, 100, 200]
    deadlines.run(200)
    assert (early.looks, late.looks) == ([150], [200])


def test_a_later_time_is_not_noted_and_an_earlier_one_replaces() -> None:
    wakes: list[int] = []
    deadlines = Deadlines(wakes.append)
    queue = Looked()
    for due_ms in (100, 150, 100, 50):
        deadlines.at(queue, due_ms)  # type: ignore[arg-type]
    assert wakes == [100, 50]
    deadlines.run(1000)
    assert queue.looks == [1000]  # once, not once for each entry


def test_a_queue_that_looks_may_ask_again() -> None:
    deadlines = Deadlines(lambda _: None)
    queue = Looked(again_ms=300)
    queue.deadlines = deadlines
    deadlines.at(queue, 100)  # type: ignore[arg-type]
    deadlines.run(100)
    deadlines.run(299)
    deadlines.run(300)
    assert queue.looks == [100, 300]


def test_who_asks_for_a_time_that_is_over_waits_for_the_next_call() -> None:
    deadlines = Deadlines(lambda _: None)
    queue = Looked(again_ms=50)
    queue.deadlines = deadlines
    deadlines.at(queue, 100)  # type: ignore[arg-type]
    deadlines.run(100)
    assert queue.looks == [100]
    deadlines.run(101)
    assert queue.looks == [100, 101]


@pytest.fixture
def world() -> World:
    return World()


def test_a_message_and_a_queue_ask_for_their_time(world: World) -> None:
    wakes: list[int] = []
    world.broker.wake_at = wakes.append
    client = world.connect(channels=1)
    client.declare("q", arguments={"x-message-ttl": 70})
    client.publish("q", "m")
    assert wakes == [world.clock.monotonic_ms() + 70]
    client.declare("other", arguments={"x-expires": 30})
    assert wakes[1:] == [world.clock.monotonic_ms() + 30]


def test_what_is_due_is_done_when_it_is(world: World) -> None:
    client = world.connect(channels=1)
    client.declare("q", arguments={"x-message-ttl": 70})
    client.declare("gone", arguments={"x-expires": 70})
    client.publish("q", "m")
    world.clock.advance(70)
    world.broker.fire(world.clock.monotonic_ms())
    assert world.queue().ready_count == 0
    assert "gone" not in world.broker.vhosts["/"].queues


def test_queues_that_are_gone_do_not_stay_in_memory() -> None:
    world = World()
    client = world.connect()
    for index in range(2000):
        client.declare(f"q{index}", arguments={"x-expires": 3_600_000})
        client.call(Queue.Delete(0, f"q{index}"))
    assert len(world.broker.deadlines._heap) < 600
    client.declare("q", arguments={"x-expires": 100})
    world.clock.advance(100)
    world.broker.fire(world.clock.now_ms)
    assert "q" not in world.vhost.queues
