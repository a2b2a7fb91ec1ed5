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
from mqd.cluster.ports import LogInfo, NoMajority

_log = logging.getLogger("mqd.cluster.engine")
REMOVE_S: Final = 30.0
RESCUE_S: Final = 30.0
_AGAIN_S: Final = 0.2
_LOOK_ATTEMPT_S: Final = 1.0


class Voters:
    def __init__(self, session: Session, logs: Logs) -> None:
        self._session = session
        self._logs = logs

    async def remove(self, name: str, incarnation: str) -> None:
        """Until no voter knows it any more. Refuses (NoMajority) while it runs and has the only
        copy of a log: the voters would put an empty one elsewhere."""
        if alone := await self._alone_on(name):
            raise NoMajority(f"{name} has the only copy of {', '.join(alone)}")
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
                    self._session.hasten()
                    return
            except NoMajority as error:
                said = str(error)
            if self._now() >= deadline:
                raise NoMajority(f"{server} is not removed: {said}")
            await asyncio.sleep(_AGAIN_S)

    async def rescue(self, lost: Sequence[tuple[str, str]]) -> None:
        """This member's copies are the truth from now on, and it alone votes. Logs of which it had
        none are deleted: the voters would replace the only copy of a removed member by an empty
        one, and nobody could tell that from the log."""
        before = api.local_logs(await self._session.state())
        await self._lower_quorum()
        for name, incarnation in lost:
            await self.remove(name, incarnation)
        for log in await self._logs.names():
            if log not in before:
                _log.warning("no copy of %s is left", log)
                await self._logs.delete(log)
        for log, found in api.local_logs(await self._session.state(config=True)).items():
            if log in before:
                settled = await self._logs.scale(log, 1, found["config"])
                had = int(before[log]["state"]["last_seq"])
                if settled.last_seq < had:
                    _log.error("%s ended at %d and now ends at %d", log, had, settled.last_seq)

    async def _alone_on(self, name: str) -> Sequence[str]:
        logs = await self._logs.names()
        asked = [self._logs.info(log, _LOOK_ATTEMPT_S) for log in logs]
        found = await asyncio.gather(*asked, return_exceptions=True)
        return [
            log
            for log, info in zip(logs, found, strict=True)
            if isinstance(info, LogInfo) and info.leader == name and info.replicas == 1
        ]

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
