"""A stream's log against a list: any order of appends, writes, failures, retention and crashes that
leave the file torn at any byte behind what was on disc."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mqd.storage import segment, streams
from mqd.storage.streams import StreamFiles
from tests.stores import Stage, message

QUEUE = 7


class StreamMachine(RuleBasedStateMachine):
    """sent: (body, batch, wall-clock ms at which it was sent) by offset, as far as it is known."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.stage = Stage(Path(self.directory.name) / "0.db")
        self.images = 0
        self.bodies = 0
        self.sent: list[tuple[bytes, int]] = []
        self.disc_failed = False

    @initialize()
    def begin(self) -> None:
        self.stream = self.stage.store.stream(QUEUE)
        self.stage.recover()

    def teardown(self) -> None:
        self.stage.database.close()
        self.directory.cleanup()

    @rule(count=st.integers(1, 6), size=st.sampled_from([1, 40, 600]))
    def publish(self, count: int, size: int) -> None:
        for _ in range(count):
            self.bodies += 1
            body = self.bodies.to_bytes(4, "big") + bytes(size)
            self.sent.append((body, self.stream.append(message(body))))

    @rule(count=st.integers(1, 4))
    def publish_to_a_queue(self, count: int) -> None:
        for _ in range(count):
            self.stage.store.append(1, message(bytes(200)))

    @rule(count=st.integers(1, 4))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.stage.writer.step()

    @rule(count=st.integers(1, 3))
    def fail(self, count: int) -> None:
        self.disc_failed = True
        self.stage.writer.failures.extend([OSError(28, "No space left on device")] * count)

    @rule(ms=st.integers(-3000, 5000))
    def let_time_pass(self, ms: int) -> None:
        self.stage.wall_ms += ms

    @rule(
        bytes_max=st.sampled_from([None, 0, 2000]),
        age_max_s=st.sampled_from([None, 3]),
        segment_bytes=st.sampled_from([0, 700, None]),
    )
    def set_rules(
        self, bytes_max: int | None, age_max_s: int | None, segment_bytes: int | None
    ) -> None:
        self.stream.keep(bytes_max, age_max_s, segment_bytes)

    @rule()
    def come_to_rest(self) -> None:
        self.stage.writer.run()
        self.stage.writer.failures.clear()
        assert self.stream.next_offset == len(self.sent)
        on_disc = {path.stem for path in self.stream._directory.glob("*.segment")}
        kept = {f"{each.first:020d}" for each in self.stream._segments}
        assert on_disc == kept or (self.disc_failed and on_disc > kept)

    @rule(
        seed=st.integers(0, 2**32),
        damage=st.sampled_from(["none", "cut", "zero", "flip"]),
        count=st.integers(0, 8),
    )
    def crash(self, seed: int, damage: str, count: int) -> None:
        if count:
            self.publish(count, 100)
        for _ in range(20):  # until a write is under way
            if self.stage.streams._taken or not self.stage.writer.step():
                break
        self.images += 1
        stage, stream = self.stage, self.stream
        durable = max(
            stream.next_offset,
            sum(batch <= stage.store.durable_batch for _, batch in self.sent),
        )
        assert durable == stream.next_offset, "a confirmed message that nobody can read"
        if stage.streams._taken:  # in the middle of a write, whatever there is of it
            stage.streams.write()
        whole = stream._segments[-1].size if stream._segments else 0
        name = stream._segments[-1].path.name if stream._segments else ""
        self.stage = self.stage.crash(Path(self.directory.name) / f"{self.images}.db")
        self.stage.wall_ms = stage.wall_ms
        self.tear(name, whole, random.Random(seed), damage)
        first = stream.first_offset
        self.stream = self.stage.store.stream(QUEUE)
        self.stage.recover()
        assert durable <= self.stream.next_offset <= len(self.sent)
        assert self.stream.first_offset <= max(first, self.stream.first_offset)
        del self.sent[self.stream.next_offset :]

    def tear(self, name: str, whole: int, places: random.Random, damage: str) -> None:
        """Damage what was not on disc yet: the end of the last segment, and later ones."""
        folder = self.stage.path.with_suffix(".streams") / f"{QUEUE:016x}"
        for path in sorted(folder.glob("*.segment")) if folder.exists() else ():
            kept = whole if path.name == name else 0
            data = bytearray(path.read_bytes())
            if path.name < name or len(data) <= kept or damage == "none":
                continue
            place = places.randrange(kept, len(data))
            if damage == "cut":
                del data[place:]
            elif damage == "zero":
                data[place:] = bytes(len(data) - place)
            else:
                data[place] ^= 0xFF
            path.write_bytes(data)
            index = path.with_suffix(".index")  # has entries only for what was synced
            entries = index.read_bytes() if index.exists() else b""
            synced = [
                entries[at : at + 24]
                for at in range(0, len(entries), 24)
                if int.from_bytes(entries[at + 16 : at + 24], "little") < kept
            ]
            index.write_bytes(b"".join(synced))
            for later in folder.glob("*"):  # this one was synced before they were made
                if later.stem > path.stem:
                    later.unlink()
            return

    @invariant()
    def readers_find_what_was_sent(self) -> None:
        if not hasattr(self, "stream"):
            return
        stream: StreamFiles = self.stream
        assert stream.first_offset <= stream.next_offset <= len(self.sent)
        offset = 0
        found: list[int] = []
        while (page := stream.read(offset)) is not None:
            for at in range(max(offset, page.first), page.end):
                assert page.messages[at - page.first].body == self.sent[at][0]
                found.append(at)
            offset = page.end
        assert found == list(range(stream.first_offset, stream.next_offset))
        assert stream.first_offset <= stream.last_chunk_offset <= stream.next_offset


@pytest.mark.timeout(120)
def test_stream_against_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "STREAM_INDEX_STEP_BYTES", 300)
    monkeypatch.setattr(streams, "STREAM_CHUNK_BYTES_MAX", 700)
    monkeypatch.setattr(streams, "STREAM_CHUNK_MESSAGES_MAX", 3)
    monkeypatch.setattr(streams, "STREAM_CACHE_BYTES", 2000)
    run_state_machine_as_test(
        StreamMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
