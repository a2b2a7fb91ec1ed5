"""mqd.admin.diagnostics, cluster, feature_flags and reports."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mqd.admin import cluster, diagnostics, feature_flags
from mqd.admin.context import AppState
from mqd.auth.sasl import Credentials
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import cluster_pb2, feature_flags_pb2
from mqd.rpc.v1 import diagnostics_pb2 as pb
from tests.unit.admin.stand import NODE, Stand, rows

pytestmark = pytest.mark.asyncio


async def test_status() -> None:
    stand = Stand()
    stand.queue("q")
    stand.connect()
    reply = await diagnostics.status(stand.ctx, pb.StatusRequest())
    assert (reply.node, reply.pid, reply.uptime_s) == (NODE, 4711, 90)
    assert (reply.product_name, reply.product_version) == ("RabbitMQ", "3.10.8")
    assert (reply.connection_count, reply.queue_count, reply.vhost_count) == (1, 1, 1)
    assert (reply.memory_total_bytes, reply.memory_watermark_fraction) == (1000, 0.4)
    assert reply.memory_watermark_bytes == 4000
    assert (reply.disk_free_bytes, reply.disk_free_limit_bytes) == (5000, 50)
    assert (reply.file_descriptors_used, reply.sockets_limit) == (7, 900)
    assert list(reply.config_files) == ["/etc/rabbitmq/rabbitmq.conf"]
    (listener,) = reply.listeners
    assert (listener.node, listener.port, listener.protocol) == (NODE, 5672, "amqp")


async def test_memory_adds_up_and_names_every_category() -> None:
    stand = Stand()
    queue = stand.queue("q")
    stand.publish(queue)
    bodies = queue.backlog.resident_bytes
    reply = await diagnostics.memory_breakdown(stand.ctx, pb.MemoryBreakdownRequest())
    sizes = {part.name: part.bytes for part in reply.parts}
    assert (sizes["binary"], sizes["queue_procs"]) == (bodies, 300)
    assert sizes["other_proc"] == 700 - bodies
    assert len(sizes) == 25
    assert [part.bytes for part in reply.parts] == sorted(sizes.values(), reverse=True)


async def test_alarms() -> None:
    stand = Stand()
    assert not (await diagnostics.alarms(stand.ctx, pb.AlarmsRequest())).alarms
    stand.broker.set_alarm("memory", True)
    (alarm,) = (await diagnostics.alarms(stand.ctx, pb.AlarmsRequest())).alarms
    assert (alarm.resource, alarm.node) == ("memory", NODE)


@pytest.mark.parametrize("state", list(AppState))
async def test_app_state(state: AppState) -> None:
    stand = Stand()
    stand.node.app_state = state
    reply = await diagnostics.app_state(stand.ctx, pb.AppStateRequest())
    assert reply.running == (state is AppState.RUNNING)
    assert reply.booting == (state is AppState.BOOTING)


async def test_a_vhost_that_is_known_but_not_live_is_down() -> None:
    stand = Stand()
    stand.add_vhost("v")
    del stand.broker.vhosts["v"]
    reply = await diagnostics.check_virtual_hosts(stand.ctx, pb.CheckVirtualHostsRequest())
    assert list(reply.down) == ["v"]


async def test_the_cookie_leaves_only_as_its_hash() -> None:
    reply = await diagnostics.cookie_hash(Stand().ctx, pb.CookieHashRequest())
    assert reply.hash == "RMe+SCJuutXcqCFmdMrWKw=="  # base64 of the MD5 of "SECRET"


async def test_the_last_lines_of_the_log(tmp_path: Path) -> None:
    stand = Stand()
    log = tmp_path / "rabbit.log"
    log.write_bytes(b"one\ntwo \xff\nthree\n")
    stand.node.log_files = ("<stdout>", str(log))
    reply = await diagnostics.log_tail(stand.ctx, pb.LogTailRequest(number=2))
    assert list(reply.lines) == ["two \ufffd", "three"]
    one = await diagnostics.log_location(stand.ctx, pb.LogLocationRequest())
    every = await diagnostics.log_location(stand.ctx, pb.LogLocationRequest(all=True))
    assert (list(one.paths), len(every.paths)) == (["<stdout>"], 2)


@pytest.mark.parametrize("files", [("<stdout>",), ("/nosuch/rabbit.log",)])
async def test_no_log_to_show(files: tuple[str, ...]) -> None:
    stand = Stand()
    stand.node.log_files = files
    with pytest.raises(MqdError) as caught:
        await diagnostics.log_tail(stand.ctx, pb.LogTailRequest())
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_variables_of_the_node_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_NODENAME", "rabbit@unit")
    monkeypatch.setenv("RABBITMQ_DEFAULT_PASS", "hidden")
    monkeypatch.setenv("RABBITMQ_ERLANG_COOKIE", "hidden")
    monkeypatch.setenv("OTHER", "x")
    reply = await diagnostics.os_env(Stand().ctx, pb.OsEnvRequest())
    shown = {variable.name: variable.value for variable in reply.variables}
    assert shown["RABBITMQ_NODENAME"] == "rabbit@unit"
    assert "hidden" not in shown.values()
    assert "OTHER" not in shown


async def test_resolving_a_host_name() -> None:
    ctx = Stand().ctx
    request = pb.ResolveHostnameRequest(hostname="127.0.0.1", address_family="IPv4")
    assert list((await diagnostics.resolve_hostname(ctx, request)).addresses) == ["127.0.0.1"]
    request.hostname = "nosuch.invalid"
    with pytest.raises(MqdError, match=r"nosuch\.invalid") as caught:
        await diagnostics.resolve_hostname(ctx, request)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_logins_are_counted_by_protocol() -> None:
    stand = Stand()

    async def counted(by_source: bool = False) -> list[tuple[str, int, int, int]]:
        request = pb.AuthAttemptsRequest(by_source=by_source)
        found = await rows(diagnostics.auth_attempts(stand.ctx, request))
        return [
            (r.protocol, r.auth_attempts, r.auth_attempts_failed, r.auth_attempts_succeeded)
            for r in found
        ]

    assert await counted() == []
    stand.broker.auth.authenticate(Credentials("guest", b"guest"), peer_is_loopback=True)
    with pytest.raises(MqdError):
        stand.broker.auth.authenticate(Credentials("guest", b"wrong"), peer_is_loopback=True)
    assert await counted() == [("amqp091", 2, 1, 1)]
    assert await counted(by_source=True) == []


async def test_a_cluster_of_one() -> None:
    stand = Stand()
    reply = await cluster.status(stand.ctx, cluster_pb2.ClusterStatusRequest())
    assert reply.cluster_name == "rabbit@unit.example"
    assert (list(reply.disk_nodes), list(reply.ram_nodes)) == ([NODE], [])
    assert list(reply.running_nodes) == [NODE]
    assert [(v.node, v.product_version) for v in reply.versions] == [(NODE, "3.10.8")]
    assert [(m.node, m.under_maintenance) for m in reply.maintenance] == [(NODE, False)]
    assert len(reply.feature_flags) == 7
    await cluster.set_name(stand.ctx, cluster_pb2.SetClusterName(name="prod"))
    reply = await cluster.status(stand.ctx, cluster_pb2.ClusterStatusRequest())
    assert reply.cluster_name == "prod"


async def test_waiting_for_more_members_than_there_can_be() -> None:
    ctx = Stand().ctx
    await cluster.await_online_nodes(ctx, cluster_pb2.AwaitOnlineNodesRequest(count=1))
    waiting = cluster.await_online_nodes(ctx, cluster_pb2.AwaitOnlineNodesRequest(count=2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 0)


async def test_feature_flags() -> None:
    ctx = Stand().ctx
    request = feature_flags_pb2.ListFeatureFlags(columns=["name", "state"])
    found = await rows(feature_flags.list_(ctx, request))
    assert ("quorum_queue", "enabled") in [(row.name, row.state) for row in found]
    assert not found[0].HasField("desc")
    for name in ("all", "quorum_queue"):
        await feature_flags.enable(ctx, feature_flags_pb2.EnableFeatureFlag(name=name))
    with pytest.raises(MqdError) as caught:
        await feature_flags.enable(ctx, feature_flags_pb2.EnableFeatureFlag(name="nosuch"))
    assert caught.value.code is ErrorCode.NOT_FOUND
