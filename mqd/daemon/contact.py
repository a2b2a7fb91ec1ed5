"""Asking another node over its control port or, on this machine, its control socket.

Decides where a node is looked for and that nobody is asked anything before both sides have shown
that they know the cookie (`mqd.rpc.challenge`; on the socket its directory's mode guards). Never
knows what is asked. Imports gRPC: loaded by those who meet another node, and by nobody else.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from mqd.errors import ErrorCode, MqdError
from mqd.rpc import challenge
from mqd.rpc.socket_path import socket_path
from mqd.rpc.v1 import peer_pb2 as pb

Address = tuple[str, int]
Metadata = Sequence[tuple[str, str]]
Reply = TypeVar("Reply", bound=Message)

ACTOR: Final = "peer"
_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of one's own: a session belongs to it
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)
_CODES: Final = {code.name: code for code in ErrorCode}


class Unreachable(Exception):
    """Nobody answers for that node, or not to us."""


class Contact:
    """Calls to other nodes on behalf of this one. default_port: of a node whose port is not known
    (all nodes of a cluster are usually configured alike)."""

    def __init__(self, cookie: str, default_port: int) -> None:
        self._cookie = cookie
        self._default_port = default_port

    async def call(
        self,
        node: str,
        path: str,
        request: Message,
        reply: type[Reply],
        timeout_s: float,
        address: Address | None = None,
    ) -> Reply:
        """path: /package.Service/Method. address: host and control port, where they are known.
        Raises Unreachable, and MqdError as the node raised it."""
        body = request.SerializeToString()
        local = _local_socket(node)
        guard: Metadata
        if local is not None:
            shown = sha256(self._cookie.encode()).hexdigest()
            guard = (("mqd-cookie-hash", shown), ("mqd-actor", ACTOR))
            try:
                async with grpc.aio.insecure_channel(f"unix:{local}", options=_OPTIONS) as channel:
                    return reply.FromString(await _ask(channel, path, body, guard, timeout_s))
            except Unreachable:
                if address is None:
                    raise
        host, port = address or (node.partition("@")[2], self._default_port)
        if not host:
            raise Unreachable(f"{node} names no host")
        shown_host = f"[{host}]" if ":" in host else host
        async with grpc.aio.insecure_channel(f"{shown_host}:{port}", options=_OPTIONS) as channel:
            guard = await self._introduce(channel, node, path, body, timeout_s)
            return reply.FromString(await _ask(channel, path, body, guard, timeout_s))

    async def _introduce(
        self, channel: Any, node: str, path: str, body: bytes, timeout_s: float
    ) -> tuple[tuple[str, str], ...]:
        """Prove to each other that both know the cookie; what the one call must show then."""
        nonce = secrets.token_bytes(challenge.NONCE_BYTES)
        request = pb.HelloRequest(version=challenge.VERSION, node=node, nonce=nonce)
        said = await _step(channel, "Hello", request, timeout_s)
        hello = pb.HelloReply.FromString(said)
        seen = challenge.transcript(node, nonce, hello.session, hello.nonce)
        proof = challenge.proof(self._cookie, challenge.CLIENT, seen)
        proving = pb.ProveRequest(session=hello.session, proof=proof)
        said = await _step(channel, "Prove", proving, timeout_s)
        wanted = challenge.proof(self._cookie, challenge.SERVER, seen)
        if not hmac.compare_digest(pb.ProveReply.FromString(said).proof, wanted):
            raise Unreachable("what answers there does not know this node's cookie")
        vouched = challenge.call_proof(self._cookie, seen, path, 1, ACTOR, body)
        return (
            (challenge.SESSION_KEY, hello.session.hex()),
            (challenge.SEQUENCE_KEY, "1"),
            (challenge.PROOF_KEY, vouched.hex()),
            ("mqd-actor", ACTOR),
        )


def _local_socket(node: str) -> str | None:
    """Of a node on this machine."""
    path = socket_path(node)
    return path if os.path.exists(path) else None


async def _step(channel: Any, name: str, request: Message, timeout_s: float) -> bytes:
    path = f"/mqd.rpc.v1.Peer/{name}"
    try:
        return await _ask(channel, path, request.SerializeToString(), (), timeout_s)
    except MqdError as error:  # another node than the one that was meant, another version
        raise Unreachable(error.detail) from error


async def _ask(channel: Any, path: str, body: bytes, metadata: Metadata, timeout_s: float) -> bytes:
    try:
        answer: bytes = await channel.unary_unary(path)(body, timeout=timeout_s, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from error
    return answer


def _failure(error: grpc.aio.AioRpcError) -> Exception:
    """With a code of ours the node has answered; without one the call did not get there."""
    trailers: Any = error.trailing_metadata() or ()  # its stub leaves the pairs untyped
    code = dict(trailers).get("mqd-code")
    known = _CODES.get(code) if isinstance(code, str) else None
    if known is ErrorCode.ACCESS_REFUSED and error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return Unreachable("the node refused this node's cookie")
    if known is not None:
        return MqdError(known, error.details() or "")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return MqdError(ErrorCode.PRECONDITION_FAILED, "the node runs an older mqd")
    return Unreachable(error.details() or error.code().name)
