"""One run of a nats-server process.

Decides how it is started, what of its log mqd repeats, and how it is ended; whether it is started
again is `supervisor`'s. Never reads its configuration, and puts nothing secret on its command line.

After a write that failed a server goes on without its logs, or without one of them, for as long as
it lives: what it says of that is noticed here, and `ails` tells.

Three things bind it to mqd. Its parent's death sends it SIGTERM, on which it hands over what it
leads (a launcher of a few lines asks the kernel for that, since a fork of this many-threaded
process must not run Python). It inherits a locked file descriptor, so that the next mqd knows
whether one is left over from the last, and ends that one first. And its log is a pipe to mqd.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mqd.errors import ErrorCode, MqdError

_log = logging.getLogger("mqd.cluster.engine")
_LAUNCH: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 15)\n"  # PR_SET_PDEATHSIG, SIGTERM; kept over exec
    "if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])\n"
)
_STOP_TIMEOUT_S: Final = 10.0
_LEFT_OVER_TIMEOUT_S: Final = 5.0
_LINE: Final = re.compile(rb"^\[\d+\] \S+ \S+ \[(\w+)\] (.*)$")
_AILS: Final = re.compile(rb"(?i)critical write error|will be disabled")
_LISTENING: Final = re.compile(rb"Listening for (client|leafnode) connections on \S+:(\d+)$")
_PORTS: Final = (b"client", b"leafnode")
# What it calls a warning or an error while all is as expected: others are down, or not yet up.
_USUAL: Final = re.compile(
    rb"connect to route|onnection (closed|refused)|Waiting for routing|Plaintext passwords|"
    rb"Metalayer blocking snapshot|prior state file|will rebuild|TLS route handshake|"
    rb"exceed the recommended|not established contact|no longer has contact|"
    rb"Maximum payload|has NO quorum|stalled|has no quorum|stream remapping|"
    rb"resetting first sequence"
)


@dataclass(frozen=True, slots=True)
class Ports:
    """On the loopback address: for clients, and for `anchor`."""

    client: int
    leaf: int


class Child:
    """A process from its start to its end. `ended` resolves with its exit status; `ports` once it
    serves, or with an exception if it ends before; `ails`, if ever, with why it is of no use."""

    def __init__(self, binary: Path, config: Path, lock: int) -> None:
        """lock: the descriptor it inherits. Must be made on the loop's thread, whose end would be
        its end too. Raises OSError; then there is no process."""
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self.ports: asyncio.Future[Ports] = self._loop.create_future()
        self.ails: asyncio.Future[str] = self._loop.create_future()
        self._listening: dict[bytes, int] = {}
        self._reload: asyncio.Future[bool] | None = None
        self._rest = b""
        self._process = self._start(binary, config, lock)
        assert self._process.stderr is not None
        self._log_pipe = self._process.stderr.fileno()
        try:
            os.pwrite(lock, b"%-20d" % self._process.pid, 0)  # in room that `Lock` has taken
            self._end_pipe = os.pidfd_open(self._process.pid)
        except OSError:  # nobody would notice its end, and there would be another one beside it
            self._process.kill()
            self._process.wait()
            self._process.stderr.close()
            raise
        os.set_blocking(self._log_pipe, False)
        self._loop.add_reader(self._log_pipe, self._read_log)
        self._loop.add_reader(self._end_pipe, self._gone)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self, binary: Path, config: Path, lock: int) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        return subprocess.Popen(  # noqa: S603
            [*launcher, binary, "-c", config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[lock],
            cwd=config.parent,
            start_new_session=True,  # a Ctrl-C at mqd is mqd's to handle
            env={"PATH": os.environ.get("PATH", ""), "LANG": "C"},
        )

    async def reload(self) -> bool:
        """Have it read its configuration again; whether it took it."""
        if self.ended.done():
            return False
        taken = self._reload = self._loop.create_future()
        self._process.send_signal(signal.SIGHUP)
        await asyncio.wait([taken], timeout=_STOP_TIMEOUT_S)
        return taken.done() and taken.result()

    async def stop(self) -> None:
        """It hands over what it leads, then ends."""
        if not self.ended.done():
            self._process.terminate()
            await asyncio.wait([self.ended], timeout=_STOP_TIMEOUT_S)
        await self.kill()

    async def kill(self) -> None:
        """At once."""
        if not self.ended.done():
            self._process.kill()
        await asyncio.shield(self.ended)

    def _gone(self) -> None:
        self._loop.remove_reader(self._end_pipe)
        os.close(self._end_pipe)
        status = self._process.wait()
        self._read_log()
        self._loop.remove_reader(self._log_pipe)
        assert self._process.stderr is not None
        self._process.stderr.close()
        if not self.ports.done():
            self.ports.set_exception(
                MqdError(ErrorCode.UNAVAILABLE, f"nats-server ended with status {status}")
            )
            self.ports.exception()  # whoever waits is told; nobody need wait
        if self._reload is not None and not self._reload.done():
            self._reload.set_result(False)
        self.ended.set_result(status)

    def _read_log(self) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._log_pipe, 65_536)
        if not data:  # the end is told by the process, not by its log
            self._loop.remove_reader(self._log_pipe)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        match = _LINE.match(line)
        kind, text = (match[1], match[2]) if match else (b"INF", line)
        if listening := _LISTENING.search(text):
            self._listening[listening[1]] = int(listening[2])
        elif text == b"Server is ready" and not self.ports.done():
            if len(self._listening) == len(_PORTS):  # else it was told to stop while it started
                self.ports.set_result(Ports(*(self._listening[kind] for kind in _PORTS)))
        elif _AILS.search(text) and not self.ails.done():
            self.ails.set_result(text.decode("utf-8", "replace"))
        elif self._reload is not None and not self._reload.done():
            if text.startswith(b"Reloaded server configuration"):
                self._reload.set_result(True)
            elif text.startswith(b"Failed to reload"):
                self._reload.set_result(False)
        _log.log(_level(kind, text), "nats-server: %s", text.decode("utf-8", "replace"))


class Lock:
    """That one nats-server at most works in a folder, whoever started it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def take(self) -> None:
        """Ends a server that is left over: by request at first, for it hands over then. Raises
        MqdError, and OSError when there is no room to say whose it is."""
        await self._take()
        os.pwrite(self.descriptor, b" " * 20, 0)

    async def _take(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            for kind in (signal.SIGTERM, signal.SIGKILL):
                if await self._free(0.0):
                    return
                os.kill(self._holder(), kind)
                if await self._free(_LEFT_OVER_TIMEOUT_S):
                    return
        if not await self._free(_LEFT_OVER_TIMEOUT_S):
            raise MqdError(ErrorCode.RESOURCE_LOCKED, f"another nats-server holds {self._path}")

    def release(self) -> None:
        """This process's hold; a child that still runs keeps its own."""
        os.close(self.descriptor)

    def _holder(self) -> int:
        """The pid that is written there, if that process has this file open: what it inherited, and
        nobody else has. Its name says nothing, its program may be called anything."""
        text = os.pread(self.descriptor, 20, 0).decode("ascii", "replace").strip()
        if not text.isdigit():
            raise ProcessLookupError
        try:
            is_ours = any(map(self._is_this, Path(f"/proc/{text}/fd").iterdir()))
        except FileNotFoundError:
            raise ProcessLookupError from None
        if not is_ours or int(text) == os.getpid():
            raise ProcessLookupError
        return int(text)

    def _is_this(self, descriptor: Path) -> bool:
        try:
            return os.path.samestat(descriptor.stat(), os.fstat(self.descriptor))
        except OSError:  # closed meanwhile, or of no file
            return False

    async def _free(self, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if loop.time() >= deadline:
                    return False
            await asyncio.sleep(0.05)


def _level(kind: bytes, text: bytes) -> int:
    if kind == b"FTL":
        return logging.ERROR
    if kind in (b"ERR", b"WRN") and not _USUAL.search(text):
        return logging.WARNING
    return logging.DEBUG
