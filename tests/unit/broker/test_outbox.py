"""In which order a queue of another node is sent what nobody has answered for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from mqd.broker.definitions import QueueDefinition
from mqd.broker.homes import Here, Home
from mqd.broker.queues.remote import RemoteQueue
from tests.harness import World

OUTSIDE = QueueDefinition(7, "/", "q", type="quorum")
IN_LOG = replace(OUTSIDE, shard=0)


class Place:
    """A home that takes note of what it is sent."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.is_up = True
        self.sent: list[str] = []

    def again(self, queue: RemoteQueue) -> None:
        self.sent.append("again")

    def publish(self, queue: RemoteQueue, ticket: int, *kept: Any) -> None:
        self.sent.append(kept[1].decode())

    def take(self) -> str:
        sent, self.sent = self.sent, []
        return " ".join(sent)


class Scene(Here):
    """Queue q, first at `x`; `tickets` of what was published, by body."""

    def __init__(self, definition: QueueDefinition) -> None:
        self.x, self.y = Place("x"), Place("y")
        world = World()
        world.broker.homes = self
        world.broker.apply_put_queue(definition)
        self.tickets: dict[str, int] = {}
        queue = world.vhost.queues["q"]
        assert isinstance(queue, RemoteQueue)
        self.queue = queue

    def elsewhere(self, definition: QueueDefinition) -> Home | None:
        return cast("Home", self.x)

    def publish(self, *bodies: str) -> None:
        for body in bodies:
            self.tickets[body] = self.queue.publish(b"", body.encode(), True)

    def move(self, place: Place) -> None:
        self.queue.moved(cast("Home", place))

    def away(self, body: str) -> None:
        """Whoever was sent it is not the home."""
        self.queue.unanswered(self.tickets[body])

    def confirm(self, body: str) -> None:
        self.queue.answered(self.tickets[body], True)


@pytest.mark.parametrize("definition", [OUTSIDE, IN_LOG])
def test_what_is_published_goes_at_once(definition: QueueDefinition) -> None:
    scene = Scene(definition)
    scene.publish("1", "2")
    assert scene.x.take() == "1 2"
    scene.confirm("1")
    scene.publish("3")
    assert scene.x.take() == "3"


def test_of_what_is_in_a_log_the_next_home_gets_all_that_is_open() -> None:
    scene = Scene(IN_LOG)
    scene.publish("1", "2", "3")
    scene.confirm("2")
    scene.move(scene.y)
    scene.publish("4")
    assert scene.y.take() == "again 1 3 4"
    scene.away("1")  # what x had to say changes nothing
    assert scene.y.take() == ""


def test_outside_a_log_nothing_overtakes_what_the_former_home_has() -> None:
    scene = Scene(OUTSIDE)
    scene.publish("1", "2", "3")
    scene.move(scene.y)
    scene.publish("4")
    scene.confirm("1")
    scene.away("2")
    scene.publish("5")
    assert scene.y.take() == ""
    scene.away("3")
    assert scene.y.take() == "again 2 3 4 5"
    scene.publish("6")
    assert scene.y.take() == "6"


def test_a_home_that_has_it_anew_gets_all_that_it_sent_away() -> None:
    """It says so while it is still sending away what came before."""
    scene = Scene(OUTSIDE)
    scene.publish("1", "2")
    scene.away("1")
    scene.queue.renewed()
    scene.x.take()
    scene.publish("3")
    scene.away("2")
    assert scene.x.take() == "again 1 2 3"


def test_a_home_that_is_away_is_sent_nothing() -> None:
    scene = Scene(OUTSIDE)
    scene.publish("1")
    scene.x.take()
    scene.x.is_up = False
    scene.away("1")
    scene.publish("2")
    assert scene.x.take() == ""
    scene.x.is_up = True
    scene.queue.found()
    assert scene.x.take() == "again 1 2"
