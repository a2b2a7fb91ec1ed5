"""Calls that this daemon makes of another's control services: first contact, probing, joining.

Over the node's own socket when it runs on this machine, showing the cookie's hash; else over TCP,
where both sides prove that they know the cookie before anything is asked (`mqd.rpc.challenge`).
Each call has a connection of its own: a session belongs to one, and what became of an earlier
call must not delay this one.

Decides how a node is reached and what it means when it is not. Never decides what is asked, and
keeps nothing between calls. gRPC is imported with the first call.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import hmac
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

from mqd import limits
from mqd.errors import ErrorCode, MqdError
from mqd.rpc import challenge
from mqd.rpc.socket_path import socket_path

if TYPE_CHECKING:
    import grpc

REACH_S: Final = 5.0  # the host's name, connecting, and both steps of the challenge
_COOKIE_KEY: Final = "mqd-cookie-hash"  # as `mqd.control.interceptors` reads them
_ACTOR_KEY: Final = "mqd-actor"
_CODE_KEY: Final = "mqd-code"
_HELLO: Final = "/mqd.rpc.v1.Peer/Hello"
_PROVE: Final = "/mqd.rpc.v1.Peer/Prove"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", limits.CONTROL_MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", limits.CONTROL_MESSAGE_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # or a refused call delays those after it
)


class Why(enum.Enum):
    """Why a node is not reached."""

    NO_HOST = "no host"  # no such name, or no way to it
    REFUSED = "refused"  # nobody listens there, or the connection broke
    TIMEOUT = "timeout"
    COOKIE = "wrong cookie"  # ours is not theirs, or theirs not ours
    OTHER_NODE = "another node"


class Unreachable(Exception):
    """was_asked: the request itself had been sent, so it may have been carried out."""

    def __init__(self, node: str, why: Why, detail: str, *, was_asked: bool = False) -> None:
        super().__init__(f"node {node} is not reached ({why.value}): {detail}")
        self.node = node
        self.why = why
        self.detail = detail
        self.was_asked = was_asked


class Message(Protocol):
    """What is needed of a protobuf message."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The message as it travels."""


Reply = TypeVar("Reply")


async def call(
    node: str,
    method_path: str,
    request: Message,
    reply_class: type[Reply],
    *,
    cookie: str,
    port_default: int,
    timeout_s: float,
    host: str | None = None,
    actor: str = "",
    environ: Mapping[str, str] | None = None,
) -> Reply:
    """Ask once. method_path: /package.Service/Method, one that answers once.

    port_default: the node's control port when it is not on this machine; host: where it is then,
    None: as its name says. environ: of what says where control sockets lie, None: this process's.
    Raises Unreachable, and MqdError as the node raised it.
    """
    body = request.SerializeToString()
    path = socket_path(node, dict(os.environ if environ is None else environ))
    attempt = _Attempt(node, cookie, actor)
    try:
        async with asyncio.timeout(timeout_s):
            if _answers(path):
                target, is_local = f"unix:{path}", True
            else:
                target, is_local = await attempt.find(host, port_default), False
            data = await attempt.ask(target, is_local, method_path, body, timeout_s)
    except TimeoutError as error:
        detail = f"no answer within {timeout_s:g} s"
        raise Unreachable(node, Why.TIMEOUT, detail, was_asked=attempt.was_asked) from error
    return _parsed(reply_class, data)


class _Attempt:
    """One call."""

    def __init__(self, node: str, cookie: str, actor: str) -> None:
        self.was_asked = False
        self._node = node
        self._cookie = cookie
        self._actor = actor

    async def find(self, host: str | None, port: int) -> str:
        """An address of the node at which somebody listens, as gRPC takes it. gRPC itself would
        not say what went wrong."""
        host = host or self._node.partition("@")[2]
        loop = asyncio.get_running_loop()
        failure: OSError | UnicodeError | None = None
        try:
            async with asyncio.timeout(REACH_S):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                for family, _, _, _, address in found:
                    try:
                        _, writer = await asyncio.open_connection(str(address[0]), port)
                    except OSError as error:
                        failure = error
                        continue
                    writer.transport.abort()
                    if family == socket.AF_INET6:
                        return f"ipv6:[{address[0]}]:{port}"
                    return f"ipv4:{address[0]}:{port}"
        except TimeoutError as error:
            raise self._unreachable(Why.TIMEOUT, f"{host}:{port} does not answer") from error
        except (OSError, UnicodeError) as error:
            failure = error
        reason = getattr(failure, "strerror", None) or str(failure)
        raise self._unreachable(_why(failure), f"cannot connect to {host}:{port}: {reason}")

    async def ask(
        self, target: str, is_local: bool, method: str, body: bytes, timeout_s: float
    ) -> bytes:
        """The reply, as it travelled."""
        import grpc

        async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
            metadata = [(_ACTOR_KEY, self._actor)]
            if is_local:
                metadata.append((_COOKIE_KEY, sha256(self._cookie.encode()).hexdigest()))
            else:
                metadata += await self._proven(channel, method, body)
            self.was_asked = True
            with self._translated(grpc.aio.AioRpcError):
                ask = channel.unary_unary(method, None, None)
                reply: bytes = await ask(body, metadata=metadata, timeout=timeout_s)
                return reply

    async def _proven(
        self, channel: grpc.aio.Channel, method: str, body: bytes
    ) -> list[tuple[str, str]]:
        """The challenge, and what makes the call ours."""
        from mqd.rpc.v1 import peer_pb2 as pb

        nonce = secrets.token_bytes(challenge.NONCE_BYTES)
        asked = pb.HelloRequest(version=challenge.VERSION, node=self._node, nonce=nonce)
        try:
            async with asyncio.timeout(REACH_S):
                hello = _parsed(pb.HelloReply, await self._step(channel, _HELLO, asked))
                seen = challenge.transcript(self._node, nonce, hello.session, hello.nonce)
                shown = challenge.proof(self._cookie, challenge.CLIENT, seen)
                prove = pb.ProveRequest(session=hello.session, proof=shown)
                reply = _parsed(pb.ProveReply, await self._step(channel, _PROVE, prove))
        except TimeoutError as error:
            detail = f"no answer to the challenge within {REACH_S:g} s"
            raise self._unreachable(Why.TIMEOUT, detail) from error
        wanted = challenge.proof(self._cookie, challenge.SERVER, seen)
        if not hmac.compare_digest(reply.proof, wanted):
            raise self._unreachable(
                Why.COOKIE, "what answers there does not know this node's cookie"
            )
        proof = challenge.call_proof(self._cookie, seen, method, 1, self._actor, body)
        return [
            (challenge.SESSION_KEY, hello.session.hex()),
            (challenge.SEQUENCE_KEY, "1"),
            (challenge.PROOF_KEY, proof.hex()),
        ]

    async def _step(self, channel: grpc.aio.Channel, method: str, request: Message) -> bytes:
        import grpc

        with self._translated(grpc.aio.AioRpcError):
            step = channel.unary_unary(method, None, None)
            sent = ((challenge.STEP_KEY, request.SerializeToString().hex()),)
            reply: bytes = await step(b"", metadata=sent, timeout=REACH_S)
            return reply

    @contextlib.contextmanager
    def _translated(self, error_class: type[grpc.aio.AioRpcError]) -> Iterator[None]:
        try:
            yield
        except error_class as error:
            self._translate(error)

    def _translate(self, error: grpc.aio.AioRpcError) -> NoReturn:
        trailers: Any = error.trailing_metadata() or ()  # its stub does not know that it is pairs
        code, detail = str(dict(trailers).get(_CODE_KEY, "")), error.details() or ""
        status = error.code().name
        if code == ErrorCode.ACCESS_REFUSED.name and status == "UNAUTHENTICATED":
            raise self._unreachable(Why.COOKIE, "the node refused this node's cookie") from error
        if code == ErrorCode.NOT_FOUND.name and not self.was_asked:
            raise self._unreachable(Why.OTHER_NODE, detail) from error
        if code in ErrorCode.__members__:
            raise MqdError(ErrorCode[code], detail) from error
        if status == "DEADLINE_EXCEEDED":
            raise self._unreachable(Why.TIMEOUT, "no answer in time") from error
        if status == "UNAVAILABLE":
            raise self._unreachable(Why.REFUSED, "the connection broke") from error
        if status == "UNIMPLEMENTED":
            text = f"node {self._node} is of a release that does not know what it was asked"
            raise MqdError(ErrorCode.PRECONDITION_FAILED, text) from error
        text = f"node {self._node} ended the call: {detail or status}"
        raise MqdError(ErrorCode.INTERNAL, text) from error

    def _unreachable(self, why: Why, detail: str) -> Unreachable:
        return Unreachable(self._node, why, detail, was_asked=self.was_asked)


def _answers(path: str) -> bool:
    """Whether the node runs on this machine: somebody listens on its socket, and we may ask."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # it has much to do
            return True
        except OSError:  # not there, left behind by a node that died, or not for this user
            return False
    return True


def _why(error: Exception | None) -> Why:
    if isinstance(error, socket.gaierror | UnicodeError):
        return Why.NO_HOST
    if isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return Why.NO_HOST
    if isinstance(error, TimeoutError):
        return Why.TIMEOUT
    return Why.REFUSED


def _parsed(reply_class: type[Reply], data: bytes) -> Reply:
    from google.protobuf.message import DecodeError

    try:
        parse: Any = reply_class
        reply: Reply = parse.FromString(data)
    except DecodeError as error:
        text = "the answer cannot be read: do the nodes' releases fit?"
        raise MqdError(ErrorCode.INTERNAL, text) from error
    return reply
