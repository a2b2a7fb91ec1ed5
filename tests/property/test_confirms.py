"""Publisher confirms: whatever order batches and transient messages come in, acks are contiguous,
grow, are never early, and in the end cover all."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands, frame

from mqd.amqp.outlet import Outlet, Turn
from mqd.broker.confirms import Confirms

CHANNEL = 7
# ("publish", True when it has to wait for the batch being gathered), ("begin",): a commit begins,
# ("durable", how many of the begun ones end), ("turn",): a turn ends
events = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 1)),
    st.tuples(st.just("begin"), st.just(0)),
    st.tuples(st.just("durable"), st.integers(1, 3)),
    st.tuples(st.just("turn"), st.just(0)),
)


class Bench:
    """Confirms with a store that is told when to commit."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.sent: list[bytes] = []
        self.outlet = Outlet(self.turn, self.flush)
        self.waiting = False
        self.confirms = Confirms(CHANNEL, self.outlet, self.wait)
        self.gathering = 1
        self.durable = 0
        self.needs: list[int] = []  # batch a seqno waits for, by seqno - 1
        self.acked = 0

    def wait(self, confirms: Confirms) -> None:
        assert confirms is self.confirms
        self.waiting = True

    def flush(self) -> None:
        self.sent.append(b"".join(self.outlet.frames))
        self.outlet.frames.clear()

    def publish(self, waits: int) -> None:
        batch = self.gathering if waits else 0
        self.needs.append(batch)
        self.confirms.published(batch)

    def begin(self) -> None:
        self.gathering += 1

    def end_commits(self, count: int) -> None:
        self.durable = min(self.durable + count, self.gathering - 1)
        if self.waiting:
            self.waiting = self.confirms.durable(self.durable)

    def end_turn(self) -> None:
        self.turn.end()
        sent, self.sent = self.sent, []
        for data in sent:
            size, channel, ack = frame.unmarshal(data)
            assert size == len(data), "more than one ack in a turn"
            assert channel == CHANNEL
            assert isinstance(ack, commands.Basic.Ack)
            tag = ack.delivery_tag
            assert tag is not None
            assert tag > self.acked
            assert ack.multiple == (tag > self.acked + 1)
            assert all(need <= self.durable for need in self.needs[self.acked : tag])
            self.acked = tag
        # and not later than it could be
        waiting = [n for n, need in enumerate(self.needs, 1) if need > self.durable]
        assert self.acked >= (waiting[0] - 1 if waiting else len(self.needs))
        assert self.confirms.unconfirmed_count == len(self.needs) - self.acked


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=60))
def test_acks_are_contiguous_and_never_early(steps: list[tuple[str, int]]) -> None:
    bench = Bench()
    for what, value in steps:
        match what:
            case "publish":
                bench.publish(value)
            case "begin":
                bench.begin()
            case "durable":
                bench.end_commits(value)
            case _:
                bench.end_turn()
    bench.begin()
    bench.end_commits(len(steps) + 1)
    bench.end_turn()
    assert bench.acked == len(bench.needs)
    assert not bench.waiting


@given(st.lists(events, max_size=30), st.booleans())
def test_nothing_leaves_a_closed_channel(steps: list[tuple[str, int]], lost: bool) -> None:
    bench = Bench()
    for what, value in steps:
        if what == "publish":
            bench.publish(value)
        elif what == "begin":
            bench.begin()
    bench.outlet.closed = lost
    bench.confirms.close()
    bench.turn.end()
    bench.sent.clear()
    bench.begin()
    bench.end_commits(99)
    bench.turn.end()
    assert bench.sent == []
    assert not bench.waiting
