"""Writers that take a shard from each other, on a network that delays, loses and repeats answers.

Every node is a writer with a queue of its own making behind it: it replays, enqueues, settles. An
append that was sent may reach the log at any later time or never, in any order, also when its
writer has long given it up; answers may be lost; copies that are read may lag. Whatever happens:
what landed is there once and in order, what was settled does not come back, and no record of an
older epoch is behind a newer one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.cluster.ports import Entry
from mqd.cluster.shards import records
from mqd.cluster.shards.records import Epoch, number_of
from mqd.cluster.shards.replay import QueueState, Replay, subject_of
from mqd.cluster.shards.writer import Append, Frame, Phase, Writer
from tests.cluster.shards.messages import message

LOG = "Q0"
QUEUE = 7
Draw = Callable[[int], int]  # a number below


@dataclass
class Log:
    entries: list[Entry] = field(default_factory=list)

    @property
    def last(self) -> int:
        return len(self.entries)

    def append(self, subject: str, data: list[bytes], after: int) -> bool:
        if after != self.last:
            return False
        for one in data:
            self.entries.append(Entry(self.last + 1, subject, one))
        return True


@dataclass
class Sent:
    """An append on its way. answered: nobody waits for its outcome any more."""

    node: Node
    writer: Writer
    what: Append | None  # None: an epoch batch
    subject: str
    data: list[bytes]
    after: int
    answered: bool = False


class World:
    """What became of every body: confirmed in this order, settled for good."""

    def __init__(self, window: int) -> None:
        self.log = Log()
        self.window = window
        self.under_way: list[Sent] = []
        self.nodes: list[Node] = []
        self.confirmed: list[bytes] = []
        self.settle_sent: set[bytes] = set()
        self.settled: set[bytes] = set()
        self.bodies = 0
        self.wrote: dict[bytes, Writer] = {}

    def run_sent(self, sent: Sent, draw: Draw) -> None:
        self.under_way.remove(sent)
        accepted = self.log.append(sent.subject, sent.data, sent.after)
        if not sent.answered:
            sent.node.answer(sent, accepted if draw(5) else None)


class Node:
    """A process that wants to write; begins again with a new writer when it has lost."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.starts = 0
        self.begin()

    def begin(self) -> None:
        self.starts += 1
        self.writer = Writer(LOG, f"{self.name}~{self.starts}", self.world.window)
        self.replay = Replay(LOG)
        self.batch_sent = False
        self.state: QueueState | None = None

    def read(self, draw: Draw) -> None:
        """Some of the log, of a copy that may lag."""
        log, writer = self.world.log, self.writer
        if writer.phase is Phase.CHECKING:
            until = log.last - (draw(3) if draw(3) == 0 else 0)
            for entry in log.entries[writer.position : until]:
                if self.state is None:
                    self.replay.take(entry)
                writer.read(entry)
                if writer.phase is not Phase.CHECKING:
                    break
            else:
                writer.reached(until)
        if writer.phase is Phase.FENCING and not self.batch_sent:
            self.batch_sent = True
            batch = writer.batch()
            self.world.under_way.append(
                Sent(self, writer, None, writer.epoch_subject, batch, writer.position)
            )
        if writer.phase is Phase.LOST:
            self.begin()

    def answer(self, sent: Sent, accepted: bool | None) -> None:
        """None: it got lost."""
        sent.answered = True
        if sent.writer is not self.writer:
            return  # a process that is gone
        if sent.what is None:
            self.batch_sent = False
            if accepted:
                self.writer.fenced(sent.after + len(sent.data))
                if self.state is None:
                    self.state = self.replay.queues.get(QUEUE) or QueueState(QUEUE)
            else:
                self.writer.not_fenced()
        elif accepted:
            self.writer.appended(sent.what)
        else:
            self.writer.failed(sent.what)
        self.send()

    def send(self) -> None:
        for append in self.writer.appends():
            data = records.seal(append.epoch, append.frame.sections)
            sent = Sent(self, self.writer, append, append.frame.subject, [data], append.after)
            self.world.under_way.append(sent)

    def publish(self, count: int) -> None:
        state = self.state
        if state is None:
            return
        news = []
        for _ in range(count):
            self.world.bodies += 1
            one = message(b"%d" % self.world.bodies)
            records.give_number(one, state.next_number)
            state.next_number += 1
            state.messages[number_of(one)] = one
            self.world.wrote[one.body] = self.writer
            news.append(one)
        sections = records.messages_sections(QUEUE, news, 0)
        bodies = [one.body for one in news]
        self.offer(sections, lambda: self.world.confirmed.extend(bodies))

    def settle(self, at: int) -> None:
        state = self.state
        if state is None or not state.messages:
            return
        number = sorted(state.messages)[at % len(state.messages)]
        body = state.messages.pop(number).body
        self.world.settle_sent.add(body)
        self.offer(records.settle_sections([number]), lambda: self.world.settled.add(body))

    def offer(self, sections: list[bytes], done: Callable[[], None]) -> None:
        subject = subject_of(LOG, QUEUE)
        self.writer.offer(Frame(subject, sections, lambda seq: done()))
        self.send()


def play(draw: Draw, steps: int, window: int, nodes: int) -> World:
    world = World(window)
    world.nodes = [Node(world, name) for name in "abc"[:nodes]]
    for _ in range(steps):
        node = world.nodes[draw(len(world.nodes))]
        act = draw(12)
        if act < 4 and world.under_way:
            world.run_sent(world.under_way[draw(len(world.under_way))], draw)
        elif act < 7 and world.under_way:
            world.run_sent(world.under_way[0], draw)
        elif act == 7 and world.under_way:  # no answer in time; it may still arrive
            sent = world.under_way[draw(len(world.under_way))]
            if not sent.answered:
                sent.node.answer(sent, None)
        elif act == 8 and world.under_way and draw(2):  # never arrives
            sent = world.under_way.pop(draw(len(world.under_way)))
            if not sent.answered:
                sent.node.answer(sent, None)
        elif act == 9:
            node.settle(draw(8))
        elif act == 10 and draw(3) == 0:
            node.writer.doubt()
        elif draw(40) == 0:
            node.begin()  # a crash
        else:
            node.publish(1 + draw(3))
        node.read(draw)
    return world


def judge(world: World) -> None:
    replay = Replay(LOG)
    for entry in world.log.entries:
        replay.take(entry)
    assert replay.ignored == 0
    state = replay.queues.get(QUEUE) or QueueState(QUEUE)
    there = [one.body for one in state.in_order()]
    assert len(there) == len(set(there))
    assert len(world.confirmed) == len(set(world.confirmed))
    owed = [body for body in world.confirmed if body not in world.settle_sent]
    assert set(owed) <= set(there)
    for writer in {world.wrote[body] for body in owed}:  # of two, one may hear late of its own
        own = [body for body in owed if world.wrote[body] == writer]
        assert [body for body in there if body in set(own)] == own
    assert not world.settled.intersection(there)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 4), st.integers(1, 3))
def test_whatever_happens_nothing_is_lost_doubled_or_mixed(
    seed: int, window: int, nodes: int
) -> None:
    judge(play(Random(seed).randrange, 200, window, nodes))


def test_one_epoch_record_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme that was measured to be unsafe is found out by this test."""

    def one(self: Writer) -> list[bytes]:
        number = max(self._highest, self.epoch) + 1
        return [records.seal(number, [records.epoch_section(Epoch(self.name, 1), 0)])]

    monkeypatch.setattr(Writer, "batch", one)
    with pytest.raises(AssertionError):  # noqa: PT012 - whichever seed finds it
        for seed in range(300):
            judge(play(Random(seed).randrange, 300, 4, 3))


def test_the_sequences_of_frames_are_those_of_the_log() -> None:
    landed: list[int] = []
    writer = Writer(LOG, "a~1", 2)
    assert writer.reached(0)
    assert len(writer.batch()) == 3
    writer.fenced(3)
    for _ in range(3):
        writer.offer(Frame("Q0.7", [], landed.append))
    first, second = writer.appends()
    assert (first.after, second.after, writer.room, writer.pending) == (3, 4, 0, 3)
    writer.appended(second)
    assert landed == [4, 5]
    assert [append.after for append in writer.appends()] == [5]


def test_a_writer_that_resigns_hands_back_what_did_not_land() -> None:
    writer = Writer(LOG, "a~1", 2)
    writer.reached(0)
    writer.fenced(3)
    frames = [Frame("Q0.7", [], lambda seq: None) for _ in range(3)]
    for frame in frames:
        writer.offer(frame)
    writer.appended(writer.appends()[0])
    writer.resign()
    assert writer.abandoned() == frames[1:]
