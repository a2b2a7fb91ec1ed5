"""A listening socket, and whether it is open to new clients.

Decides that clients wait in the system's queue, unaccepted, while the door is shut or the system
has nothing left to accept them with. Never reads from a client.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger("mqd.listener")

_AT_ONCE: Final = 32  # clients accepted before others of the loop have their turn
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_S: Final = 1.0


class Door:
    """One socket. client: makes the protocol of each connection."""

    def __init__(self, listening: socket.socket, client: Callable[[], asyncio.Protocol]) -> None:
        listening.setblocking(False)
        self.socket = listening
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._welcomes: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._is_open = False

    def open(self) -> None:
        """Accept clients from now on; harmless when repeated, and after close."""
        self._forget_retry()
        if not self._is_open and self.socket.fileno() >= 0:
            self._is_open = True
            self._loop.add_reader(self.socket, self._accept)

    def shut(self) -> None:
        """Accept none for now: they wait, as many as the backlog holds."""
        self._forget_retry()
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self.socket)

    def close(self) -> None:
        """Accept none any more: who comes is refused by the system."""
        self.shut()
        self.socket.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._is_open:
                return  # shut by the client before
            try:
                accepted, _address = self.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._exhausted(error)
                return
            accepted.setblocking(False)
            self._welcome(accepted)

    def _exhausted(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            raise error
        log.warning("no client can be accepted: %s; trying again every second", error.strerror)
        self.shut()
        self._retry = self._loop.call_later(_RETRY_S, self.open)

    def _forget_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _welcome(self, accepted: socket.socket) -> None:
        coming = self._loop.connect_accepted_socket(self._client, accepted)
        task: asyncio.Task[object] = self._loop.create_task(coming)
        self._welcomes.add(task)
        task.add_done_callback(self._welcomed)

    def _welcomed(self, task: asyncio.Task[object]) -> None:
        self._welcomes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("a client went before it was welcomed: %s", task.exception())
