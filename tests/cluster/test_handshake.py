"""One daemon calls another's control services: over its socket, and over TCP."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mqd.cluster import handshake
from mqd.cluster.handshake import Unreachable, Why
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import nodes_pb2, vhosts_pb2
from tests.nodes import Node
from tests.ports import free_ports
from tests.waiting import PATIENCE_S

PROBE = "/mqd.rpc.v1.Nodes/Probe"
pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("daemon"), "h") as running:
        running.await_control()
        yield running


class Caller:
    """What the calling daemon has. far: as if it were on another machine."""

    def __init__(self, daemon: Node, *, far: bool) -> None:
        self.node = daemon.name
        self.port = int(daemon.environment["RABBITMQ_DIST_PORT"])
        self.cookie = (daemon.directory / "home" / ".erlang.cookie").read_text()
        nowhere = {"MQD_RUN_DIR": str(daemon.directory / "nowhere")}
        self.environ = nowhere if far else daemon.environment

    async def call(
        self, path: str = PROBE, request: Any = None, reply: Any = nodes_pb2.ProbeReply, **more: Any
    ) -> Any:
        options = {
            "cookie": self.cookie,
            "port_default": self.port,
            "timeout_s": PATIENCE_S,
            **more,
        }
        node = options.pop("node", self.node)
        asked = request or nodes_pb2.ProbeRequest()
        return await handshake.call(node, path, asked, reply, environ=self.environ, **options)


@pytest.fixture(params=["near", "far"])
def caller(request: pytest.FixtureRequest, daemon: Node) -> Caller:
    return Caller(daemon, far=request.param == "far")


@pytest.fixture
def far(daemon: Node) -> Caller:
    return Caller(daemon, far=True)


async def test_the_node_answers(caller: Caller) -> None:
    for _ in range(2):
        assert (await caller.call()).node == caller.node
    replies = await asyncio.gather(*(caller.call() for _ in range(8)))
    assert {reply.node for reply in replies} == {caller.node}


async def test_what_the_node_refuses_is_raised_as_it_is(caller: Caller) -> None:
    gone = vhosts_pb2.DeleteVhost(name="nowhere")
    with pytest.raises(MqdError) as caught:
        await caller.call("/mqd.rpc.v1.Vhosts/Delete", gone)
    assert caught.value.code in (ErrorCode.NO_SUCH_VHOST, ErrorCode.NOT_FOUND)
    assert "nowhere" in caught.value.detail
    with pytest.raises(MqdError) as caught:
        await caller.call("/mqd.rpc.v1.Nodes/OfTheFuture")
    assert caught.value.code is ErrorCode.PRECONDITION_FAILED


async def test_a_wrong_cookie(caller: Caller) -> None:
    with pytest.raises(Unreachable) as caught:
        await caller.call(cookie="WRONG")
    assert caught.value.why is Why.COOKIE
    assert "WRONG" not in str(caught.value)


async def test_another_node_there(far: Caller) -> None:
    with pytest.raises(Unreachable, match="answers there") as caught:
        await far.call(node="rabbit@localhost")
    assert caught.value.why is Why.OTHER_NODE


async def test_nobody_there(far: Caller) -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unreachable) as caught:
        await far.call(port_default=port)
    assert caught.value.why is Why.REFUSED
    for node in ("rabbit@no-such-host.invalid", "rabbit", "rabbit@" + "x" * 300):
        with pytest.raises(Unreachable) as caught:
            await far.call(node=node, host=node.partition("@")[2] or "no-host.invalid")
        assert caught.value.why is Why.NO_HOST, node
    assert not caught.value.was_asked


async def test_the_host_that_the_table_has_goes_before_the_name(far: Caller) -> None:
    with pytest.raises(Unreachable) as caught:
        await far.call(node="rabbit@no-such-host.invalid", host="127.0.0.1")
    assert caught.value.why is Why.OTHER_NODE


async def test_a_host_that_accepts_and_says_nothing(far: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable) as caught:
            await far.call(host="127.0.0.1", port_default=port, timeout_s=0.3)
    assert caught.value.why is Why.TIMEOUT
    assert not caught.value.was_asked


async def test_what_speaks_no_grpc(far: Caller) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        await far.call(host="127.0.0.1", port_default=port, timeout_s=5)
    assert caught.value.why in (Why.REFUSED, Why.TIMEOUT)
    server.close()
    await server.wait_closed()


async def test_an_impostor_learns_nothing_and_is_asked_nothing(far: Caller) -> None:
    """A server that takes any proof but cannot make its own."""
    import grpc

    from mqd.rpc.v1 import peer_pb2, peer_pb2_grpc

    seen: list[Any] = []

    class Impostor(peer_pb2_grpc.PeerServicer):
        async def Hello(self, request: Any, context: Any) -> Any:  # noqa: N802
            seen.append(request)
            return peer_pb2.HelloReply(session=bytes(16), nonce=bytes(32))

        async def Prove(self, request: Any, context: Any) -> Any:  # noqa: N802
            seen.append(request)
            return peer_pb2.ProveReply(proof=request.proof)

    server = grpc.aio.server()
    peer_pb2_grpc.add_PeerServicer_to_server(Impostor(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with pytest.raises(Unreachable, match="does not know this node's cookie") as caught:
            await far.call(host="127.0.0.1", port_default=port)
    finally:
        await server.stop(None)
    assert caught.value.why is Why.COOKIE
    assert not caught.value.was_asked
    assert len(seen) == 2
    assert all(far.cookie.encode() not in each.SerializeToString() for each in seen)


async def test_a_socket_that_a_dead_node_left_is_passed_by(far: Caller, tmp_path: Path) -> None:
    left = tmp_path / f"{far.node}.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    far.environ = {"MQD_RUN_DIR": str(tmp_path)}
    assert (await far.call()).node == far.node


async def test_grpc_is_imported_with_the_first_call() -> None:
    code = "import sys, mqd.cluster.handshake; sys.exit('grpc' in sys.modules)"
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await done.wait() == 0
