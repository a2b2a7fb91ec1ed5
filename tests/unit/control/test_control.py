"""mqd.control over a real socket: binding, guarding, failing, starting and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mqd.admin import users
from mqd.admin.context import AppState
from mqd.admin.operations import Operation, operations, python_name, services
from mqd.control import server, status
from mqd.control.interceptors import cookie_hash
from mqd.control.server import ControlServer, serve
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    diagnostics_pb2,
    diagnostics_pb2_grpc,
    nodes_pb2,
    nodes_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
    values_pb2,
    verb_pb2,
)
from tests.unit.admin.stand import Stand
from tests.waiting import PATIENCE_S


class Served(Stand):
    """A stand whose catalogue is served, and a client of it."""

    control: ControlServer
    channel: grpc.aio.Channel

    @property
    def metadata_sent(self) -> tuple[tuple[str, str], ...]:
        return (("mqd-cookie-hash", cookie_hash(self.node.cookie)), ("mqd-actor", "tester"))


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    stand = Served()
    stand.control = await serve(stand.node, tmp_path / "run" / "n.sock")
    async with grpc.aio.insecure_channel(f"unix:{stand.control.path}") as stand.channel:
        yield stand
    await stand.control.stop(0)


async def failure(call: Any) -> tuple[grpc.StatusCode, str, str | None]:
    """Status, details and mqd-code of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    trailers = dict(error.trailing_metadata())
    return error.code(), error.details() or "", trailers.get("mqd-code")


# -- binding ----------------------------------------------------------------------------------


ALL = [operation for service in services() for operation in operations(service)]


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.method.full_name)
def test_every_rpc_has_a_function_of_its_kind(operation: Operation) -> None:
    function = operation.resolve()
    assert inspect.isasyncgenfunction(function) == operation.method.server_streaming
    assert inspect.iscoroutinefunction(function) != operation.method.server_streaming
    assert list(inspect.signature(function).parameters) == ["ctx", "request"]


def test_every_public_operation_has_an_rpc() -> None:
    bound = {(operation.module, operation.function) for operation in ALL}
    assert len(bound) == len(ALL)
    for module in {operation.resolve().__module__ for operation in ALL}:
        for name, function in vars(__import__(module, fromlist=["_"])).items():
            own = getattr(function, "__module__", None) == module
            if own and not name.startswith("_"):
                is_operation = inspect.iscoroutinefunction(function)
                is_operation |= inspect.isasyncgenfunction(function)
                assert not is_operation or (module, name) in bound, f"{module}.{name}"


def test_all_verbs_of_an_rpc_need_the_same() -> None:
    for operation in ALL:
        verbs = operation.method.GetOptions().Extensions[verb_pb2.verb]
        assert len({verb.needs for verb in verbs}) <= 1, operation.method.full_name


def test_listings_stream_batches_of_rows() -> None:
    for operation in ALL:
        method = operation.method
        if method.server_streaming and method.GetOptions().Extensions[verb_pb2.verb]:
            (field,) = operation.method.output_type.fields
            assert field.name == "rows"


@pytest.mark.parametrize(
    ("rpc", "name"),
    [("ChangePassword", "change_password"), ("List", "list_"), ("Import", "import_")],
)
def test_names(rpc: str, name: str) -> None:
    assert python_name(rpc) == name


# -- status -----------------------------------------------------------------------------------


def test_every_code_has_a_status_and_the_catalogue_knows_it() -> None:
    assert set(status.STATUS) == set(ErrorCode)
    assert {int(code) for code in ErrorCode} == set(values_pb2.ErrorCode.values()) - {0}


# -- guarding ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_call_with_the_cookie_is_served(served: Served) -> None:
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    reply = await nodes.Probe(nodes_pb2.ProbeRequest(), metadata=served.metadata_sent)
    assert reply.pid == 4711


@pytest.mark.asyncio
@pytest.mark.parametrize("metadata", [(), (("mqd-cookie-hash", "wrong"),)])
async def test_a_call_without_it_is_not(
    served: Served, metadata: tuple[tuple[str, str], ...]
) -> None:
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    code, details, name = await failure(
        nodes.Shutdown(nodes_pb2.ShutdownRequest(), metadata=metadata)
    )
    assert (code, name) == (grpc.StatusCode.UNAUTHENTICATED, "ACCESS_REFUSED")
    assert "cookie" in details
    assert served.node.calls == []


@pytest.mark.asyncio
@pytest.mark.parametrize("state", [state for state in AppState if state is not AppState.RUNNING])
async def test_a_verb_that_needs_the_app(served: Served, state: AppState) -> None:
    served.node.app_state = state
    stub = users_pb2_grpc.UsersStub(served.channel)
    call = stub.Delete(users_pb2.DeleteUser(username="x"), metadata=served.metadata_sent)
    code, details, name = await failure(call)
    assert (code, name) == (grpc.StatusCode.FAILED_PRECONDITION, "APP_STOPPED")
    assert details == (
        "this command requires the 'rabbit' app to be running on the target node. "
        "Start it with 'rabbitmqctl start_app'."
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("state", [AppState.BOOTING, AppState.RUNNING, AppState.STOPPING])
async def test_a_verb_that_needs_it_stopped(served: Served, state: AppState) -> None:
    served.node.app_state = state
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    call = nodes.Reset(nodes_pb2.ResetRequest(), metadata=served.metadata_sent)
    code, _, name = await failure(call)
    assert (code, name) == (grpc.StatusCode.FAILED_PRECONDITION, "APP_RUNNING")
    assert served.node.calls == []


@pytest.mark.asyncio
async def test_a_start_that_waits_for_others_may_be_reset(served: Served) -> None:
    served.node.app_state = AppState.WAITING
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    await nodes.Reset(nodes_pb2.ResetRequest(), metadata=served.metadata_sent)
    assert served.node.calls == [("reset", False)]


@pytest.mark.asyncio
async def test_a_node_that_its_cluster_forgot_is_down_but_for_a_reset(served: Served) -> None:
    served.node.app_state = AppState.STOPPED
    served.node.disowned = "it was forgotten: reset it"
    ping = diagnostics_pb2_grpc.DiagnosticsStub(served.channel).Ping
    call = ping(diagnostics_pb2.PingRequest(), metadata=served.metadata_sent)
    assert await failure(call) == (
        grpc.StatusCode.UNAVAILABLE,
        "it was forgotten: reset it",
        "UNAVAILABLE",
    )
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    await nodes.Reset(nodes_pb2.ResetRequest(), metadata=served.metadata_sent)
    assert served.node.calls == [("reset", False)]


@pytest.mark.asyncio
async def test_a_stopped_app_leaves_the_node_answering(served: Served) -> None:
    served.node.app_state = AppState.STOPPED
    ping = diagnostics_pb2_grpc.DiagnosticsStub(served.channel).Ping
    await ping(diagnostics_pb2.PingRequest(), metadata=served.metadata_sent)
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    await nodes.StartApp(nodes_pb2.StartAppRequest(), metadata=served.metadata_sent)
    assert served.node.calls == [("start_app",)]


@pytest.mark.asyncio
async def test_the_banner_is_due_before_an_operation_fails(served: Served) -> None:
    """Initial metadata comes before the failure, unless the precondition failed."""
    stub = users_pb2_grpc.UsersStub(served.channel)

    async def initial(call: Any) -> bool:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
        return "mqd-admitted" in dict(await call.initial_metadata())

    request = users_pb2.DeleteUser(username="nosuch")
    assert await initial(stub.Delete(request, metadata=served.metadata_sent))
    assert not await initial(stub.Delete(request))


@pytest.mark.asyncio
async def test_a_request_is_parsed_only_once_its_caller_is_admitted(served: Served) -> None:
    delete = served.channel.unary_unary("/mqd.rpc.v1.Users/Delete")
    _, _, name = await failure(delete(b"\xff"))
    assert name == "ACCESS_REFUSED"
    code, details, name = await failure(delete(b"\xff", metadata=served.metadata_sent))
    assert (code, name) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert "cannot be read" in details


# -- failing ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_expected_failure_keeps_its_words(served: Served) -> None:
    stub = users_pb2_grpc.UsersStub(served.channel)
    request = users_pb2.ClearPasswordRequest(username="jörg\n")
    found = await failure(stub.ClearPassword(request, metadata=served.metadata_sent))
    assert found == (grpc.StatusCode.NOT_FOUND, '{:no_such_user, "jörg\\n"}', "NO_SUCH_USER")


@pytest.mark.asyncio
async def test_a_failure_in_a_listing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = users_pb2_grpc.UsersStub(served.channel)
    served.node.metadata = None

    async def drained() -> list[Any]:
        call = stub.List(users_pb2.ListUsers(), metadata=served.metadata_sent)
        return [batch async for batch in call]

    code, _, name = await failure(drained())
    assert (code, name) == (grpc.StatusCode.FAILED_PRECONDITION, "APP_STOPPED")


@pytest.mark.asyncio
async def test_a_fault_of_ours_is_logged_and_not_shown(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.broker.auth = None  # type: ignore[assignment]
    stub = users_pb2_grpc.UsersStub(served.channel)
    request = users_pb2.AuthenticateUser(username="guest", password="secret")
    code, details, name = await failure(stub.Authenticate(request, metadata=served.metadata_sent))
    assert (code, name) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "NoneType" not in details
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "control call mqd.rpc.v1.Users.Authenticate failed"
    assert "secret" not in caplog.text.replace("password=", "")


@pytest.mark.asyncio
async def test_a_call_that_waits_ends_with_its_deadline(served: Served) -> None:
    stub = cluster_pb2_grpc.ClusterStub(served.channel)
    request = cluster_pb2.AwaitOnlineNodesRequest(count=2)
    call = stub.AwaitOnlineNodes(request, metadata=served.metadata_sent, timeout=0.05)
    code, _, _ = await failure(call)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    await served.control.stop(5)  # returns at once: nothing is under way any more


@pytest.mark.asyncio
async def test_calls_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqd.limits.CONTROL_CALLS_MAX", 0)
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    call = nodes.Probe(nodes_pb2.ProbeRequest(), metadata=served.metadata_sent)
    code, _, name = await failure(call)
    assert (code, name) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")


@pytest.mark.asyncio
async def test_the_call_that_ends_the_node_is_answered(served: Served) -> None:
    stopping: list[asyncio.Task[None]] = []

    def request_shutdown() -> None:
        stopping.append(asyncio.ensure_future(served.control.stop()))

    served.node.request_shutdown = request_shutdown  # type: ignore[method-assign]
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    reply = await nodes.Shutdown(nodes_pb2.ShutdownRequest(), metadata=served.metadata_sent)
    assert reply.pid == 4711
    await stopping[0]


async def _one_runs(served: Served) -> None:
    """Calls of one client begin in no promised order."""
    while served.control._guard._running != 1:  # noqa: ASYNC110 - it has no event for a test
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_no_call_begins_while_the_server_waits_for_the_last_ones(served: Served) -> None:
    cluster = cluster_pb2_grpc.ClusterStub(served.channel)
    request = cluster_pb2.AwaitOnlineNodesRequest(count=2)
    waiting = cluster.AwaitOnlineNodes(request, metadata=served.metadata_sent)
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    await nodes.Probe(nodes_pb2.ProbeRequest(), metadata=served.metadata_sent)
    await asyncio.wait_for(_one_runs(served), PATIENCE_S)  # else there is nothing to wait for
    stopping = asyncio.ensure_future(served.control.stop(3600))
    await asyncio.sleep(0)
    call = nodes.Probe(nodes_pb2.ProbeRequest(), metadata=served.metadata_sent)
    code, details, name = await failure(call)
    assert (code, name) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert details == "node rabbit@unit is stopping"
    waiting.cancel()
    await asyncio.wait_for(stopping, PATIENCE_S)


@pytest.mark.asyncio
async def test_no_call_is_left_for_the_end_of_the_loop(served: Served) -> None:
    """gRPC prints a traceback for each."""
    cluster = cluster_pb2_grpc.ClusterStub(served.channel)
    request = cluster_pb2.AwaitOnlineNodesRequest(count=2)
    waiting = cluster.AwaitOnlineNodes(request, metadata=served.metadata_sent)
    await asyncio.wait_for(_one_runs(served), PATIENCE_S)
    await asyncio.wait_for(served.control.stop(0), PATIENCE_S)
    left = {getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()}
    assert not left & {"_schedule_rpc_coro", "_handle_exceptions"}
    waiting.cancel()


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_holds_nothing_up(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.control.path))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    await reader.readexactly(9)  # the server's settings: the connection is made
    await asyncio.wait_for(served.control.stop(3600), PATIENCE_S)
    writer.close()


def test_a_long_text_is_cut_to_what_a_header_carries() -> None:
    assert status.details("x" * 10_000) == "x" * 3999 + "…"


# -- the socket -------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_directory_is_closed_to_others_and_the_socket_goes_at_the_end(
    served: Served,
) -> None:
    path = served.control.path
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    await served.control.stop(0)
    assert not path.exists()


@pytest.mark.asyncio
async def test_a_path_too_long_for_a_socket_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 100) / "n.sock"
    with pytest.raises(MqdError, match="a socket's may have 107; set MQD_RUN_DIR to a shorter"):
        await serve(Stand().node, path)
    assert not path.parent.exists()


@pytest.mark.asyncio
async def test_a_socket_that_answers_is_not_taken_over(served: Served) -> None:
    with pytest.raises(MqdError, match="rabbit@unit is already running") as caught:
        await serve(served.node, served.control.path)
    assert caught.value.code is ErrorCode.ALREADY_EXISTS
    nodes = nodes_pb2_grpc.NodesStub(served.channel)
    await nodes.Probe(nodes_pb2.ProbeRequest(), metadata=served.metadata_sent)


@pytest.mark.asyncio
async def test_the_socket_of_a_dead_daemon_is_taken_over_and_no_other(tmp_path: Path) -> None:
    """Another daemon's may be bound and not yet listening: both look dead."""
    mine, others = tmp_path / "n.sock", tmp_path / "other.sock"
    for path in (mine, others):
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    before = others.lstat().st_ino
    stand = Stand()
    control = await serve(stand.node, mine)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(mine))
    await control.stop(0)
    assert not mine.exists()
    assert others.lstat().st_ino == before


@pytest.mark.asyncio
async def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    mine = tmp_path / "n.sock"
    mine.write_text("x")
    with pytest.raises(MqdError, match="already running"):
        await serve(Stand().node, mine)
    assert mine.read_text() == "x"


@pytest.mark.asyncio
async def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MqdError, match="MQD_RUN_DIR") as caught:
        await serve(Stand().node, tmp_path / "file" / "n.sock")
    assert caught.value.code is ErrorCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_health_and_reflection_for_other_tools(served: Served) -> None:
    check = health_pb2_grpc.HealthStub(served.channel).Check
    reply = await check(health_pb2.HealthCheckRequest(service="mqd.rpc.v1.Users"))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    reflect = reflection_pb2_grpc.ServerReflectionStub(served.channel).ServerReflectionInfo
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in reflect(iter([request])):
        names = {service.name for service in answer.list_services_response.service}
        assert "mqd.rpc.v1.Users" in names


def test_the_functions_that_serve_are_those_of_admin() -> None:
    served_by = {operation.method.full_name: operation.resolve() for operation in ALL}
    assert served_by["mqd.rpc.v1.Users.Add"] is users.add
    assert server.serve is serve
