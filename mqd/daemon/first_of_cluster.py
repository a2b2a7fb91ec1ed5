"""A node that is alone and runs, while it becomes the first of a cluster.

Decides what of its app a cluster needs is made before its metadata says that there is one, and what
after, and what becomes of it when one of these steps fails. Never writes the metadata
(`mqd.daemon.roll`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from mqd.daemon.compose import App
from mqd.daemon.side import Side, Site
from mqd.metadata.commands import ClusterRecord, Member


class FirstOfCluster:
    """app(): the one that runs. start_anew(): that one ends, and the next one is a member's if the
    node is one by then."""

    def __init__(
        self, app: Callable[[], App], site: Callable[[], Site], start_anew: Callable[[], None]
    ) -> None:
        self._app = app
        self._site = site
        self._start_anew = start_anew

    @contextlib.asynccontextmanager
    async def begin(self, cluster: ClusterRecord, me: Member) -> AsyncIterator[Member]:
        """Links can be made. Nothing is left of that when what the caller does then fails."""
        app = self._app()
        side, here = await Side.link(self._site(), app.metadata, cluster, me)
        app.side = side
        try:
            yield here
        except BaseException:
            app.side = None
            await side.close()
            raise

    async def begun(self) -> None:
        """Its metadata says so, whatever fails now: then a start makes the rest."""
        app = self._app()
        assert app.side is not None
        try:
            app.side.order()
            app.side.house(app.broker)
            app.side.attach(app.broker)
            await app.side.open()
        except BaseException:
            self._start_anew()
            raise
