"""The backlog against a sorted list, with pages of three messages so that paging never stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mqd import limits
from mqd.broker import backlog
from mqd.broker.backlog import Backlog, Sum
from mqd.broker.memory import MemorySpool, MemoryStore
from mqd.broker.message import Message, content_of, names_of
from mqd.broker.room import Room

QUEUE_ID = 1
PATIENCE = 2


@dataclass(order=True)
class Row:
    """What the naive list knows of a message."""

    position: int
    body: bytes
    stored: bool
    redelivered: bool = False


class BacklogMachine(RuleBasedStateMachine):
    """Messages are pushed, taken, put back; commits come late."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "PAGE_MESSAGES_MAX", 3)
        self.patch.setattr(limits, "PAGE_BYTES_MAX", 2000)
        self.patch.setattr(backlog, "_PATIENCE_MESSAGES", PATIENCE)
        self.spool = MemorySpool()
        self.store = MemoryStore(commit_at_once=False)
        self.patch.setattr(limits, "ROOM_STEP_BYTES_MIN", 300)
        self.room = Room(3000)
        self.backlog = Backlog(self.spool, 2, 1000, self.room)
        self.ready: list[Row] = []
        self.taken: list[tuple[Row, Message]] = []
        self.pushed = 0
        self.waited = False

    @rule()
    def count_bodies(self) -> None:
        self.backlog.count_bodies()

    @invariant()
    def bodies_are_counted(self) -> None:
        assert self.backlog.ready_bytes == sum(len(row.body) for row in self.ready)
        stored = [len(row.body) for row in self.ready if row.stored]
        total = Sum(len(self.ready), self.backlog.ready_bytes, len(stored), sum(stored))
        assert self.backlog.ready_sum() == total

    def teardown(self) -> None:
        self.patch.undo()

    @initialize(recovered=st.lists(st.booleans(), max_size=8))
    def recover(self, recovered: list[bool]) -> None:
        """Messages of an earlier run come first; those delivered then before the others."""
        for delivered in sorted(recovered, reverse=True):
            message = self.message(stored=True, size=5)
            self.store.append(QUEUE_ID, message)
            if delivered:
                self.backlog.push_redelivered(message)
            else:
                self.backlog.push(message)
            self.ready.append(Row(self.pushed - 1, message.body, True, delivered))
        self.store.commit()

    def message(self, *, stored: bool, size: int) -> Message:
        body = str(self.pushed).encode().rjust(size, b".")
        header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x00\x00"
        message = Message(names_of("x", "k"), content_of(header, body, 1, 4096), stored)
        message.stored = stored
        self.pushed += 1
        return message

    @rule(stored=st.lists(st.booleans(), min_size=1, max_size=8), size=st.sampled_from((5, 900)))
    def push(self, stored: list[bool], size: int) -> None:
        for each in stored:
            message = self.message(stored=each, size=size)
            if each:
                self.store.append(QUEUE_ID, message)
            self.backlog.push(message)
            self.ready.append(Row(self.pushed - 1, message.body, each))
        self.who_waits()
        self.check_memory(len(stored))

    @rule(total_bytes=st.sampled_from((0, 1500, 3000)))
    def resize(self, total_bytes: int) -> None:
        """Other backlogs take room, or give it back."""
        self.room.resize(total_bytes)

    @invariant()
    def says_whether_it_is_empty(self) -> None:
        assert bool(self.backlog) == (len(self.backlog) > 0)

    @invariant()
    def who_waits(self) -> None:
        resident = list(self.backlog.resident())
        waiting = any(message.stored and not message.segment for message in resident)
        self.waited = bool(resident) and (self.waited or waiting)

    def check_memory(self, count: int) -> None:
        """In memory: the head or the page that became it, and the tail, but for what came back,
        and what was behind a message that waited for its commit: a tail that could not be paged
        may get as long again before it is tried once more, and may have become the head."""
        if count > PATIENCE and not self.waited:
            returned = sum(row.redelivered for row in self.ready)
            head = tail = limits.PAGE_MESSAGES_MAX
            assert self.backlog.resident_count <= head + tail + PATIENCE + 2 * count + returned

    @precondition(lambda self: not self.ready)
    @rule()
    def pass_by(self) -> None:
        """A message that never waits: delivered as it arrives."""
        message = self.message(stored=False, size=5)
        position = self.backlog.skip()
        assert position == self.pushed - 1
        self.taken.append((Row(position, message.body, False), message))

    @precondition(lambda self: self.ready)
    @rule(count=st.integers(1, 6))
    def pop(self, count: int) -> None:
        for row in self.ready[:count]:
            position, message, redelivered = self.backlog.pop()
            assert (position, message.body) == (row.position, row.body)
            assert redelivered == row.redelivered
            assert message.stored == row.stored == message.persistent
            assert message.names == names_of("x", "k")
            self.taken.append((row, message))
        del self.ready[:count]

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), back=st.booleans())
    def settle(self, data: Any, back: bool) -> None:
        index = data.draw(st.integers(0, len(self.taken) - 1))
        row, message = self.taken.pop(index)
        if back:
            self.backlog.put_back(row.position, message)
            row.redelivered = True
            self.ready.append(row)
            self.ready.sort()
        elif row.stored:
            self.store.settle(QUEUE_ID, message)  # fails for a copy that was paged too early

    @rule()
    def commit(self) -> None:
        self.store.commit()

    @rule()
    def end(self) -> None:
        """An orderly end takes out what was delivered before, and it alone."""
        flagged = [row for row in self.ready if row.redelivered]
        assert [each.body for each in self.backlog.take_delivered()] == [
            row.body for row in flagged
        ]
        self.ready = [row for row in self.ready if not row.redelivered]
        for row in flagged:
            if row.stored:
                self.store.kept[QUEUE_ID] = {
                    index: each
                    for index, each in self.store.kept[QUEUE_ID].items()
                    if each.body != row.body
                }

    @rule()
    def clear(self) -> None:
        assert self.backlog.clear() == len(self.ready)
        self.ready.clear()
        assert self.spool.pages == {}

    @invariant()
    def counts(self) -> None:
        assert len(self.backlog) == len(self.ready)
        resident = sorted(message.body for message in self.backlog.resident())
        assert self.backlog.resident_count == len(resident)
        assert self.backlog.resident_bytes >= sum(map(len, resident))
        assert set(resident) <= {row.body for row in self.ready}
        if not self.ready:
            assert self.spool.pages == {}
            assert self.backlog.resident_bytes == 0


def test_backlog_against_a_sorted_list() -> None:
    run_state_machine_as_test(
        BacklogMachine, settings=settings(max_examples=150, stateful_step_count=50, deadline=None)
    )
