"""Every recorded conversation with RabbitMQ 3.10.8, held with mqd.

Three times each: as recorded; with every byte sent alone; and broken off at a sample of places,
where nothing may crash, hang or stay behind. Scenarios name the part of the protocol they prove.
What mqd does otherwise on purpose stands in the scenario file with its reason.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.protocol import script
from tests.protocol.peer import Peer
from tests.protocol.player import Player, same
from tests.protocol.record import SCENARIOS
from tests.protocol.replay import difference
from tests.protocol.stage import Stage, stage
from tests.waiting import PATIENCE_S

FILES = script.load_all(SCENARIOS)
ALL = [scenario for file in FILES for scenario in file.scenarios]
PROMPT = [scenario for scenario in ALL if not scenario.waits]
WAITING = [scenario for scenario in ALL if scenario.waits]
_CUTS = 8  # places where a conversation is broken off, per scenario


def known(scenarios: list[script.Scenario]) -> list[Any]:
    """As parameters. One that comes right fails until its `# pending:` is taken out."""
    return [
        pytest.param(
            scenario,
            id=scenario.label,
            marks=pytest.mark.xfail(reason=scenario.pending, strict=True)
            if scenario.pending
            else (),
        )
        for scenario in scenarios
    ]


what_works = pytest.mark.parametrize(
    "scenario", [s for s in PROMPT if not s.pending], ids=lambda s: s.label
)
right_ones = pytest.mark.parametrize("scenario", known(PROMPT))


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The log of a fault that a scenario provokes is tested elsewhere."""
    log = logging.getLogger("mqd")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


async def play(scenario: script.Scenario, pace: int = 0) -> tuple[str, list[bytes]]:
    """The first difference, and what each connection sent."""
    async with stage() as broker:
        patience = (
            0.2 if scenario.pending else PATIENCE_S
        )  # nobody waits long for what will not come
        player = Player(
            "127.0.0.1", broker.port, broker.ctl, quiet=0.004, patience=patience, pace=pace
        )
        results = await player.play(scenario)
        return difference(scenario, results), [bytes(p.sent) for p in player.peers.values()]


@right_ones
def test_as_recorded(scenario: script.Scenario) -> None:
    told, _ = asyncio.run(play(scenario))
    assert not told, told


@right_ones
def test_byte_by_byte(scenario: script.Scenario) -> None:
    """However TCP cuts the stream, the conversation is the same (AMQP 0-9-1 §4.2.3)."""
    sent = sum(map(len, asyncio.run(play(scenario))[1]))
    told, _ = asyncio.run(play(scenario, pace=1 if sent < 20_000 else 997))
    assert not told, told


@what_works
def test_broken_off(scenario: script.Scenario) -> None:
    """A conversation that ends anywhere leaves no connection, channel or exclusive queue."""

    async def run() -> None:
        _, streams = await play(scenario)
        async with stage() as broker:
            for stream in streams:
                for end in cuts(stream):
                    await break_off(broker, stream[:end])
            assert await answers(broker)

    asyncio.run(run())


def cuts(stream: bytes) -> list[int]:
    """Where to stop: a sample, the same every run, after the protocol header too."""
    if len(stream) <= _CUTS:
        return list(range(len(stream)))
    return sorted(random.Random(len(stream)).sample(range(len(stream)), _CUTS))


async def break_off(broker: Stage, beginning: bytes) -> None:
    """Send this much at once and no more; the broker has to let go."""
    changed = asyncio.Event()
    peer = Peer("x", changed)
    peer.answer_close = False
    await peer.open("127.0.0.1", broker.port)
    await peer.send(beginning)
    await peer.disconnect(half=True)
    async with asyncio.timeout(PATIENCE_S):
        while not peer.closed:
            changed.clear()
            await changed.wait()
        await peer.disconnect()
        while broker.listener.sessions:  # noqa: ASYNC110 - the listener tells nobody
            await asyncio.sleep(0)
    assert not broker.broker.connections
    for vhost in broker.broker.vhosts.values():
        assert not [queue.name for queue in vhost.queues.values() if queue.owner is not None]


async def answers(broker: Stage) -> bool:
    """Whether a client is still served."""
    player = Player("127.0.0.1", broker.port)
    step = script.step("a/1: channel.flow active=true", SCENARIOS, 0)
    step.expected = ["a/1 channel.flow-ok active=true"]
    probe = script.Scenario("probe", SCENARIOS, 0, [step])
    return all(same(lines, step.expected) for step, lines in await player.play(probe))


def test_those_that_wait_for_the_clock() -> None:
    """Timeouts, delays and heartbeats, all at once because they take their time."""

    async def run() -> list[str]:
        waiting = [scenario for scenario in WAITING if not scenario.pending]
        results = await asyncio.gather(*(play(scenario) for scenario in waiting))
        return [told for told, _ in results if told]

    differences = asyncio.run(run())
    assert not differences, "\n".join(differences)
    gc.collect()


@pytest.mark.parametrize("scenario", known([s for s in WAITING if s.pending]))
def test_those_that_wait_and_are_pending(scenario: script.Scenario) -> None:
    told, _ = asyncio.run(play(scenario))
    assert not told, told


def test_every_difference_has_its_reason() -> None:
    steps = [step for scenario in ALL for step in scenario.steps if step.ours is not None]
    assert steps
    assert not [step.source for step in steps if not step.why]


def test_files_are_as_the_recorder_writes_them() -> None:
    for file in FILES:
        assert file.path.read_text() == file.dump(), file.path.name
