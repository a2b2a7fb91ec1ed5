"""Whatever bytes a client sends: no fault of ours, no hang, bounded memory, the right close.

What is sent and what must hold is in `frames_fuzz`; `make fuzz` does the same for minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqd.broker.channel import Channel
from tests.nodes import Node
from tests.property.frames_fuzz import Arena, no_faults, one_case, trouble_of
from tests.property.frames_noise import Noise, cut_frames, mutate, recorded
from tests.protocol import wire

_CASES = 600
_LIVE_S = 3.0
_GROWTH_MAX_MB = 60  # queues keep what is published into them


@pytest.fixture(scope="module")
def streams() -> list[bytes]:
    """Some of the recorded conversations, others every time."""
    return recorded(random.Random(), 40)


@pytest.fixture
def strict() -> Iterator[None]:
    with no_faults():
        yield


@pytest.mark.usefixtures("strict")
@given(st.randoms(use_true_random=False), st.sampled_from((1, 3, 10)))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_frames_on_a_running_connection(dice: random.Random, count: int) -> None:
    Arena(dice).run(Noise(dice).pieces(count), logged_in=True)


@pytest.mark.usefixtures("strict")
@given(st.lists(st.binary(max_size=64), max_size=8), st.booleans())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_bytes(pieces: list[bytes], logged_in: bool) -> None:
    Arena(random.Random(0)).run(pieces, logged_in=logged_in)


@pytest.mark.slow
@pytest.mark.usefixtures("strict")
def test_recorded_conversations_gone_wrong(streams: list[bytes]) -> None:
    seed = random.randrange(10**9)
    print(f"first seed {seed}")
    for case in range(seed, seed + _CASES):
        try:
            one_case(random.Random(case), streams)
        except BaseException:
            print(f"seed {case}")
            raise


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("piece_bytes", [1, 20, 1023, 4088])
def test_a_body_in_crumbs_takes_no_more_than_its_size(piece_bytes: int) -> None:
    """Checked by the arena after every read: each of these frames was kept for itself once."""
    body = bytes(15_000 if piece_bytes == 1 else 150_000)
    pieces = [
        wire.frame(1, 1, wire.method_payload("queue.declare", {"queue": "q"})),
        wire.frame(1, 1, wire.method_payload("basic.publish", {"routing_key": "q"}))
        + wire.frame(2, 1, wire.header_payload(len(body), {})),
        wire.body_frames(1, body, piece_bytes + 8),
    ]
    arena = Arena(random.Random(1))
    arena.run(pieces, logged_in=True)
    (message,) = arena.world.queue("q").backlog.resident()
    assert message.body == body
    assert len(message.content) < 1.5 * len(body) + 100


@pytest.mark.usefixtures("strict")
def test_a_fault_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(channel: Channel, count: int, *, for_channel: bool) -> None:
        raise KeyError(count)

    monkeypatch.setattr(Channel, "set_prefetch", broken)
    piece = wire.frame(1, 1, wire.method_payload("basic.qos", {"prefetch_count": 1}))
    with pytest.raises(KeyError):
        Arena(random.Random(0)).run([piece], logged_in=True)


def test_mutations_change_something(streams: list[bytes]) -> None:
    dice = random.Random(3)
    changed = [mutate(dice, stream, streams[0]) != stream for stream in streams]
    assert sum(changed) > 0.8 * len(changed)
    assert all(b"".join(cut_frames(stream)) == stream for stream in streams)


@pytest.mark.slow
def test_a_daemon_outlives_it(streams: list[bytes], tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    with Node(tmp_path) as node:
        before_mb = node.rss_mb
        trouble = trouble_of(node, streams, random.Random(seed), _LIVE_S)
        assert not trouble, trouble
        assert node.rss_mb - before_mb < _GROWTH_MAX_MB
        node.ctl("-q", "list_queues")
