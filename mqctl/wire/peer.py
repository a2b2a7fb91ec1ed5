"""The handshake with a node over TCP, and the proof that each later call carries.

Decides the order of its steps; what is computed stands in `mqd.rpc.challenge`. Raises Broken with
a sentence for everything that fails: no verb has been asked for yet.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from mqctl.wire.call import Link, Metadata
from mqctl.wire.outcomes import Broken, Status
from mqctl.wire.reach import REACH_WITHIN_S
from mqd.rpc import challenge
from mqd.rpc.v1 import peer_pb2 as pb


class Session:
    """A handshake that both sides have passed."""

    def __init__(self, cookie: str, key: bytes, transcript: bytes) -> None:
        self._cookie = cookie
        self._key = key
        self._transcript = transcript
        self._sequence = 0

    def vouch(self, path: str, actor: str, request: bytes) -> Metadata:
        """What makes the next call ours."""
        self._sequence += 1
        proof = challenge.call_proof(
            self._cookie, self._transcript, path, self._sequence, actor, request
        )
        return [
            (challenge.SESSION_KEY.encode(), self._key.hex().encode()),
            (challenge.SEQUENCE_KEY.encode(), b"%d" % self._sequence),
            (challenge.PROOF_KEY.encode(), proof.hex().encode()),
        ]


def introduce(link: Link, node: str, cookie: str) -> Session:
    """Prove to each other that both know the cookie."""
    nonce = secrets.token_bytes(challenge.NONCE_BYTES)
    request = pb.HelloRequest(version=challenge.VERSION, node=node, nonce=nonce)
    hello = _ask(link, "Hello", request, pb.HelloReply)
    transcript = challenge.transcript(node, nonce, hello.session, hello.nonce)
    shown = challenge.proof(cookie, challenge.CLIENT, transcript)
    reply = _ask(link, "Prove", pb.ProveRequest(session=hello.session, proof=shown), pb.ProveReply)
    wanted = challenge.proof(cookie, challenge.SERVER, transcript)
    if not hmac.compare_digest(reply.proof, wanted):
        raise Broken("what answers there does not know this tool's cookie")
    return Session(cookie, hello.session, transcript)


def _ask(link: Link, step: str, request: Any, reply_class: Any) -> Any:
    path = f"/mqd.rpc.v1.Peer/{step}"
    try:
        sent = request.SerializeToString().hex().encode()
        metadata = [(challenge.STEP_KEY.encode(), sent)]
        call = link.call(path, metadata, REACH_WITHIN_S, b"")
        messages = list(call.messages())
    except TimeoutError as error:
        raise Broken(f"no answer to the handshake within {REACH_WITHIN_S:.0f} s") from error
    except Status as status:
        refused = status.trailers.get("mqd-code") == "ACCESS_REFUSED"
        reason = "the node refused this tool's cookie" if refused else status.message
        raise Broken(reason) from status
    if len(messages) != 1:
        raise Broken("an answer to the handshake that is none")
    return reply_class.FromString(messages[0])
