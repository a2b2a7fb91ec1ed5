"""Going on calling one member until it answers.

Decides when the next attempt is made. Never judges what answers: the link does. Holds one task,
and the name server's answer, which is waited for across attempts: a lookup cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from mqd import limits
from mqd.cluster.links.wire import Link
from mqd.metadata.commands import Member


class Dialler:
    """For one node. calling(node): the protocol of a new connection to it."""

    def __init__(self, member: Member, calling: Callable[[str], Link]) -> None:
        self._member = member
        self._calling = calling
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._lookup: asyncio.Task[list[tuple[str, int]]] | None = None
        self._task = self._loop.create_task(self._run())

    def use(self, member: Member) -> None:
        """Where it is reached from now on."""
        old, self._member = self._member, member
        if (old.host, old.link_port) != (member.host, member.link_port):
            self._drop_lookup()
            self.wake()

    def wake(self) -> None:
        """Try now, if not linked."""
        self._woken.set()

    def stop(self) -> None:
        """Call no more."""
        self._task.cancel()
        self._drop_lookup()

    async def stopped(self) -> None:
        """After `stop`."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        wait_s = limits.LINK_RETRY_MIN_S
        while True:
            self._woken.clear()
            link = await self._connect()
            if link is not None:
                await link.over
                if link.was_up:
                    wait_s = limits.LINK_RETRY_MIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
                    wait_s = limits.LINK_RETRY_MIN_S
            wait_s = min(2 * wait_s, limits.LINK_RETRY_MAX_S)

    async def _connect(self) -> Link | None:
        """None: nobody is there. A link that failed to connect is over and forgotten."""
        member = self._member
        if not member.host or not member.link_port:
            return None
        link: Link | None = None

        def made() -> Link:
            nonlocal link
            link = self._calling(member.name)
            return link

        try:
            async with asyncio.timeout(limits.LINK_CONNECT_S):
                for address in await self._addresses(member):
                    with contextlib.suppress(OSError):
                        await self._loop.create_connection(made, *address)
                        return link
        except (OSError, UnicodeError, OverflowError):
            return None
        return None

    async def _addresses(self, member: Member) -> list[tuple[str, int]]:
        if self._lookup is None:
            self._lookup = self._loop.create_task(_addresses(member.host, member.link_port))
        lookup = self._lookup
        await asyncio.wait((lookup,))  # which does not cancel it when our time is up
        if self._lookup is lookup:
            self._lookup = None
        if lookup.cancelled():  # it is reached elsewhere by now
            raise OSError
        return lookup.result()

    def _drop_lookup(self) -> None:
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None


async def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(each[4][0]), port) for each in found))
