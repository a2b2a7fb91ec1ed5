"""The group of voters, which places logs and counts majorities: how members leave it.

Decides the steps of a removal and of a rescue, each of which may be asked again after it failed.
Never decides that somebody must go. Removals name the hash of the server's name too: after a
restart a server that was not seen since is not known by its name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from mqd.cluster.engine import api
from mqd.cluster.engine.logs import ATTEMPT_S, Logs
from mqd.cluster.engine.session import Session
from mqd.cluster.engine.settings import peer_id, server_name
from mqd.cluster.ports import NoMajority

_log = logging.getLogger("mqd.cluster.engine")
REMOVE_S: Final = 30.0
RESCUE_S: Final = 30.0
_AGAIN_S: Final = 0.2


class Voters:
    def __init__(self, session: Session, logs: Logs) -> None:
        self._session = session
        self._logs = logs

    async def remove(self, name: str, incarnation: str) -> None:
        """Until no voter knows it any more."""
        server = server_name(name, incarnation)
        request = api.body(peer=server, peer_id=peer_id(server))
        deadline = self._now() + REMOVE_S
        said = "no answer"
        while True:
            try:
                await self._session.system.ask(
                    api.SERVER_REMOVE, request, None, ATTEMPT_S, api.answer
                )
            except api.Refused as refused:
                said = str(refused)
                if refused.not_member:
                    return
            except NoMajority as error:
                said = str(error)
            if self._now() >= deadline:
                raise NoMajority(f"{server} is not removed: {said}")
            await asyncio.sleep(_AGAIN_S)

    async def rescue(self, lost: Sequence[tuple[str, str]]) -> None:
        """This member's copies are the truth from now on, and it alone votes."""
        await self._lower_quorum()
        for name, incarnation in lost:
            await self.remove(name, incarnation)
        here = api.local_logs(await self._session.state(config=True))
        for log, found in here.items():
            await self._logs.scale(log, 1, found["config"])
        for log in list(self._session.leads):
            if log not in here:
                _log.warning("no copy of %s is left", log)
                await self._logs.delete(log)

    async def _lower_quorum(self) -> None:
        """A group that has a leader after all needs no rescue."""
        request = api.body(quorum_needed=1)
        deadline = self._now() + RESCUE_S
        while True:
            try:
                await self._session.system.ask(
                    api.META_RESCUE, request, None, ATTEMPT_S, api.answer
                )
                return
            except api.Refused as refused:
                said = str(refused)
                if self._now() >= deadline and refused.leader_known:
                    return
            except NoMajority as error:
                said = str(error)
            if self._now() >= deadline:
                raise NoMajority(f"no rescue: {said}")
            await asyncio.sleep(_AGAIN_S)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
