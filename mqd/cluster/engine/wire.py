"""What a client and a nats-server say to each other: bytes to messages, messages to bytes. No I/O.

    >  CONNECT {...}   PING   PONG   SUB subject sid   PUB subject [reply] size   HPUB ...
    <  INFO {...}      PING   PONG   MSG subject sid [reply] size   HMSG ...   +OK   -ERR 'text'

Lines end with CR LF; PUB, HPUB, MSG, HMSG are followed by so many bytes and CR LF. Headers stand
in front of the data, as `NATS/1.0[ status[ text]]` and lines of their own; their size is given too
(NATS: client protocol).

Decides that. Never decides what is asked, nor what an answer means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

LINE_BYTES_MAX: Final = 1 << 20  # an INFO may be long
_HEADERS: Final = b"NATS/1.0"
_END: Final = b"\r\n"

PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"


class Garbled(Exception):
    """The other side does not speak this protocol."""


class Msg(NamedTuple):
    """A message that came in. headers: of them "Status" and "Description", when the server itself
    says something."""

    subject: str
    sid: int
    reply: str
    data: bytes
    headers: Mapping[str, str] | None = None


class Said(NamedTuple):
    """What else came: INFO, PING, PONG, +OK or -ERR, and the rest of its line."""

    word: str
    text: str


class Decoder:
    """What one client has received."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 0  # bytes without which nothing more is complete

    def feed(self, data: bytes) -> Iterator[Msg | Said]:
        """What is complete now. Raises Garbled; then no more can be fed. The iterator is to be used
        up before the next call."""
        if self._parts:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        at, size, wanted = 0, len(data), 0
        while at < size:
            end = data.find(_END, at)
            if end < 0:
                if size - at > LINE_BYTES_MAX:
                    raise Garbled("a line without an end")
                break
            word, _, rest = data[at:end].partition(b" ")
            at_data = end + 2
            if word not in (b"MSG", b"HMSG"):
                at = at_data
                yield Said(word.decode("ascii", "replace"), rest.decode(errors="replace"))
                continue
            words = rest.split()
            try:
                headers_end = at_data + (int(words[-2]) if word == b"HMSG" else 0)
                data_end = at_data + int(words[-1])
                sid = int(words[1])
            except (ValueError, IndexError):
                raise Garbled("a message without its size") from None
            if not at_data <= headers_end <= data_end:
                raise Garbled("a message of a size that cannot be")
            if data_end + 2 > size:
                wanted = data_end + 2 - at
                break
            if data[data_end : data_end + 2] != _END:
                raise Garbled("a message that is longer than it says")
            has_reply = len(words) == (5 if word == b"HMSG" else 4)
            yield Msg(
                words[0].decode(errors="replace"),
                sid,
                words[2].decode(errors="replace") if has_reply else "",
                data[headers_end:data_end],
                _read_headers(data[at_data:headers_end]) if headers_end > at_data else None,
            )
            at = data_end + 2
        if at < size:
            self._parts.append(data[at:])
            self._held = size - at
            self._wanted = max(wanted, self._held + 1)


def _read_headers(data: bytes) -> Mapping[str, str]:
    first, *lines = data.split(_END)
    if not first.startswith(_HEADERS):
        raise Garbled("headers of another version")
    found: dict[str, str] = {}
    status, _, text = first[len(_HEADERS) :].strip().partition(b" ")
    if status:
        found["Status"] = status.decode(errors="replace")
    if text:
        found["Description"] = text.strip().decode(errors="replace")
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            found[name.decode(errors="replace")] = value.strip().decode(errors="replace")
    return found


def info(text: str) -> Mapping[str, Any]:
    """What INFO says. Raises Garbled."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Garbled("no INFO")
    return found


def connect(user: str, password: str) -> bytes:
    """The first that a client says."""
    options = {
        "user": user,
        "pass": password,
        "name": "mqd",
        "lang": "python",
        "version": "1",
        "protocol": 1,
        "verbose": False,
        "pedantic": False,
        "headers": True,
        "no_responders": True,
    }
    return b"CONNECT " + json.dumps(options).encode() + _END


def subscribe(subject: str, sid: int) -> bytes:
    return b"SUB %b %d\r\n" % (subject.encode(), sid)


def header_block(headers: Mapping[str, str]) -> bytes:
    """Names and values have no line ends."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"NATS/1.0\r\n" + lines.encode() + _END


def publish(subject: str, data: bytes, reply: str = "", head: bytes = b"") -> bytes:
    """head: a `header_block`, or none."""
    to = f"{subject} {reply}" if reply else subject
    if head:
        line = f"HPUB {to} {len(head)} {len(head) + len(data)}\r\n"
    else:
        line = f"PUB {to} {len(data)}\r\n"
    return b"".join((line.encode(), head, data, _END))
