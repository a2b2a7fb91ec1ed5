"""`mqd.amqp.outlet`: what gathers in a turn and in which order it leaves."""

from __future__ import annotations

from collections.abc import Callable

from mqd.amqp.outlet import Outlet, Turn


def outlet_into(turn: Turn, sink: list[bytes]) -> Outlet:
    def flush() -> None:
        sink.append(b"".join(outlet.frames))
        outlet.frames.clear()

    outlet = Outlet(turn, flush)
    return outlet


def test_one_write_a_connection_and_turn() -> None:
    turn = Turn()
    sink: list[bytes] = []
    one, two = outlet_into(turn, sink), outlet_into(turn, sink)
    one.write(b"a")
    two.write(b"x")
    one.write(b"b")
    turn.end()
    assert sink == [b"ab", b"x"]
    turn.end()
    assert len(sink) == 2


def test_confirms_come_before_the_writes() -> None:
    turn = Turn()
    sink: list[bytes] = []
    outlet = outlet_into(turn, sink)
    turn.confirms.append(lambda: outlet.write(b"ack"))
    turn.end()
    assert sink == [b"ack"]
    assert turn.confirms == []


def test_what_was_put_off_is_done_in_the_next_turn() -> None:
    woken: list[str] = []
    turn = Turn()
    turn.wake = lambda: woken.append("wake")
    sink: list[bytes] = []
    outlet = outlet_into(turn, sink)

    def step() -> None:
        outlet.write(b"more")
        if len(sink) < 2:
            turn.later.append(step)

    turn.later.append(step)
    turn.end()
    assert sink == []
    assert woken == ["wake"]
    turn.run()
    assert sink == [b"more"]
    assert woken == ["wake", "wake"]
    turn.run()
    turn.run()
    assert sink == [b"more"] * 3
    assert turn.later == []


def test_events_that_are_ready_share_a_turn() -> None:
    woken: list[str] = []
    turn = Turn()
    turn.wake = lambda: woken.append("wake")
    turn.end_soon()
    assert woken == []  # nothing happened
    outlet = outlet_into(turn, [])
    outlet.write(b"a")
    turn.end_soon()
    outlet.write(b"b")
    turn.end_soon()
    assert woken == ["wake"]
    turn.run()
    outlet.write(b"c")
    turn.end_soon()
    assert woken == ["wake", "wake"]


def test_a_peer_that_reads_again() -> None:
    turn = Turn()
    outlet = outlet_into(turn, [])
    outlet.congested = True
    resumed: list[int] = []

    def again() -> None:
        resumed.append(2)
        outlet.park(lambda: resumed.append(3))

    calls: list[Callable[[], None]] = [lambda: resumed.append(1), again]
    for call in calls:
        outlet.park(call)
    outlet.relieve()
    assert not outlet.congested
    assert resumed == [1, 2]
    outlet.relieve()
    assert resumed == [1, 2, 3]
