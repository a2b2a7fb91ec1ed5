"""The group of voters, which places logs and counts majorities: how members leave it.

Decides the steps of a removal and of a rescue, each of which may be asked again after it failed.
Never decides that somebody must go. Removals name the hash of the server's name too: after a
restart a server that was not seen since is not known by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence, Set
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
_STUCK_LOOK_S: Final = 0.5
_STUCK_LOOKS: Final = 24  # an election takes 9 s at most, of a group of one


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

    async def rescue(self, lost: Sequence[tuple[str, str]], on_disc: Set[str]) -> Mapping[str, str]:
        """This member's copies are the truth from now on, and it alone votes. on_disc: the logs of
        which it has any. Others are deleted: the voters would replace the only copy of a removed
        member by an empty one, and nobody could tell that from the log.

        Returns groups by log: those whose copy here was being made, and waits for the rest of it
        from members that are none any more. Nothing but a start without the group ends that."""
        if self._session.meta_leader is None:
            await self._lower_quorum()
        for name, incarnation in lost:
            await self.remove(name, incarnation)
        for log in await self._logs.names():
            if log not in on_disc:
                _log.warning("no copy of %s is left", log)
                await self._logs.delete(log)
        found = api.local_logs(await self._session.state(config=True))
        kept = [log for log in found if log in on_disc]
        settled = [self._settle(log, found[log]) for log in kept]
        outcomes = await asyncio.gather(*settled, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return {log: str(group) for log, group in zip(kept, outcomes, strict=True) if group}

    async def _settle(self, log: str, found: api.Json) -> str:
        """One copy, of a log that has a leader. Returns its group when it will never have one."""
        had = int(found["state"]["last_seq"])
        scaling = asyncio.ensure_future(self._logs.scale(log, 1, found["config"]))
        stuck = asyncio.ensure_future(self._stuck(log))
        try:
            await asyncio.wait((scaling, stuck), return_when=asyncio.FIRST_COMPLETED)
            if not scaling.done():
                return stuck.result()
            if (settled := scaling.result()).last_seq < had:
                _log.error("%s ended at %d and now ends at %d", log, had, settled.last_seq)
            return ""
        finally:
            scaling.cancel()
            stuck.cancel()

    async def _stuck(self, log: str) -> str:
        """Returns the group of that log, once the server has said again and again that it is the
        only one in it and does not lead it."""
        looks = 0
        while True:
            with contextlib.suppress(NoMajority, api.Refused):  # no answer says nothing
                found = api.local_logs(await self._session.state()).get(log, {})
                group = found.get("cluster") or {}
                peers = {each.get("peer") for each in group.get("replicas") or ()}
                is_alone = bool(group.get("raft_group")) and not peers - {self._me}
                looks = looks + 1 if is_alone and not group.get("leader") else 0
                if looks >= _STUCK_LOOKS:
                    return str(group["raft_group"])
            await asyncio.sleep(_STUCK_LOOK_S)

    @property
    def _me(self) -> str:
        return peer_id(self._session.server)

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
