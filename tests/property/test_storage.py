"""The message store against a naive model: any order of appends, settles, moves from one queue to
another, returns, steps of the writer, failing commits, crashes and orderly ends."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mqd.broker.message import Message
from mqd.storage import ledger, messages, rows, upkeep
from tests.stores import Stage, message

QUEUES = st.integers(1, 3)


class Known:
    """What the model knows of one message."""

    def __init__(self, queue_id: int, body: bytes, batch: int) -> None:
        self.queue_id = queue_id
        self.body = body
        self.batch = batch  # 0: recovered, so durable
        self.settled = False
        self.moved_to: bytes | None = None  # appended in the turn that settled this one
        self.expires_ms = 0  # monotonic, of the run that the model is in
        self.returns = 0
        self.returns_on_disc = 0  # at least


class StoreMachine(RuleBasedStateMachine):
    """messages: every message that may come back, in order of acceptance."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.stage = Stage(Path(self.directory.name) / "0.db")
        self.images = 0
        self.bodies = 0
        self.known: dict[bytes, Known] = {}
        self.objects: dict[bytes, Message] = {}
        self.disc_failed = False  # since the store was at rest

    @initialize()
    def begin(self) -> None:
        assert self.stage.recover() == []

    def teardown(self) -> None:
        self.stage.database.close()
        self.directory.cleanup()

    def unsettled(self) -> list[bytes]:
        return [body for body, each in self.known.items() if not each.settled]

    def append(self, queue_id: int, each: Message, body: bytes) -> None:
        batch = self.stage.store.append(queue_id, each)
        self.known[body] = known = Known(queue_id, body, batch)
        known.expires_ms = each.expires_ms
        self.objects[body] = each

    def fresh(self, queue_id: int, size: int, expires_ms: int = 0) -> bytes:
        self.bodies += 1
        body = self.bodies.to_bytes(4, "big") + bytes(size)
        each = message(body)
        each.expires_ms = expires_ms
        self.append(queue_id, each, body)
        return body

    @rule(
        queue_id=QUEUES,
        count=st.integers(1, 6),
        size=st.sampled_from([1, 40, 600]),
        expires_ms=st.sampled_from([0, 0, 5, 10**6]),
    )
    def publish(self, queue_id: int, count: int, size: int, expires_ms: int) -> None:
        for _ in range(count):
            self.fresh(queue_id, size, expires_ms)

    @precondition(lambda self: self.unsettled())
    @rule(data=st.data(), count=st.integers(1, 20), size=st.sampled_from([1, 600]))
    def move(self, data: Any, count: int, size: int) -> None:
        """As dead lettering does: into the other queue and out of this one in one turn. What goes
        with it makes rows to crash between."""
        for _ in range(count // 4):
            self.fresh(1, size)
        for _ in range(count):
            left = [body for body in self.unsettled() if self.objects[body].segment]
            if not left:
                return
            body = left[data.draw(st.integers(0, len(left) - 1))]
            known = self.known[body]
            known.moved_to = self.fresh(known.queue_id % 3 + 1, size)
            self.stage.store.settle(known.queue_id, self.objects[body])
            known.settled = True

    @precondition(lambda self: self.unsettled())
    @rule(data=st.data(), count=st.integers(1, 8))
    def hand_back(self, data: Any, count: int) -> None:
        body = data.draw(st.sampled_from(self.unsettled()))
        known = self.known[body]
        for _ in range(count):
            known.returns += 1
            self.objects[body].delivery_count = known.returns
            self.stage.store.returned(known.queue_id, self.objects[body])
            self.stage.writer.step()

    @precondition(lambda self: self.unsettled())
    @rule(data=st.data(), count=st.integers(1, 8), in_order=st.booleans())
    def settle(self, data: Any, count: int, in_order: bool) -> None:
        for _ in range(count):
            left = self.unsettled()
            if not left:
                return
            at = 0 if in_order else data.draw(st.integers(0, len(left) - 1))
            each = self.known[left[at]]
            self.stage.store.settle(each.queue_id, self.objects[left[at]])
            each.settled = True

    @rule(queue_id=QUEUES, data=st.data())
    def settle_all(self, queue_id: int, data: Any) -> None:
        owned = [body for body in self.unsettled() if self.known[body].queue_id == queue_id]
        keep = data.draw(st.sets(st.sampled_from(owned), max_size=3)) if owned else set()
        self.stage.store.settle_all(queue_id, [self.objects[body] for body in keep])
        for body in owned:
            if body not in keep:
                self.known[body].settled = True

    @rule(count=st.integers(1, 4))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.stage.writer.step()

    @rule(count=st.integers(1, 3))
    def fail(self, count: int) -> None:
        self.disc_failed = True
        error = sqlite3.OperationalError("database or disk is full")
        self.stage.writer.failures.extend([error] * count)

    @rule()
    def come_to_rest(self) -> None:
        self.stage.writer.run()
        self.stage.writer.failures.clear()
        self.disc_failed = False
        store = self.stage.store
        for body in list(self.known):
            each = self.known[body]
            assert each.batch <= store.durable_batch
            each.returns_on_disc = each.returns
            if each.settled:
                del self.known[body], self.objects[body]
        assert sum(row.remaining for row in store.ledger.rows.values()) == len(self.known)
        needed = {row for row in self.stage.row_ids() if store.ledger.is_needed(row)}
        gone = set(store.ledger._gone)  # told with the next commit
        assert set(self.stage.row_ids()) == set(store.ledger.rows) | needed | gone
        if not self.known:
            assert not store.ledger.rows
            assert not needed

    @rule()
    def crash(self) -> None:
        durable = self.stage.store.durable_batch
        self.reopen(crashed=True)
        recovered = self.stage.recover()
        bodies = self.check(recovered, lambda each: each.batch <= durable)
        assert all(flag for _, _, flag in recovered)
        self.forget_all_but(bodies, recovered)

    @rule(data=st.data())
    def end_in_order(self, data: Any) -> None:
        self.stage.writer.failures.clear()
        left = self.unsettled()
        marked = data.draw(st.sets(st.sampled_from(left))) if left else set()
        self.stage.close(tuple((self.known[body].queue_id, self.objects[body]) for body in marked))
        self.reopen(crashed=False)
        recovered = self.stage.recover()
        for known in self.known.values():
            known.returns_on_disc = known.returns
        assert self.check(recovered, lambda _each: True) == left
        assert {each.body for _, each, flag in recovered if flag} == marked
        self.forget_all_but(left, recovered)

    def reopen(self, crashed: bool) -> None:
        self.images += 1
        path = Path(self.directory.name) / f"{self.images}.db"
        if crashed:
            self.stage = self.stage.crash(path)
        else:
            self.stage = Stage(self.stage.path)
        self.stage.wall_offset_ms = 1000 * self.images  # a monotonic clock that starts anew

    def check(self, recovered: list[tuple[int, Message, bool]], is_durable: Any) -> list[bytes]:
        bodies = [each.body for _, each, _ in recovered]
        order = {body: at for at, body in enumerate(self.known)}
        assert [order[body] for body in bodies] == sorted(order[body] for body in bodies)
        for queue_id, each, _ in recovered:
            known = self.known[each.body]
            assert known.queue_id == queue_id
            end_ms = max(known.expires_ms - 1000, 1) if known.expires_ms else 0
            assert each.expires_ms == end_ms
            assert known.returns_on_disc <= each.delivery_count <= known.returns
        missing = set(self.known) - set(bodies)
        for body in missing:
            known = self.known[body]
            assert known.settled or not is_durable(known), "a durable message is lost"
            if is_durable(known) and known.moved_to is not None and not self.disc_failed:
                assert self.lives_on(known.moved_to, bodies), "lost on its way to another queue"
        return bodies

    def lives_on(self, body: bytes, bodies: list[bytes]) -> bool:
        known = self.known.get(body)
        if body in bodies or known is None:
            return True
        return known.settled and (known.moved_to is None or self.lives_on(known.moved_to, bodies))

    def forget_all_but(
        self, bodies: list[bytes], recovered: list[tuple[int, Message, bool]]
    ) -> None:
        self.known = {body: Known(self.known[body].queue_id, body, 0) for body in bodies}
        self.objects = {each.body: each for _, each, _ in recovered}
        for body, each in self.objects.items():
            known = self.known[body]
            known.expires_ms = each.expires_ms
            known.returns = known.returns_on_disc = each.delivery_count
        self.disc_failed = False

    @invariant()
    def durable_never_runs_ahead(self) -> None:
        assert self.stage.store.durable_batch < self.stage.store._gathering


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few messages split commits and make rows worth rewriting."""
    monkeypatch.setattr(rows, "COMMIT_BYTES_MAX", 1500)
    monkeypatch.setattr(rows, "COMMIT_MESSAGES_MAX", 3)
    monkeypatch.setattr(messages, "UPKEEP_COMMITS", 3)
    monkeypatch.setattr(ledger, "INFORMERS_MAX", 4)
    monkeypatch.setattr(ledger, "SLACK_BYTES_MIN", 200)
    monkeypatch.setattr(ledger, "SMALL_ROWS_MAX", 3)
    monkeypatch.setattr(ledger, "REWRITE_BYTES_MAX", 3000)
    monkeypatch.setattr(ledger, "REWRITE_ROWS_MAX", 3)
    monkeypatch.setattr(upkeep, "SLACK_BYTES_MIN", 4000)


@pytest.mark.timeout(120)
def test_store_against_model(small_bounds: None) -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
