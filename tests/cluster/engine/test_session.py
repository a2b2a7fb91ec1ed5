"""What is known of logs that have no copy here."""

from __future__ import annotations

import asyncio
from typing import cast

from mqd.cluster.engine import api
from mqd.cluster.engine.connection import Connection
from mqd.cluster.engine.session import Session
from mqd.cluster.engine.settings import Secrets


class Client:
    """The server of another member leads every log; at first it cannot be asked."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    async def ask(self, *_: object) -> api.Json:
        if self.refusals:
            self.refusals -= 1
            raise api.Refused({"code": 503, "err_code": 10_008, "description": "unavailable"})
        return {
            "config": {"num_replicas": 1},
            "state": {"first_seq": 1, "last_seq": 5},
            "cluster": {"leader": "rabbit@b~1"},
        }


def known(refusals: int, looks: int) -> dict[str, str | None]:
    async def run() -> dict[str, str | None]:
        session = Session("rabbit@a~1", Secrets("", "", ""))

        async def state(*, config: bool = False) -> api.Json:
            return {"meta_cluster": {}}

        session.state = state  # type: ignore[method-assign]
        session.hasten("Q0")
        client = cast("Connection", Client(refusals))
        for _ in range(looks):
            await session._look(client)
        return dict(session.leads)

    return asyncio.run(run())


def test_a_log_that_was_asked_for_is_known_although_no_copy_is_here() -> None:
    assert known(refusals=0, looks=1) == {"Q0": "rabbit@b"}


def test_a_log_that_could_not_be_asked_about_is_not_forgotten() -> None:
    assert known(refusals=1, looks=1) == {"Q0": None}
    assert known(refusals=1, looks=3) == {"Q0": "rabbit@b"}
