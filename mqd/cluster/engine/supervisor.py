"""Keeps one nats-server running.

Decides when it is started again after it ended by itself, and how a change of configuration
reaches it (read again; started anew where that fails). Never talks to it: who does is told of
each server that serves, and of its end.

A server that ends is started again at once, then after waits that double up to BACKOFF_MAX_S;
one that served for STEADY_S begins again without a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path
from typing import Any, Final, Protocol

from mqd.cluster.engine.anchor import Anchor
from mqd.cluster.engine.child import Child, Lock, Ports
from mqd.cluster.engine.connection import end
from mqd.cluster.identity import write_private
from mqd.errors import MqdError

_log = logging.getLogger("mqd.cluster.engine")
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
STEADY_S: Final = 30.0
_START_TIMEOUT_S: Final = 600.0  # after a crash it reads all that is on its disc
_ANCHOR_RETRY_S: Final = 0.2


class Served(Protocol):
    """Told of the server that runs."""

    async def serves(self, ports: Ports) -> None:
        """A server takes clients. Cancelled when it ends."""


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

    async def start(self, config: str, anchor_password: str) -> None:
        """Returns when a first process was started; it may not serve yet. Raises MqdError if one
        that is left over cannot be ended."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = Lock(self._folder / "lock")
        try:
            await lock.take()
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        self._anchor_password = anchor_password
        write_private(self._config, config.encode())
        child = self._child = Child(self._binary, self._config, lock.descriptor)
        self._running = asyncio.get_running_loop().create_task(self._run(child))

    async def configure(self, config: str) -> None:
        """The server goes by this one from now on, after a restart if it must."""
        write_private(self._config, config.encode())
        child = self._child
        if child is not None and child.ports.done() and not await child.reload():
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

    async def _run(self, child: Child) -> None:
        """Cancelled by `stop`, which ends the child with the patience that it needs."""
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        while True:
            started = loop.time()
            await self._attend(child)
            status = await asyncio.shield(child.ended)
            lasted = loop.time() - started
            wait_s = (
                0.0 if lasted > STEADY_S else min(max(2 * wait_s, BACKOFF_MIN_S), BACKOFF_MAX_S)
            )
            _log.warning("nats-server ended with status %d; again in %.1f s", status, wait_s)
            await asyncio.sleep(wait_s)
            assert self._lock is not None
            child = self._child = Child(self._binary, self._config, self._lock.descriptor)

    async def _attend(self, child: Child) -> None:
        """Until it ended."""
        try:
            ports = await asyncio.wait_for(asyncio.shield(child.ports), _START_TIMEOUT_S)
        except MqdError:
            return
        except TimeoutError:
            await child.kill()
            return
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(self._served.serves(ports)),
            loop.create_task(self._hold_anchor(ports)),
        ]
        try:
            ends: list[asyncio.Future[Any]] = [child.ended, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not child.ended.done():
                await child.kill()  # somebody who must talk to it cannot
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
