"""The mutual challenge on the cookie that guards calls over TCP (DESIGN of the control plane).

Decides what both sides compute, nothing else: no I/O, no sessions, and cheap to import.

The scheme, version 1. K is the cookie in UTF-8, `|` joins fields that each carry their length,
MAC(role, fields) is HMAC-SHA256(K, "mqd-peer-1" | role | fields).

 1. Hello: the caller sends the name of the node it means and 32 random bytes; the node answers
    with a session id and 32 random bytes of its own. These four are the transcript T.
 2. Prove: the caller sends MAC("client", T). Only a caller that knows K is answered, with
    MAC("server", T), which it checks before it sends anything else. The caller goes first, as in
    Erlang's own handshake: a stranger gets nothing against which cookies could be guessed offline.
 3. Each call carries the session's id, a sequence number above every earlier one, and
    MAC("call", T | path | sequence | actor | SHA-256 of the request).

Hello and Prove travel in metadata (STEP_KEY), their bodies are empty: what a stranger can make a
node take in is bounded by what gRPC allows there, not by the largest message of the catalogue.

So the cookie is never on the wire; a recorded proof is worth nothing: another session has other
random bytes, and in the same one its sequence number is used up. A proof cannot be turned round
(the roles differ) nor moved to another call, request or actor. A session belongs to the
connection it was made on and ends limits.PEER_SESSION_MS after Hello; a wrong proof ends it at
once.

LIMIT: nothing is encrypted, and replies carry no proof: whoever can read the network reads what
is said, and whoever can change it can change answers. TLS is for that.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

VERSION: Final = 1
NONCE_BYTES: Final = 32
STEP_KEY: Final = "mqd-step"  # metadata of Hello and Prove: the request, hexadecimal
SESSION_KEY: Final = "mqd-session"  # metadata of a call: session id, hexadecimal
SEQUENCE_KEY: Final = "mqd-sequence"  # decimal
PROOF_KEY: Final = "mqd-proof"  # hexadecimal

CLIENT: Final = b"client"
SERVER: Final = b"server"
_CALL: Final = b"call"
_LABEL: Final = b"mqd-peer-1"


def transcript(node: str, client_nonce: bytes, session: bytes, server_nonce: bytes) -> bytes:
    """What both sides have seen of a handshake."""
    return _joined(node.encode(), client_nonce, session, server_nonce)


def proof(cookie: str, role: bytes, transcript: bytes) -> bytes:
    """That one side of the handshake (CLIENT or SERVER) knows the cookie."""
    return _mac(cookie, role, transcript)


def call_proof(
    cookie: str, transcript: bytes, path: str, sequence: int, actor: str, request: bytes
) -> bytes:
    """That the caller means this call. path is /package.Service/Method."""
    digest = sha256(request).digest()
    fields = (path.encode(), b"%d" % sequence, actor.encode(), digest)
    return _mac(cookie, _CALL, transcript, *fields)


def _mac(cookie: str, *fields: bytes) -> bytes:
    return hmac.digest(cookie.encode(), _joined(_LABEL, *fields), "sha256")


def _joined(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)
