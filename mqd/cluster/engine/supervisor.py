"""Keeps one nats-server running.

Decides when it is started again after it ended by itself or is of no use, and how a change of
configuration reaches it (read again; started anew where that fails). Never talks to it: who does
is told of each server that serves, and of its end.

A server that ends is started again at once, then after waits that double up to BACKOFF_MAX_S;
one that served for STEADY_S begins again without a wait. One that could not write does not write
again while it lives, so it is ended, which also tells the other members that its copies do not
count. No server is started while the disc has less than ENGINE_ROOM_BYTES_MIN: it would only do
some more harm to what it has there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Final, Protocol

from mqd.cluster.engine.anchor import Anchor
from mqd.cluster.engine.child import Child, Lock, Ports
from mqd.cluster.engine.connection import end
from mqd.errors import ErrorCode, MqdError
from mqd.limits import ENGINE_ROOM_BYTES_MIN
from mqd.storage import durable

_log = logging.getLogger("mqd.cluster.engine")
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
STEADY_S: Final = 30.0
_START_TIMEOUT_S: Final = 600.0  # after a crash it reads all that is on its disc
_ANCHOR_RETRY_S: Final = 0.2
_ROOM_LOOK_S: Final = 1.0


class Served(Protocol):
    """Told of the server that runs."""

    async def serves(self, ports: Ports) -> None:
        """A server takes clients. Cancelled when it ends; returns when it is of no use."""


class Supervisor:
    """The server of one folder, from `start` to `stop`."""

    def __init__(self, binary: Path, folder: Path, served: Served) -> None:
        self._binary = binary
        self._folder = folder
        self._config = folder / "nats-server.json"
        self._served = served
        self._child: Child | None = None
        self._lock: Lock | None = None
        self._running: asyncio.Task[None] | None = None
        self._anchor_password = ""
        self._config_text = b""
        self._wait_s = 0.0
        self._telling = asyncio.Lock()  # of a change: a server takes one at a time
        self._untold: Child | None = None  # it was starting when its configuration changed
        self.ails = ""  # why there is no server now that is of use, as far as that is known

    async def start(self, config: str, anchor_password: str) -> None:
        """Returns when a first process was started, if there is room for one; it may not serve
        yet. Raises MqdError if one that is left over cannot be ended, or OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = Lock(self._folder / "lock")
        try:
            await lock.take()
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        self._anchor_password = anchor_password
        self._config_text = config.encode()
        self._begin()
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def configure(self, config: str) -> None:
        """The server goes by this one from now on, after a restart if it must. Raises MqdError."""
        self._config_text = config.encode()
        async with self._telling:
            child = self._child
            if child is None or child.ended.done():
                return  # the next one reads it
            try:
                durable.replace(self._config, self._config_text)
            except OSError as error:
                text = f"nats-server is not told of changes: {error}"
                raise MqdError(ErrorCode.UNAVAILABLE, text) from error
            if child.ports.done():
                await self._tell(child)
            else:
                self._untold = child  # it may have read the old one

    async def _tell(self, child: Child) -> None:
        if not await child.reload():
            _log.warning("nats-server did not take its new configuration; it is started again")
            await child.stop()

    async def stop(self) -> None:
        """The server hands over what it leads, and ends."""
        if self._running is not None:
            child = self._child
            self._running.cancel()
            if child is not None:
                await child.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._config.unlink(missing_ok=True)

    async def kill(self) -> None:
        """The process ends at once, as in a crash; it will be started again."""
        if self._child is not None:
            await self._child.kill()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        child = self._child
        return child.pid if child is not None and not child.ended.done() else None

    def _begin(self) -> None:
        """Start a process, if it can be."""
        assert self._lock is not None
        self._child = None
        try:
            if shutil.disk_usage(self._folder).free < ENGINE_ROOM_BYTES_MIN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            durable.replace(self._config, self._config_text)
            self._child = Child(self._binary, self._config, self._lock.descriptor)
        except OSError as error:
            self._fail(f"nats-server cannot be started: {error}")

    def _fail(self, why: str) -> None:
        if why != self.ails:
            _log.error("%s; this node's copies of the logs do not count until it serves", why)
            self.ails = why

    def _hindrance(self) -> str:
        """Why it is of no use to start one now; empty if it may be."""
        try:
            room = shutil.disk_usage(self._folder).free >= ENGINE_ROOM_BYTES_MIN
        except OSError as error:
            return str(error)
        return "" if room else "the disc is full"

    async def _run(self) -> None:
        """Cancelled by `stop`, which ends the child with the patience that it needs."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if self._child is not None:
                await self._attend(self._child)
                status = await asyncio.shield(self._child.ended)
                wait_s = self._next_wait_s(loop.time() - began)
                _log.warning("nats-server ended with status %d; again in %.1f s", status, wait_s)
                await asyncio.sleep(wait_s)
            else:
                await asyncio.sleep(self._next_wait_s(0.0))
            while hindrance := self._hindrance():
                self._fail(f"nats-server is not started: {hindrance}")
                await asyncio.sleep(_ROOM_LOOK_S)
            self._begin()

    def _next_wait_s(self, lasted_s: float) -> float:
        doubled = min(max(2 * self._wait_s, BACKOFF_MIN_S), BACKOFF_MAX_S)
        self._wait_s = 0.0 if lasted_s > STEADY_S else doubled
        return self._wait_s

    async def _attend(self, child: Child) -> None:
        """Until it ended."""
        # Not wait_for, which may take no notice of being cancelled in the turn in which it ends.
        await asyncio.wait([child.ports], timeout=_START_TIMEOUT_S)
        if not child.ports.done():
            await child.kill()
        if child.ports.exception() is not None:
            return
        ports = child.ports.result()
        self.ails = ""
        if self._untold is child:
            async with self._telling:
                await self._tell(child)
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(self._served.serves(ports)),
            loop.create_task(self._hold_anchor(ports)),
        ]
        try:
            ends: list[asyncio.Future[Any]] = [child.ended, child.ails, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if child.ails.done():
                self._fail(f"nats-server could not write: {child.ails.result()}")
                await child.stop()  # what is well with it, others take over
            elif not child.ended.done():
                self._fail("nats-server runs and is of no use")
                await child.kill()
        finally:
            await end(tasks)
            for task in tasks:
                if not task.cancelled() and (error := task.exception()):
                    _log.error("engine: %s", error, exc_info=error)

    async def _hold_anchor(self, ports: Ports) -> None:
        loop = asyncio.get_running_loop()
        while True:
            lost = asyncio.Event()
            anchor = Anchor("anchor", self._anchor_password, lost.set)
            try:
                await loop.create_connection(lambda: anchor, "127.0.0.1", ports.leaf)  # noqa: B023
                await lost.wait()
            except OSError as error:
                _log.debug("no leaf connection: %s", error)
            finally:
                anchor.close()
            await asyncio.sleep(_ANCHOR_RETRY_S)


def wipe(folder: Path) -> None:
    """Nothing of an engine is left there. Only when none runs."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
