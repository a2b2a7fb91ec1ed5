"""The plugin rabbitmq_management: the HTTP API, while it is enabled.

Decides when the server is loaded: with the first open, in a thread, so that a node without the
plugin has nothing of it in memory and one with it answers AMQP first. Never serves: `server` does.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mqd.admin.context import NodeControl
from mqd.errors import ErrorCode, MqdError
from mqd.plugins.contribution import Bound, Contribution

if TYPE_CHECKING:
    from mqd.management.server import Server

_MODULE: Final = "mqd.management.server"


class Management:
    """`mqd.plugins.contribution.Front`."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node
        self._server: Server | None = None

    async def open(self) -> None:
        """Listen. Raises MqdError."""
        try:
            module = await asyncio.to_thread(importlib.import_module, _MODULE)
        except ImportError as error:
            text = f"it needs the Python package {error.name}, which cannot be imported: {error}"
            raise MqdError(ErrorCode.UNAVAILABLE, text) from error
        server: Server = module.Server(self._node)
        await server.open()
        self._server = server

    async def close(self) -> None:
        """Answer what was asked and take no more."""
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    def reset_statistics(self) -> None:
        """Forget all samples."""
        if self._server is not None:
            self._server.samples.reset()

    @property
    def listeners(self) -> Sequence[Bound]:
        """One socket, of whatever address (observed: 3.10.8 shows [::] for any)."""
        if self._server is None:
            return ()
        return [Bound("[::]", port, "http", "HTTP API") for port in self._server.ports]


PLUGIN: Final = Contribution(fronts=(Management,))
