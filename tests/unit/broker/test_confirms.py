"""`mqd.broker.confirms`: which ack is sent when. Any order of events: tests/property."""

from __future__ import annotations

from mqd.amqp.outlet import Outlet, Turn
from mqd.broker.confirms import Confirms


class Bench:
    def __init__(self) -> None:
        self.turn = Turn()
        self.outlet = Outlet(self.turn, lambda: None)
        self.waits = 0
        self.confirms = Confirms(3, self.outlet, self.wait)

    def wait(self, confirms: Confirms) -> None:
        self.waits += 1

    def acks(self) -> list[tuple[int, bool]]:
        """(delivery tag, multiple) of what the turn's end sends."""
        self.turn.end()
        frames, self.outlet.frames = self.outlet.frames, []
        for frame in frames:
            assert frame[:11] == b"\x01\0\x03\0\0\0\x0d\0\x3c\0\x50"
            assert frame[20:] == b"\xce"
        return [(int.from_bytes(frame[11:19], "big"), bool(frame[19])) for frame in frames]


def test_what_needs_no_disc_is_acked_at_the_end_of_the_turn() -> None:
    bench = Bench()
    bench.confirms.published(0)
    assert bench.outlet.frames == []
    assert bench.acks() == [(1, False)]
    for _ in range(3):
        bench.confirms.published(0)
    assert bench.acks() == [(4, True)]
    assert bench.acks() == []
    assert bench.waits == 0


def test_a_batch_is_one_ack() -> None:
    bench = Bench()
    for _ in range(3):
        bench.confirms.published(1)
    assert bench.acks() == []
    assert bench.confirms.unconfirmed_count == 3
    assert bench.confirms.durable(1) is False
    assert bench.acks() == [(3, True)]
    assert bench.confirms.unconfirmed_count == 0


def test_what_comes_behind_a_batch_waits_for_it() -> None:
    """Confirms stay in order, so that one ack covers a run."""
    bench = Bench()
    bench.confirms.published(0)
    bench.confirms.published(1)
    bench.confirms.published(0)
    assert bench.acks() == [(1, False)]
    bench.confirms.published(2)
    assert bench.confirms.durable(1) is True
    assert bench.acks() == [(3, True)]
    assert bench.confirms.durable(2) is False
    assert bench.acks() == [(4, False)]


def test_commits_of_one_turn_are_one_ack() -> None:
    bench = Bench()
    bench.confirms.published(1)
    bench.confirms.published(2)
    bench.confirms.durable(1)
    bench.confirms.durable(2)
    assert bench.acks() == [(2, True)]


def test_the_store_is_asked_once_a_wait() -> None:
    bench = Bench()
    bench.confirms.published(1)
    bench.confirms.published(1)
    bench.confirms.published(2)
    assert bench.waits == 1
    bench.confirms.durable(2)
    bench.confirms.published(3)
    assert bench.waits == 2


def test_an_older_batch_behind_a_newer_one_waits_with_it() -> None:
    bench = Bench()
    bench.confirms.published(2)
    bench.confirms.published(1)
    bench.confirms.durable(1)
    assert bench.acks() == []
    bench.confirms.durable(2)
    assert bench.acks() == [(2, True)]


def test_a_channel_that_closes_is_sent_nothing() -> None:
    bench = Bench()
    bench.confirms.published(0)
    bench.confirms.close()
    assert bench.acks() == []  # observed: 3.10.8 does not flush them either
    bench = Bench()
    bench.confirms.published(1)
    bench.confirms.close()
    assert bench.confirms.durable(1) is False
    assert bench.acks() == []


def test_a_lost_connection_is_sent_nothing() -> None:
    bench = Bench()
    bench.confirms.published(0)
    bench.outlet.closed = True
    assert bench.acks() == []
