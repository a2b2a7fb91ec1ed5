"""Publisher confirms: whatever order batches and transient messages come in, acks are contiguous,
grow, are never early, and in the end cover all. With tickets, which end in any order, each publish
is answered once, as soon as it can be, and by a nack when its ticket was rejected."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands, frame

from mqd.amqp.outlet import Outlet, Turn
from mqd.broker.confirms import Confirms
from mqd.broker.tickets import Tickets

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


class TicketBench:
    """Confirms of publishes that wait for a batch, for a ticket, for nothing, or are rejected."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.outlet = Outlet(self.turn, lambda: None)
        self.tickets = Tickets(lambda batch, call: call())
        self.confirms = Confirms(CHANNEL, self.outlet, lambda _: None, self.tickets)
        self.gathering = 1
        self.durable = 0
        self.batches: list[int] = []  # by seqno - 1: the batch that those up to it wait for
        self.open: dict[int, int] = {}  # seqno → ticket
        self.refused: set[int] = set()
        self.acked: set[int] = set()
        self.nacked: set[int] = set()

    def do(self, what: str, value: int) -> None:
        waits = max(self.batches[-1:] or [0])
        match what:
            case "publish":
                batch = self.gathering if value else 0
                self.confirms.published(batch)
                self.batches.append(max(batch, waits))
            case "ticket":
                ticket = self.tickets.new()
                self.confirms.published(ticket)
                self.batches.append(waits)
                self.open[len(self.batches)] = ticket
            case "reject":
                self.confirms.rejected()
                self.batches.append(waits)
                self.refused.add(len(self.batches))
            case "end" if self.open:
                seqno = list(self.open)[value % len(self.open)]
                ticket = self.open.pop(seqno)
                if value % 3:
                    self.tickets.done(ticket)
                else:
                    self.tickets.rejected(ticket)
                    self.refused.add(seqno)
            case "begin":
                self.gathering += 1
            case "durable":
                self.durable = min(self.durable + value, self.gathering - 1)
                self.confirms.durable(self.durable)
            case "turn":
                self.end_turn()

    def end_turn(self) -> None:
        self.turn.end()
        frames, self.outlet.frames = self.outlet.frames, []
        for data in frames:
            _, _, answer = frame.unmarshal(data)
            tag = answer.delivery_tag
            if isinstance(answer, commands.Basic.Nack):
                assert tag in self.refused
                assert tag not in self.acked | self.nacked
                self.nacked.add(tag)
                continue
            first = 1 if answer.multiple else tag
            new = set(range(first, tag + 1)) - self.acked - self.nacked
            assert tag in new
            assert not new & self.refused
            assert not new & self.open.keys()
            assert all(self.batches[seqno - 1] <= self.durable for seqno in new)
            self.acked |= new
        assert self.nacked == self.refused
        everything = set(range(1, len(self.batches) + 1))
        due = {n for n in everything if self.batches[n - 1] <= self.durable}
        assert self.acked == due - self.open.keys() - self.refused
        left = everything - self.acked - self.nacked
        assert self.confirms.unconfirmed_count == len(left)


ticket_events = st.one_of(
    events,
    st.tuples(st.just("ticket"), st.just(0)),
    st.tuples(st.just("ticket"), st.just(0)),
    st.tuples(st.just("reject"), st.just(0)),
    st.tuples(st.just("end"), st.integers(0, 8)),
    st.tuples(st.just("end"), st.integers(0, 8)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ticket_events, max_size=60))
def test_tickets_end_in_any_order(steps: list[tuple[str, int]]) -> None:
    bench = TicketBench()
    for what, value in steps:
        bench.do(what, value)
    while bench.open:
        bench.do("end", 1)
        bench.end_turn()
    bench.do("begin", 0)
    bench.do("durable", len(steps) + 1)
    bench.end_turn()
    assert not bench.tickets
    assert bench.confirms.unconfirmed_count == 0


@given(st.lists(ticket_events, max_size=30))
def test_tickets_of_a_closed_channel_end_unheard(steps: list[tuple[str, int]]) -> None:
    bench = TicketBench()
    for what, value in steps:
        bench.do(what, value)
    bench.end_turn()
    bench.confirms.close()
    for ticket in bench.open.values():
        bench.tickets.rejected(ticket)
    bench.turn.end()
    assert bench.outlet.frames == []
