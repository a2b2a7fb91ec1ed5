"""Ports that a test has to know before they are listened on.

Decides which: below those that the system gives to clients and to port 0, and never one that
another process of tests has, on this machine: each claims whole runs of them, for its life. One
that was merely found free a moment ago is somebody else's now and then.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

# A node of a cluster tries its control port + 10000 to + 10010 for its links and routes.
LINKS_UP = 10_000
_LINKS = 11
_APART = 23
_PLAIN = [range(at, at + 50) for at in range(5_700, 10_700, 50)]
_CONTROL = [range(at, at + 10 * _APART, _APART) for at in range(10_700, 20_600, 10 * _APART)]
_RUNS_MAX = 4  # of one process; then those it had first are used again


class _Claims:
    """Ports of one kind, one after the other."""

    def __init__(self, kind: str, runs: Sequence[range]) -> None:
        self.kind = kind
        self.runs = runs
        self._held: list[socket.socket] = []  # the names are given back when the process ends
        self._mine: list[range] = []
        self._next = self._ports()

    def one(self) -> int:
        return next(self._next)

    def _ports(self) -> Iterator[int]:
        while True:
            while len(self._mine) < _RUNS_MAX and self._claim():
                yield from filter(is_free, self._mine[-1])
            assert self._mine, f"other processes of tests have all ports of the kind {self.kind}"
            for run in self._mine:
                yield from filter(is_free, run)

    def _claim(self) -> bool:
        for run in self.runs:
            name = socket.socket(socket.AF_UNIX)
            try:
                name.bind(f"\0mqd-tests-{self.kind}-{run.start}")
            except OSError:
                name.close()
                continue
            self._held.append(name)
            self._mine.append(run)
            return True
        return False


def is_free(port: int) -> bool:
    """Whether nobody listens on it, nor on those that a node with this control port tries."""
    others = range(port + LINKS_UP, port + LINKS_UP + _LINKS) if port >= _CONTROL[0].start else ()
    with contextlib.ExitStack() as stack:
        for one in (port, *others):
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", one))
            except OSError:
                return False
    return True


_plain, _control = _Claims("plain", _PLAIN), _Claims("control", _CONTROL)


def free_ports(count: int) -> list[int]:
    """Different ones of this process."""
    return [_plain.one() for _ in range(count)]


def control_port() -> int:
    """One whose followers, by `LINKS_UP`, are this process's too."""
    return _control.one()
