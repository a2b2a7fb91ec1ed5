"""A name server for a test: A and PTR records out of one table, over UDP.

Decides how a query is answered, nothing else: no recursion, no caching, one question a packet.
`private` runs a program that asks this server alone (root, Linux).
"""

from __future__ import annotations

import shutil
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

A, PTR = 1, 12
_HEAD = struct.Struct(">6H")
_ANSWER = 0x8580  # a response, authoritative
_NO_NAME = 3


class NameServer:
    """hosts: addresses by name; a name with several is a list of nodes, and no address leads back
    to it. Use as a context manager."""

    def __init__(self, address: str, hosts: Mapping[str, Sequence[str]]) -> None:
        self.asked: list[tuple[str, int]] = []
        self.hosts = dict(hosts)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                query, caller = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(query), caller)
            except OSError:
                return

    def _answer(self, query: bytes) -> bytes:
        number = _HEAD.unpack_from(query)[0]
        name, stop = _name_at(query, _HEAD.size)
        (kind,) = struct.unpack_from(">H", query, stop)
        self.asked.append((name, kind))
        found = [
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data
            for data in self._records(name, kind)
        ]
        known = name in self.hosts or bool(found)
        head = _HEAD.pack(number, _ANSWER | (0 if known else _NO_NAME), 1, len(found), 0, 0)
        return head + query[_HEAD.size : stop + 4] + b"".join(found)

    def _records(self, name: str, kind: int) -> list[bytes]:
        if kind == A:
            return [socket.inet_aton(each) for each in self.hosts.get(name, ())]
        if kind == PTR:
            wanted = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
            return [_encoded(host) for host, all_ in self.hosts.items() if list(all_) == [wanted]]
        return []


def _encoded(name: str) -> bytes:
    return b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"


def _name_at(packet: bytes, at: int) -> tuple[str, int]:
    parts = []
    while packet[at]:
        stop = at + 1 + packet[at]
        parts.append(packet[at + 1 : stop].decode())
        at = stop
    return ".".join(parts), at + 1


def why_not() -> str:
    """Why no program can be given a name server of its own here; empty when one can."""
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.53.1", 53))
    except OSError as error:
        return f"port 53: {error.strerror}"
    return "" if shutil.which("unshare") else "not installed: unshare"


def private(folder: Path, address: str) -> list[str]:
    """What to put before a command so that it knows names from that server and no other."""
    (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:1 attempts:3\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    script = (
        f"mount --bind {folder}/resolv.conf /etc/resolv.conf && "
        f'mount --bind {folder}/hosts /etc/hosts && exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "private"]
