"""mqd.control.peers: who is let in over TCP, and what is not let in twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from mqd import limits
from mqd.control.clustering import Clustering
from mqd.control.interceptors import cookie_hash
from mqd.control.peers import NotAdmitted, Peers
from mqd.control.server import serve
from mqd.errors import ErrorCode, MqdError
from mqd.rpc import challenge
from mqd.rpc.v1 import nodes_pb2, peer_pb2, peer_pb2_grpc
from tests.ports import free_ports
from tests.unit.admin.stand import Stand
from tests.waiting import PATIENCE_S

NONCE = bytes(range(32))
PEER = "ipv4:192.0.2.1:40000"
PROBE = "/mqd.rpc.v1.Nodes/Probe"


class Caller:
    """The other side, as it should be."""

    def __init__(self, peers: Peers, stand: Stand, peer: str = PEER) -> None:
        self.cookie = stand.node.cookie
        request = peer_pb2.HelloRequest(version=1, node=stand.node.name, nonce=NONCE)
        hello = peers.hello(request, peer)
        self.session = hello.session
        self.seen = challenge.transcript(stand.node.name, NONCE, hello.session, hello.nonce)

    def proof(self, cookie: str | None = None, role: bytes = challenge.CLIENT) -> Any:
        shown = challenge.proof(self.cookie if cookie is None else cookie, role, self.seen)
        return peer_pb2.ProveRequest(session=self.session, proof=shown)

    def vouch(
        self, sequence: int, path: str = PROBE, actor: str = "me", request: bytes = b""
    ) -> Any:
        shown = challenge.call_proof(self.cookie, self.seen, path, sequence, actor, request)
        return {
            challenge.SESSION_KEY: self.session.hex(),
            challenge.SEQUENCE_KEY: str(sequence),
            challenge.PROOF_KEY: shown.hex(),
        }


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
def peers(stand: Stand) -> Peers:
    return Peers(stand.node)


@pytest.fixture
def caller(peers: Peers, stand: Stand) -> Caller:
    """One that is proven."""
    found = Caller(peers, stand)
    peers.prove(found.proof(), PEER)
    return found


def test_both_sides_prove_themselves(peers: Peers, stand: Stand) -> None:
    caller = Caller(peers, stand)
    reply = peers.prove(caller.proof(), PEER)
    assert reply.proof == challenge.proof(stand.node.cookie, challenge.SERVER, caller.seen)
    peers.check(PROBE, "me", caller.vouch(1), b"", PEER)


def test_a_wrong_cookie_learns_nothing_and_has_one_try(peers: Peers, stand: Stand) -> None:
    caller = Caller(peers, stand)
    for proof in (caller.proof("GUESS"), caller.proof()):
        with pytest.raises(NotAdmitted):
            peers.prove(proof, PEER)


def test_a_proof_is_not_turned_round(peers: Peers, stand: Stand) -> None:
    caller = Caller(peers, stand)
    with pytest.raises(NotAdmitted):
        peers.prove(caller.proof(role=challenge.SERVER), PEER)


def test_a_session_that_is_not_proven_carries_no_call(peers: Peers, stand: Stand) -> None:
    caller = Caller(peers, stand)
    with pytest.raises(NotAdmitted):
        peers.check(PROBE, "me", caller.vouch(1), b"", PEER)


def test_a_call_is_good_once(peers: Peers, caller: Caller) -> None:
    peers.check(PROBE, "me", caller.vouch(5), b"", PEER)
    for sequence in (5, 4):
        with pytest.raises(NotAdmitted):
            peers.check(PROBE, "me", caller.vouch(sequence), b"", PEER)
    peers.check(PROBE, "me", caller.vouch(6), b"", PEER)


@pytest.mark.parametrize(
    "altered",
    [
        ("/mqd.rpc.v1.Nodes/Shutdown", "me", b"", PEER),
        (PROBE, "somebody", b"", PEER),
        (PROBE, "me", b"\x08\x01", PEER),
        (PROBE, "me", b"", "ipv4:192.0.2.1:40001"),
    ],
    ids=["path", "actor", "request", "connection"],
)
def test_a_proof_fits_no_other_call(
    peers: Peers, caller: Caller, altered: tuple[str, str, bytes, str]
) -> None:
    path, actor, request, peer = altered
    with pytest.raises(NotAdmitted):
        peers.check(path, actor, caller.vouch(1), request, peer)
    peers.check(PROBE, "me", caller.vouch(1), b"", PEER)


@pytest.mark.parametrize(
    "key", [challenge.SESSION_KEY, challenge.SEQUENCE_KEY, challenge.PROOF_KEY]
)
@pytest.mark.parametrize("value", [None, "", "zz", "00"])
def test_broken_metadata_is_refused(
    peers: Peers, caller: Caller, key: str, value: str | None
) -> None:
    sent = caller.vouch(1)
    if value is None:
        del sent[key]
    else:
        sent[key] = value
    with pytest.raises(NotAdmitted):
        peers.check(PROBE, "me", sent, b"", PEER)


def test_a_session_ends(peers: Peers, caller: Caller, stand: Stand) -> None:
    stand.node.clock.advance(limits.PEER_SESSION_MS)
    with pytest.raises(NotAdmitted):
        peers.check(PROBE, "me", caller.vouch(1), b"", PEER)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (peer_pb2.HelloRequest(version=1, node="other@host", nonce=NONCE), ErrorCode.NOT_FOUND),
        (
            peer_pb2.HelloRequest(version=2, node="rabbit@unit", nonce=NONCE),
            ErrorCode.PRECONDITION_FAILED,
        ),
        (
            peer_pb2.HelloRequest(version=1, node="rabbit@unit", nonce=b"short"),
            ErrorCode.INVALID_ARGUMENT,
        ),
    ],
)
def test_a_hello_that_cannot_be_meant(
    peers: Peers, request_: peer_pb2.HelloRequest, code: ErrorCode
) -> None:
    with pytest.raises(MqdError) as caught:
        peers.hello(request_, PEER)
    assert caught.value.code is code


def test_strangers_do_not_crowd_out_the_proven(
    peers: Peers, caller: Caller, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mqd.limits.PEER_SESSIONS_MAX", 3)
    strangers = [Caller(peers, stand) for _ in range(10)]
    peers.check(PROBE, "me", caller.vouch(1), b"", PEER)
    with pytest.raises(NotAdmitted):
        peers.prove(strangers[0].proof(), PEER)
    for stranger in strangers[-2:]:
        peers.prove(stranger.proof(), PEER)
    newest = Caller(peers, stand)
    peers.prove(newest.proof(), PEER)
    with pytest.raises(NotAdmitted):
        peers.check(PROBE, "me", caller.vouch(2), b"", PEER)
    peers.check(PROBE, "me", newest.vouch(1), b"", PEER)


# -- over a real port -------------------------------------------------------------------------


@pytest_asyncio.fixture
async def channel(stand: Stand, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    (port,) = free_ports(1)
    control = await serve(stand.node, tmp_path / "n.sock", Clustering("127.0.0.1", port))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await control.stop(0)


NO_BODY = peer_pb2.HelloRequest()


def step(request: Any) -> tuple[tuple[str, str]]:
    return ((challenge.STEP_KEY, request.SerializeToString().hex()),)


async def say_hello(channel: grpc.aio.Channel, name: str) -> Any:
    request = peer_pb2.HelloRequest(version=1, node=name, nonce=NONCE)
    return await peer_pb2_grpc.PeerStub(channel).Hello(NO_BODY, metadata=step(request))


async def refused(call: Any) -> str | None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    return dict(caught.value.trailing_metadata()).get("mqd-code")


@pytest.mark.asyncio
async def test_the_hash_that_opens_the_socket_does_not_open_the_port(
    channel: grpc.aio.Channel, stand: Stand
) -> None:
    probe = channel.unary_unary(PROBE)
    metadata = (("mqd-cookie-hash", cookie_hash(stand.node.cookie)),)
    assert await refused(probe(b"", metadata=metadata)) == "ACCESS_REFUSED"


@pytest.mark.asyncio
async def test_a_handshake_opens_the_port_for_each_call_once(
    channel: grpc.aio.Channel, stand: Stand
) -> None:
    name = stand.node.name
    hello = await say_hello(channel, name)
    seen = challenge.transcript(name, NONCE, hello.session, hello.nonce)
    shown = challenge.proof(stand.node.cookie, challenge.CLIENT, seen)
    proving = peer_pb2.ProveRequest(session=hello.session, proof=shown)
    reply = await peer_pb2_grpc.PeerStub(channel).Prove(
        peer_pb2.ProveRequest(), metadata=step(proving)
    )
    assert reply.proof == challenge.proof(stand.node.cookie, challenge.SERVER, seen)
    proof = challenge.call_proof(stand.node.cookie, seen, PROBE, 1, "me", b"")
    metadata = (
        ("mqd-actor", "me"),
        (challenge.SESSION_KEY, hello.session.hex()),
        (challenge.SEQUENCE_KEY, "1"),
        (challenge.PROOF_KEY, proof.hex()),
    )
    probe = channel.unary_unary(PROBE, response_deserializer=nodes_pb2.ProbeReply.FromString)
    assert (await probe(b"", metadata=metadata)).pid == 4711
    assert await refused(probe(b"", metadata=metadata)) == "ACCESS_REFUSED"


@pytest.mark.asyncio
async def test_a_wrong_proof_is_answered_like_a_wrong_cookie(
    channel: grpc.aio.Channel, stand: Stand
) -> None:
    hello = await say_hello(channel, stand.node.name)
    wrong = peer_pb2.ProveRequest(session=hello.session, proof=b"x" * 32)
    stub = peer_pb2_grpc.PeerStub(channel)
    assert (
        await refused(stub.Prove(peer_pb2.ProveRequest(), metadata=step(wrong))) == "ACCESS_REFUSED"
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("sent", [None, "", "zz", "ff"])
async def test_a_handshake_without_a_request(channel: grpc.aio.Channel, sent: str | None) -> None:
    metadata = () if sent is None else ((challenge.STEP_KEY, sent),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer_pb2_grpc.PeerStub(channel).Hello(NO_BODY, metadata=metadata)
    code = dict(caught.value.trailing_metadata()).get("mqd-code")
    assert code in ("PRECONDITION_FAILED", "INVALID_ARGUMENT")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/grpc.health.v1.Health/Check", "/mqd.rpc.v1.Users/Add", "/no/one"]
)
async def test_strangers_are_sent_away_from_everything_else(
    channel: grpc.aio.Channel, path: str
) -> None:
    assert await refused(channel.unary_unary(path)(b"")) == "ACCESS_REFUSED"


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/mqd.rpc.v1.Definitions/Import", "/mqd.rpc.v1.Peer/Hello"])
async def test_a_strangers_body_is_not_waited_for(channel: grpc.aio.Channel, path: str) -> None:
    """It is never finished, and the answer comes all the same."""

    async def never_done() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    call = channel.stream_unary(path)(never_done())
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    assert dict(caught.value.trailing_metadata()).get("mqd-code")


@pytest.mark.asyncio
async def test_the_log_does_not_grow_with_each_stranger(
    channel: grpc.aio.Channel, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        await refused(channel.unary_unary("/forged log line/x")(b""))
    hello = await say_hello(channel, stand.node.name)
    wrong = peer_pb2.ProveRequest(session=hello.session, proof=b"x" * 32)
    stub = peer_pb2_grpc.PeerStub(channel)
    await refused(stub.Prove(peer_pb2.ProveRequest(), metadata=step(wrong)))
    said = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    assert len(said) == 1
    assert "forged" not in said[0]
    stand.node.clock.advance(limits.PEER_REFUSAL_TOLD_MS)
    await refused(channel.unary_unary("/x/x")(b""))
    assert len([each for each in caplog.records if "refused" in each.getMessage()]) == 2
