"""mqd.admin.nodes."""

from __future__ import annotations

import pytest

from mqd.admin import nodes
from mqd.admin.context import AppState, Watermark
from mqd.config.erlang import Atom, Chars
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import nodes_pb2 as pb
from tests.unit.admin.stand import NODE, Stand

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("state", list(AppState))
async def test_probe(state: AppState) -> None:
    stand = Stand()
    stand.node.app_state = state
    reply = await nodes.probe(stand.ctx, pb.ProbeRequest())
    assert (reply.node, reply.pid) == (NODE, 4711)
    assert pb.AppState.Name(reply.app) == f"APP_STATE_{state.name}"


@pytest.mark.parametrize(
    ("operation", "request_", "call"),
    [
        (nodes.stop_app, pb.StopAppRequest(), ("stop_app",)),
        (nodes.start_app, pb.StartAppRequest(), ("start_app",)),
        (nodes.reset, pb.ResetRequest(), ("reset", False)),
        (nodes.force_reset, pb.ResetRequest(), ("reset", True)),
        (nodes.force_boot, pb.ForceBootRequest(), ("force_boot",)),
        (nodes.suspend_listeners, pb.SuspendListenersRequest(), ("suspend_listeners",)),
        (nodes.resume_listeners, pb.SuspendListenersRequest(), ("resume_listeners",)),
        (nodes.set_log_level, pb.SetLogLevelRequest(level="debug"), ("log_level", "debug")),
        (
            nodes.set_memory_high_watermark,
            pb.SetMemoryHighWatermarkRequest(fraction=0.5),
            ("memory", Watermark(0.5)),
        ),
        (
            nodes.set_memory_high_watermark,
            pb.SetMemoryHighWatermarkRequest(absolute_bytes=100),
            ("memory", Watermark(0.0, 100)),
        ),
        (
            nodes.set_disk_free_limit,
            pb.SetDiskFreeLimitRequest(absolute_bytes=100),
            ("disk", 100),
        ),
        (
            nodes.set_disk_free_limit,
            pb.SetDiskFreeLimitRequest(memory_fraction=0.1),
            ("disk", 1000),
        ),
    ],
)
async def test_what_the_node_is_told(operation, request_, call) -> None:  # type: ignore[no-untyped-def]
    stand = Stand()
    await operation(stand.ctx, request_)
    assert stand.node.calls == [call]


async def test_shutdown_answers_with_the_pid_to_wait_for() -> None:
    stand = Stand()
    assert (await nodes.shutdown(stand.ctx, pb.ShutdownRequest())).pid == 4711
    assert stand.node.calls == [("request_shutdown",)]


async def test_await_startup_waits_while_the_app_boots() -> None:
    stand = Stand()
    await nodes.await_startup(stand.ctx, pb.AwaitStartupRequest())
    assert stand.node.calls == [("await_running",)]


async def test_await_startup_waits_for_a_start_app(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand()
    stand.node.app_state = AppState.STOPPED
    waited: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited.append(delay_s)
        if len(waited) == 3:
            stand.node.app_state = AppState.RUNNING

    monkeypatch.setattr("mqd.admin.nodes.asyncio.sleep", sleep)
    await nodes.await_startup(stand.ctx, pb.AwaitStartupRequest())
    assert len(waited) == 3


@pytest.mark.parametrize(
    ("operation", "request_", "words"),
    [
        (
            nodes.set_log_level,
            pb.SetLogLevelRequest(level="bogus"),
            "level bogus is not supported. Try one of debug, info, warning, error, critical, none",
        ),
        (
            nodes.set_memory_high_watermark,
            pb.SetMemoryHighWatermarkRequest(fraction=1.5),
            "The threshold should be a fraction between 0.0 and 1.0",
        ),
        (nodes.set_memory_high_watermark, pb.SetMemoryHighWatermarkRequest(), "threshold"),
        (nodes.set_disk_free_limit, pb.SetDiskFreeLimitRequest(), "disk free limit"),
        (
            nodes.set_disk_free_limit,
            pb.SetDiskFreeLimitRequest(memory_fraction=-1),
            "disk free limit",
        ),
    ],
)
async def test_what_is_refused_before_the_node_hears_of_it(  # type: ignore[no-untyped-def]
    operation, request_, words
) -> None:
    stand = Stand()
    with pytest.raises(MqdError, match=words) as caught:
        await operation(stand.ctx, request_)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert stand.node.calls == []


async def test_environment_has_terms_of_every_kind() -> None:
    stand = Stand()
    rows = {"a": b"x", "b": 1, "c": Atom("true"), "d": [0.5], "e": b"\xff", "f": (Chars("y"),)}
    stand.node.environment = {"rabbit": rows | {"g": {Atom("k"): 1 << 70}}}
    reply = await nodes.environment(stand.ctx, pb.EnvironmentRequest())
    (application,) = reply.applications.proplist.pairs
    assert application.key.atom == "rabbit"
    pairs = application.value.proplist.pairs
    assert [pair.key.atom for pair in pairs] == ["a", "b", "c", "d", "e", "f", "g"]
    values = [pair.value for pair in pairs]
    assert (values[0].binary, values[1].integer, values[2].boolean) == ("x", 1, True)
    assert (values[3].list.items[0].float, values[4].octets) == (0.5, b"\xff")
    assert values[5].tuple.items[0].chars == "y"
    assert values[6].map.pairs[0].value.atom == str(1 << 70)


async def test_force_gc_answers() -> None:
    await nodes.force_gc(Stand().ctx, pb.ForceGcRequest())
