"""What a rescue keeps, gives up and finds stuck: without servers."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mqd.cluster.engine import api, voters
from mqd.cluster.engine.logs import Logs
from mqd.cluster.engine.session import Session
from mqd.cluster.engine.settings import peer_id
from mqd.cluster.engine.voters import Voters
from mqd.cluster.ports import LogInfo, NoMajority

ME, OTHER = "rabbit@a~1", "rabbit@b~1"


class Server:
    """One that is asked about its logs. groups: by log; a log that is led has no group any more
    once it is scaled to one copy."""

    def __init__(self, groups: dict[str, dict[str, Any]], leader: str | None) -> None:
        self.server = ME
        self.meta_leader = leader
        self.groups = groups
        self.asked: list[str] = []
        self.silent = 0  # questions that are not answered from now on
        self.deleted: list[str] = []
        self.system = self

    async def ask(self, subject: str, *_: object) -> api.Json:
        self.asked.append(subject)
        if subject == api.SERVER_REMOVE:
            raise api.Refused({"code": 400, "err_code": 10_044, "description": "not a member"})
        return {}

    async def state(self, *, config: bool = False) -> api.Json:
        if self.silent:
            self.silent -= 1
            raise NoMajority("no answer in time")
        details = [
            {"name": log, "state": {"last_seq": 5}, "config": {}, "cluster": group}
            for log, group in self.groups.items()
        ]
        return {"account_details": [{"stream_detail": details}]}

    def hasten(self) -> None:
        """Nobody looks."""

    # Logs

    async def names(self) -> list[str]:
        return [*self.groups]

    async def info(self, log: str, _attempt_s: float) -> LogInfo:
        return LogInfo(1, 5, "rabbit@a", 3, ("rabbit@a",))

    async def delete(self, log: str) -> None:
        self.deleted.append(log)
        del self.groups[log]

    async def scale(self, log: str, replicas: int, config: api.Json) -> LogInfo:
        while not self.groups[log].get("leader"):  # noqa: ASYNC110 - for as long as a server does
            await asyncio.sleep(0)
        return LogInfo(1, 5, "rabbit@a", replicas, ("rabbit@a",))


def group(leader: str | None, *peers: str) -> dict[str, Any]:
    replicas = [{"name": name, "peer": peer_id(name)} for name in peers]
    found = {"raft_group": "S-R3F-x", "replicas": replicas}
    return found | ({"leader": leader} if leader else {})


def rescue(server: Server, on_disc: set[str]) -> Any:
    made = Voters(cast("Session", server), cast("Logs", server))
    return asyncio.run(made.rescue([("rabbit@b", "1")], on_disc))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voters, "_STUCK_LOOK_S", 0.0)
    monkeypatch.setattr(api.Refused, "not_member", property(lambda _: True))


def test_who_leads_already_is_not_asked_to_lead_by_itself() -> None:
    server = Server({"Q0": group(ME)}, "rabbit@a")
    assert rescue(server, {"Q0"}) == {}
    assert server.asked == [api.SERVER_REMOVE]


def test_a_log_without_a_copy_goes_and_others_stay() -> None:
    server = Server({"Q0": group(ME), "Q1": group(ME)}, None)
    assert rescue(server, {"Q1"}) == {}
    assert server.deleted == ["Q0"]
    assert server.asked == [api.META_RESCUE, api.SERVER_REMOVE]


def test_a_group_of_one_that_nobody_leads_is_stuck() -> None:
    server = Server({"Q0": group(None, ME), "Q1": group(ME)}, None)
    assert rescue(server, {"Q0", "Q1"}) == {"Q0": "S-R3F-x"}


def test_a_group_with_others_in_it_is_waited_for() -> None:
    """It may have a leader as soon as they are out of it."""
    groups = {"Q0": group(None, ME, OTHER)}
    server = Server(groups, None)
    looks = 0
    state = server.state

    async def later(*, config: bool = False) -> api.Json:
        nonlocal looks
        looks += 1
        if looks == 3 * voters._STUCK_LOOKS:
            groups["Q0"] = group(ME)
        return await state(config=config)

    server.state = later  # type: ignore[method-assign]
    assert rescue(server, {"Q0"}) == {}
    assert looks >= 3 * voters._STUCK_LOOKS


def test_a_server_that_does_not_answer_for_a_while_proves_nothing() -> None:
    groups = {"Q0": group(None, ME)}
    server = Server(groups, None)
    state = server.state

    async def silent(*, config: bool = False) -> api.Json:
        if not config:
            server.silent = 1
            groups["Q0"] = group(ME)
        return await state(config=config)

    server.state = silent  # type: ignore[method-assign]
    assert rescue(server, {"Q0"}) == {}
