"""Transactions against a naive model: nothing happens before commit, all of it happens then, in
order, and nothing of it after rollback or the channel's end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

from tests.harness import Basic, Channel, Tx, World, small_pages

TX, PLAIN = 1, 2


@dataclass(order=True)
class Row:
    position: int
    body: str
    persistent: bool
    delivered: bool = False


class TxMachine(RuleBasedStateMachine):
    """One queue; channel 1 is in tx mode, channel 2 is not."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(small_pages(), commit_at_once=False)
        self.client = self.world.connect(channels=2)
        self.ready: list[Row] = []
        self.unacked: dict[int, Row] = {}  # by delivery tag of channel 1
        self.put_off: list[tuple[str, bool]] = []
        self.settled: list[tuple[int, Row, str]] = []
        self.serial = 0
        self.position = 0
        self.tag = 0

    @initialize()
    def start(self) -> None:
        self.client.declare("q", durable=True)
        self.client.call(Tx.Select())

    def arrive(self, body: str, persistent: bool) -> None:
        self.position += 1
        self.ready.append(Row(self.position, body, persistent))

    @rule(persistent=st.booleans(), channel=st.sampled_from((TX, TX, PLAIN)))
    def publish(self, persistent: bool, channel: int) -> None:
        self.serial += 1
        body = str(self.serial)
        self.client.publish("q", body, mode=2 if persistent else 1, channel=channel)
        if channel == TX:
            self.put_off.append((body, persistent))
        else:
            self.arrive(body, persistent)

    @precondition(lambda self: self.ready)
    @rule(no_ack=st.sampled_from((False, False, True)))
    def get(self, no_ack: bool) -> None:
        """An acknowledgement that is implicit does not wait for the commit."""
        got = self.client.get("q", no_ack=no_ack)
        row = self.ready.pop(0)
        self.tag += 1
        flag = "*" if row.delivered else ""
        assert str(got) == f"got {self.tag} {row.body}{flag} left {len(self.ready)}"
        row.delivered = True
        if not no_ack:
            self.unacked[self.tag] = row

    @precondition(lambda self: self.unacked)
    @rule(data=st.data(), how=st.sampled_from(("ack", "reject", "requeue")), multiple=st.booleans())
    def settle(self, data: Any, how: str, multiple: bool) -> None:
        tag = data.draw(st.sampled_from(sorted(self.unacked)))
        if how == "ack":
            self.client.ack(tag, multiple=multiple)
        else:
            self.client.nack(tag, multiple=multiple, requeue=how == "requeue")
        for each in [tag] if not multiple else [t for t in sorted(self.unacked) if t <= tag]:
            self.settled.append((each, self.unacked.pop(each), how))

    @rule()
    def commit(self) -> None:
        self.client.send(Tx.Commit())
        waits = any(persistent for _, persistent in self.put_off)
        if waits:
            assert self.client.said() == [], "answered before the disc"
            self.world.commit()
        assert self.client.said() == ["Tx.CommitOk"]
        for body, persistent in self.put_off:
            self.arrive(body, persistent)
        self.ready += [row for _, row, how in self.settled if how == "requeue"]
        self.ready.sort()
        self.put_off, self.settled = [], []

    @rule()
    def rollback(self) -> None:
        self.client.send(Tx.Rollback())
        assert self.client.said() == ["Tx.RollbackOk"]
        self.forget()

    def forget(self) -> None:
        self.put_off = []
        self.unacked.update((tag, row) for tag, row, _ in self.settled)
        self.settled = []

    @rule(how=st.sampled_from(("close", "fault")))
    def lose_channel(self, how: str) -> None:
        if how == "close":
            self.client.call(Channel.Close(200, "", 0, 0))
        else:
            self.client.ack(999)
            assert self.client.said() == [
                "channel.close PRECONDITION_FAILED - unknown delivery tag 999"
            ]
            self.client.send(Channel.CloseOk())
        self.forget()
        self.ready = sorted([*self.ready, *self.unacked.values()])
        self.unacked.clear()
        self.tag = 0
        self.client.call(Channel.Open())
        self.client.call(Tx.Select())

    @rule()
    def recover(self) -> None:
        """Takes back what is not acknowledged; what is waits for the commit still."""
        self.client.call(Basic.Recover(True))
        self.ready = sorted([*self.ready, *self.unacked.values()])
        self.unacked.clear()

    @invariant()
    def counts(self) -> None:
        queue = self.world.vhost.queues.get("q")
        if queue is not None:
            assert queue.ready_count == len(self.ready)
            assert queue.unacked_count == len(self.unacked) + len(self.settled)
            rows = (*self.ready, *self.unacked.values(), *(row for _, row, _ in self.settled))
            kept = self.world.store.kept.get(queue.definition.id, {})
            assert sorted(m.body.decode() for m in kept.values()) == sorted(
                row.body for row in rows if row.persistent
            )


def test_transactions() -> None:
    run_state_machine_as_test(
        TxMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
