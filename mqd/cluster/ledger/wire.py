"""What the ledgers of two nodes say to each other over a link.

Decides the bytes and the names of the services. A message is one line of JSON and, for entries and
proposals, the lines of the metadata log as they are. A token says which hello is being answered, so
that what is left of an earlier answer is not taken for a part of it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mqd.errors import ErrorCode, MqdError

HELLO: Final = "meta.hello"  # a follower's position
ENTRIES: Final = "meta.entries"  # what follows it
SNAPSHOT: Final = "meta.snapshot"  # or all there is, in parts
PROPOSE: Final = "meta.propose"
REFUSE: Final = "meta.refuse"  # what became of a proposal that is no entry
ACK: Final = "meta.ack"

_ACK = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Hello:
    """after: the last number that is applied; history: `history_of` its state, and only where that
    is the other one's too does the number mean anything. wants: False says that nothing is wanted
    any more."""

    token: int
    after: int
    history: str
    wants: bool


@dataclass(frozen=True, slots=True)
class Entries:
    """Lines numbered from first, maybe none; head: the number of the last one there is."""

    token: int
    head: int
    first: int
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """Of a snapshot that is as after entry `number`. start: how many bytes came before; 0: another
    one begins, whatever there is of an earlier one."""

    token: int
    number: int
    start: int
    is_last: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """number: how far the refusing node was, which may be why it refused."""

    proposal: str
    number: int
    error: MqdError


def _packed(header: object, rest: bytes = b"") -> bytes:
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + rest


def pack_hello(hello: Hello) -> bytes:
    return _packed([hello.token, hello.after, hello.history, hello.wants])


def unpack_hello(payload: bytes) -> Hello:
    return Hello(*json.loads(payload))


def pack_entries(token: int, head: int, first: int, lines: Iterable[str]) -> bytes:
    return _packed([token, head, first], "\n".join(lines).encode())


def unpack_entries(payload: bytes) -> Entries:
    header, _, rest = payload.partition(b"\n")
    token, head, first = json.loads(header)
    return Entries(token, head, first, rest.decode().splitlines())


def pack_part(part: Part) -> bytes:
    return _packed([part.token, part.number, part.start, part.is_last], part.data)


def unpack_part(payload: bytes) -> Part:
    header, _, rest = payload.partition(b"\n")
    token, number, start, is_last = json.loads(header)
    return Part(token, number, start, is_last, rest)


def pack_refusal(proposal: str, number: int, error: MqdError) -> bytes:
    return _packed([proposal, number, error.code.value, error.detail])


def unpack_refusal(payload: bytes) -> Refusal:
    proposal, number, code, detail = json.loads(payload)
    return Refusal(proposal, number, MqdError(ErrorCode(code), detail))


def pack_ack(applied: int, written: int) -> bytes:
    return _ACK.pack(applied, written)


def unpack_ack(payload: bytes) -> tuple[int, int]:
    applied, written = _ACK.unpack(payload)
    return applied, written
