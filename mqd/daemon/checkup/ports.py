"""Facts of the ports that a node is to listen on: whether somebody does, and who.

Decides from /proc/net/tcp, where Linux lists them. Whose a socket is can be seen of one's own
processes, and by root of all.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mqd.rpc.v1 import doctor_pb2 as pb

_LISTENS: Final = "0A"  # net/tcp_states.h: TCP_LISTEN
_ANY: Final = ("", "::", "0.0.0.0")  # noqa: S104 - compared with, not bound to


class Listener(NamedTuple):
    """A row of /proc/net/tcp."""

    address: str
    port: int
    inode: str


def listeners(folder: Path = Path("/proc/net")) -> Iterator[Listener]:
    """All listening TCP sockets of this machine."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (folder / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS:
                    address, _, port = words[1].partition(":")
                    yield Listener(_address(address), int(port, 16), words[9])


def _address(shown: str) -> str:
    """Groups of four bytes, each as this machine keeps numbers (little-endian)."""
    groups = [bytes.fromhex(shown[at : at + 8])[::-1] for at in range(0, len(shown), 8)]
    packed = b"".join(groups)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _meet(wanted: str, there: str) -> bool:
    """Whether one keeps the other from its port."""
    wanted = wanted.strip("[]")
    return wanted == there or wanted in _ANY or there in _ANY


def facts(wanted: Iterable[tuple[str, int, str]], proc: Path = Path("/proc")) -> list[pb.PortFacts]:
    """wanted: address, port and purpose."""
    found = list(listeners(proc / "net"))
    rows = []
    for address, port, purpose in wanted:
        row = pb.PortFacts(address=address, port=port, purpose=purpose)
        there = next((x for x in found if x.port == port and _meet(address, x.address)), None)
        if there is not None:
            row.is_listened = True
            row.holder_pid = holder(there.inode, proc)
            row.holder_name = process_name(row.holder_pid, proc)
        else:
            row.trouble = _trouble(address, port)
        rows.append(row)
    return rows


def holder(inode: str, proc: Path = Path("/proc")) -> int:
    """The process that has the socket; 0 when none can be seen."""
    wanted = f"socket:[{inode}]"
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                for name in os.listdir(folder / "fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(folder / "fd" / name) == wanted:
                            return int(folder.name)
    return 0


def process_name(pid: int, proc: Path = Path("/proc")) -> str:
    """As ps shows it; empty for none."""
    try:
        return (proc / str(pid) / "comm").read_text().strip() if pid else ""
    except OSError:
        return ""


def _trouble(address: str, port: int) -> str:
    """Why nobody could listen there, tried without listening."""
    host = address.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if host in _ANY:  # a machine without IPv6 is served all the same
            return "" if port >= 1024 or os.geteuid() == 0 else error.strerror or str(error)
        return error.strerror or str(error)
    return ""
