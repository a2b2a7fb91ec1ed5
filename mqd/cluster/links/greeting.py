"""The greeting that opens a link: who each side is, and whether the other goes on with it.

Both sides send HELLO as soon as TLS stands, judge the other's, and answer WELCOME or REFUSAL. The
link is up for a side when it has accepted and been accepted: what it sends from then on is read.

Decides who is accepted. Never reads a socket, and knows no state but what it is given.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mqd.cluster.links.frames import Garbled
from mqd.metadata.commands import Member

VERSION: Final = 1
_HEAD: Final = struct.Struct(">HQQ")
_REFUSAL: Final = struct.Struct(">BQ")
_TEXT_BYTES_MAX: Final = 255


class Refusal(enum.IntEnum):
    """Why there is no link. Numbers travel; never reused."""

    CERTIFICATE = 1  # TLS came to nothing: another cookie, cluster or generation, or no mqd at all
    VERSION = 2
    NAME = 3  # not the node that was dialled, or not the one that its certificate names
    CLUSTER = 4
    OLD = 5  # the other's generation is lower: it was shut out
    NEW = 6  # the other's generation is higher: this node was
    NOT_MEMBER = 7  # or another incarnation of one


@dataclass(frozen=True, slots=True)
class Hello:
    """What a side says of itself. epoch: another number after each start of the process."""

    node: str
    incarnation: str
    epoch: int
    cluster: str
    generation: int
    version: int = VERSION

    def encode(self) -> bytes:
        """Payload of a HELLO."""
        texts = [text.encode() for text in (self.node, self.incarnation, self.cluster)]
        assert all(len(text) <= _TEXT_BYTES_MAX for text in texts)
        joined = b"".join(bytes((len(text),)) + text for text in texts)
        return _HEAD.pack(self.version, self.epoch, self.generation) + joined


def parse(payload: bytes) -> Hello:
    """Raises Garbled. Of another version only the version is read."""
    if len(payload) < _HEAD.size:
        raise Garbled("a greeting that is too short")
    version, epoch, generation = _HEAD.unpack_from(payload)
    if version != VERSION:
        return Hello("", "", 0, "", 0, version)
    texts, at = [], _HEAD.size
    try:
        for _ in range(3):
            stop = at + 1 + payload[at]
            texts.append(payload[at + 1 : stop].decode())
            at = stop
    except (IndexError, UnicodeDecodeError) as error:
        raise Garbled("a greeting that cannot be read") from error
    if at != len(payload):
        raise Garbled("a greeting of the wrong length")
    return Hello(texts[0], texts[1], epoch, texts[2], generation)


def judge(
    ours: Hello,
    theirs: Hello,
    members: Mapping[str, Member],
    *,
    certified: str | None,
    dialled: str | None,
) -> Refusal | None:
    """None: accepted. certified: whom the certificate names; dialled: whom we called, None when
    they called us, which only the one with the smaller name does."""
    if theirs.version != VERSION:
        return Refusal.VERSION
    wanted = dialled if dialled is not None else certified
    if theirs.node != wanted or theirs.node != certified:
        return Refusal.NAME
    if theirs.cluster != ours.cluster:
        return Refusal.CLUSTER
    if theirs.generation != ours.generation:
        return Refusal.OLD if theirs.generation < ours.generation else Refusal.NEW
    member = members.get(theirs.node)
    if member is None or member.incarnation != theirs.incarnation:
        return Refusal.NOT_MEMBER
    if dialled is None and theirs.node >= ours.node:
        return Refusal.NAME
    return None


def refusal_payload(refusal: Refusal, generation: int) -> bytes:
    """Payload of a REFUSAL; generation: of the one that refuses."""
    return _REFUSAL.pack(refusal, generation)


def parse_refusal(payload: bytes) -> tuple[Refusal, int]:
    """Raises Garbled."""
    try:
        number, generation = _REFUSAL.unpack(payload)
        return Refusal(number), generation
    except (struct.error, ValueError) as error:
        raise Garbled("a refusal that cannot be read") from error
