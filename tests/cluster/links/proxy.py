"""A network between two nodes that can fail: a TCP proxy in the test's own loop.

Decides what happens to bytes on their way. "in" is the way of the one that called, "out" the way
back. Never changes them.
"""

from __future__ import annotations

import asyncio

_READ_BYTES = 65_536


class Proxy:
    """To one port of 127.0.0.1. Use as an asynchronous context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_s = 0.0  # of each piece, each way
        self.recorded = bytearray()  # what went "in", of all connections
        self._open = {"in": asyncio.Event(), "out": asyncio.Event()}
        self._accepts = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.release("in", "out")

    def stall(self, *ways: str) -> None:
        """Nothing arrives that way, and nobody is told."""
        for way in ways:
            self._open[way].clear()

    def release(self, *ways: str) -> None:
        """What was stalled goes on."""
        for way in ways:
            self._open[way].set()

    def cut(self, *, for_good: bool = False) -> None:
        """Reset all connections; for_good: and those to come, until `mend`."""
        self._accepts = not for_good
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        """As it was at first."""
        self._accepts = True
        self.delay_s = 0.0
        self.release("in", "out")

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut(for_good=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._accepts:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        loop = asyncio.get_running_loop()
        for way, source, sink in (("in", reader, far_writer), ("out", far_reader, writer)):
            task = loop.create_task(self._pass_on(way, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, way: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        try:
            while piece := await source.read(_READ_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open[way].wait()
                if way == "in":
                    self.recorded += piece
                sink.write(piece)
                await sink.drain()
            sink.close()
        except OSError:
            sink.transport.abort()
