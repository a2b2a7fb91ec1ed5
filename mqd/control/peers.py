"""Callers over TCP: the sessions they open by proving that they know the cookie.

Decides who has a session, for how long and which of its calls is genuine. The computation, and
why it is as it is, stands in `mqd.rpc.challenge`. Never answers a call itself and knows no gRPC.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mqd import limits
from mqd.admin.context import NodeControl
from mqd.errors import ErrorCode, MqdError
from mqd.rpc import challenge
from mqd.rpc.v1 import peer_pb2 as pb

_SESSION_BYTES: Final = 16


class NotAdmitted(Exception):
    """The caller does not know the cluster's secret."""


@dataclass(slots=True)
class _Session:
    peer: str  # the connection's other end, as gRPC names it
    transcript: bytes
    ends_ms: int
    proven: bool = False
    sequence: int = -1  # of the last call


class Peers:
    """The sessions of one node. `peer` is the address and port of the caller, always."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node
        self._sessions: dict[bytes, _Session] = {}

    def hello(self, request: pb.HelloRequest, peer: str) -> pb.HelloReply:
        """Open a session. Raises MqdError when it cannot be this node's."""
        if request.version != challenge.VERSION:
            raise MqdError(
                ErrorCode.PRECONDITION_FAILED,
                f"node {self._node.name} speaks version {challenge.VERSION} of the handshake, "
                f"the caller version {request.version}: use tools of the node's release",
            )
        if request.node != self._node.name:
            raise MqdError(
                ErrorCode.NOT_FOUND,
                f"node {self._node.name} answers there, not {request.node}",
            )
        if len(request.nonce) != challenge.NONCE_BYTES:
            raise MqdError(ErrorCode.INVALID_ARGUMENT, "a nonce of the wrong length")
        self._make_room()
        session = secrets.token_bytes(_SESSION_BYTES)
        nonce = secrets.token_bytes(challenge.NONCE_BYTES)
        seen = challenge.transcript(request.node, request.nonce, session, nonce)
        ends_ms = self._now() + limits.PEER_SESSION_MS
        self._sessions[session] = _Session(peer, seen, ends_ms)
        return pb.HelloReply(session=session, nonce=nonce)

    def prove(self, request: pb.ProveRequest, peer: str) -> pb.ProveReply:
        """Admit the caller and prove the node to it. Raises NotAdmitted; then the session is over:
        each guess costs a handshake."""
        session = self._sessions.pop(request.session, None)
        if session is None or session.proven or not self._is_alive(session, peer):
            raise NotAdmitted
        wanted = challenge.proof(self._node.cookie, challenge.CLIENT, session.transcript)
        if not hmac.compare_digest(request.proof, wanted):
            raise NotAdmitted
        session.proven = True
        self._sessions[request.session] = session
        shown = challenge.proof(self._node.cookie, challenge.SERVER, session.transcript)
        return pb.ProveReply(proof=shown)

    def knows(self, sent: Mapping[str, str | bytes]) -> bool:
        """Whether metadata name a session that is proven. Whose it is, `check` finds out."""
        try:
            session = self._sessions.get(bytes.fromhex(str(sent.get(challenge.SESSION_KEY, ""))))
        except ValueError:
            return False
        return session is not None and session.proven and self._now() < session.ends_ms

    def check(
        self, path: str, actor: str, sent: Mapping[str, str | bytes], request: bytes, peer: str
    ) -> None:
        """Raises NotAdmitted unless the call is one that its session's owner means now."""
        try:
            key = bytes.fromhex(str(sent[challenge.SESSION_KEY]))
            sequence = int(sent[challenge.SEQUENCE_KEY])
            proof = bytes.fromhex(str(sent[challenge.PROOF_KEY]))
        except (KeyError, ValueError) as error:
            raise NotAdmitted from error
        session = self._sessions.get(key)
        if session is None or not session.proven or not self._is_alive(session, peer):
            raise NotAdmitted
        cookie, seen = self._node.cookie, session.transcript
        wanted = challenge.call_proof(cookie, seen, path, sequence, actor, request)
        if sequence <= session.sequence or not hmac.compare_digest(proof, wanted):
            raise NotAdmitted
        session.sequence = sequence

    def _now(self) -> int:
        return self._node.clock.monotonic_ms()

    def _is_alive(self, session: _Session, peer: str) -> bool:
        return session.peer == peer and self._now() < session.ends_ms

    def _make_room(self) -> None:
        """Strangers can open sessions but not crowd out the proven; of those the oldest goes."""
        while len(self._sessions) >= limits.PEER_SESSIONS_MAX:
            strangers = (key for key, found in self._sessions.items() if not found.proven)
            del self._sessions[next(strangers, next(iter(self._sessions)))]
