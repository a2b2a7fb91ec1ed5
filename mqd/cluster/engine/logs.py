"""Replicated logs: what is asked of them, and for how long.

Decides what is tried again and what is not. A question that changes nothing twice (create, purge,
an append with an id) is asked again until PATIENCE_S; an append that may have happened is not:
NoMajority says that nobody knows. That nobody was there to answer is known, and always tried
again: an election takes 4 to 9 s. Never asks the voters for a change of their own: `voters` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from nats.aio.msg import Msg

from mqd.cluster.engine import api
from mqd.cluster.engine.connection import Lost, NoResponder
from mqd.cluster.engine.session import Session
from mqd.cluster.ports import Entry, LogInfo, NoMajority

PATIENCE_S: Final = 12.0  # an election of the longest kind, and a split vote
SETTLE_S: Final = 60.0  # copies are made in it; a pin takes 0.4 s
ATTEMPT_S: Final = 3.0
APPEND_S: Final = 5.0
_AGAIN_S: Final = 0.1
_LOOK_S: Final = 0.05
_LOOK_ATTEMPT_S: Final = 0.5  # a leader that has just gone never answers
# From one answer to the next, by attempt; each may come to the one copy that is gone.
_READ_STEPS_S: Final = (0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.8, 3.0)
_READ_BYTES: Final = 4_194_304  # of one answer

T = TypeVar("T")


class Logs:
    """The logs of the cluster that `session` is connected to."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batches = 0

    async def create(self, log: str, *, replicas: int, first_seq: int, tells: bool) -> None:
        config = api.log_config(log, replicas, first_seq, tells)
        try:
            await self._persist(lambda: self._api("CREATE", log, **config))
        except api.Refused as refused:
            if not refused.exists:
                raise NoMajority(f"cannot create {log}: {refused}") from None
        self._session.hasten(log)

    async def names(self) -> Sequence[str]:
        """Of all logs that the voters know of."""
        found = await self._persist(lambda: self._ask(api.NAMES, b"", ATTEMPT_S))
        return tuple(found.get("streams") or ())

    async def delete(self, log: str) -> None:
        try:
            await self._persist(lambda: self._api("DELETE", log))
        except api.Refused as refused:
            if not refused.no_log:
                raise NoMajority(f"cannot delete {log}: {refused}") from None
        self._session.hasten()

    def submit(
        self, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> asyncio.Future[int]:
        """One attempt of an append, sent in the order of calls, without waiting for others."""
        headers: dict[str, str] = {}
        if after is not None:
            headers[api.AFTER] = str(after)
        if unique:
            headers[api.UNIQUE] = unique
        client = self._session.client
        return client.ask(subject, data, headers or None, APPEND_S, api.appended)

    async def append(self, subject: str, data: bytes, after: int | None, unique: str) -> int:
        async def attempt() -> int:
            return await self.submit(subject, data, after=after, unique=unique)

        return await self._persist(attempt, twice=bool(unique))

    async def append_all(self, log: str, subject: str, data: Sequence[bytes], after: int) -> int:
        if len(data) == 1:
            return await self.append(subject, data[0], after, "")

        async def attempt() -> int:
            client = self._session.client
            self._batches += 1
            batch = f"{client.unique}-{self._batches}"
            headers = {api.BATCH: batch, api.BATCH_SEQUENCE: "1", api.AFTER: str(after)}
            client.send(subject, data[0], headers)
            for index, one in enumerate(data[1:-1], 2):
                client.send(subject, one, {api.BATCH: batch, api.BATCH_SEQUENCE: str(index)})
            last = {api.BATCH: batch, api.BATCH_SEQUENCE: str(len(data)), api.BATCH_COMMIT: "1"}
            return await client.ask(subject, data[-1], last, APPEND_S, api.appended)

        return await self._persist(attempt, twice=False)

    async def read(self, log: str, from_seq: int, count: int) -> Sequence[Entry]:
        found: list[Entry] = []
        while len(found) < count:
            request = api.body(seq=from_seq, batch=count - len(found), max_bytes=_READ_BYTES)
            answers = await self._entries(log, request)
            if not answers:
                break
            found += map(api.entry, answers)
            from_seq = found[-1].seq + 1
            if (answers[-1].headers or {}).get("Nats-Num-Pending") == "0":
                break
        return found

    async def _entries(self, log: str, request: bytes) -> Sequence[Msg]:
        """Any of the copies answers. The servers still have some questions go to a host that has
        just dropped off the network: the next attempt may come to another."""
        *early, last = _READ_STEPS_S
        for step_s in early:
            try:
                client = self._session.client
                return await client.collect(api.direct_get(log), request, step_s, api.is_end)
            except (Lost, NoResponder):
                raise
            except NoMajority:
                continue
        return await self._session.client.collect(api.direct_get(log), request, last, api.is_end)

    async def info(self, log: str, attempt_s: float = ATTEMPT_S) -> LogInfo:
        return api.log_info(await self._info(log, attempt_s))

    async def purge(self, log: str, before: int, subject: str | None) -> None:
        wanted: dict[str, object] = {"seq": before}
        if subject is not None:
            wanted["filter"] = subject
        await self._persist(lambda: self._api("PURGE", log, **wanted))

    async def remove(self, log: str, seq: int) -> None:
        try:
            await self._persist(lambda: self._api("MSG.DELETE", log, seq=seq, no_erase=True))
        except api.Refused as refused:
            if not refused.no_entry:
                raise NoMajority(str(refused)) from None

    async def lead(self, log: str, server: str, node: str) -> None:
        """That server of that node leads it on return."""
        deadline = self._now() + PATIENCE_S
        while True:
            try:
                if (await self.info(log, _LOOK_ATTEMPT_S)).leader == node:
                    break
                await self._api("LEADER.STEPDOWN", log, placement={"preferred": server})
            except api.Refused as refused:
                self._check(deadline, f"{node} does not lead {log}: {refused}")
            except NoMajority as error:
                self._check(deadline, f"{node} does not lead {log}: {error}")
            self._check(deadline, f"{node} does not lead {log}")
            await asyncio.sleep(_LOOK_S)
        self._session.hasten()

    async def scale(self, log: str, replicas: int, config: api.Json | None = None) -> LogInfo:
        """Returns once that many copies are up to date. config: of a log that has no leader to
        tell it."""
        deadline = self._now() + SETTLE_S
        wanted = config or (await self._info(log, ATTEMPT_S))["config"]
        is_asked = False
        while True:
            try:
                if not is_asked:
                    await self._api("UPDATE", log, **{**wanted, "num_replicas": replicas})
                    is_asked = True
                found = await self._info(log, _LOOK_ATTEMPT_S)
                if api.is_settled(found, replicas):
                    self._session.hasten()
                    return api.log_info(found)
                if found["config"]["num_replicas"] != replicas:
                    is_asked = False  # a leader that had not heard of it
            except (NoMajority, api.Refused) as error:
                self._check(deadline, f"{log} is not at {replicas} copies: {error}")
            self._check(deadline, f"{log} is not at {replicas} copies")
            await asyncio.sleep(_LOOK_S)

    async def _info(self, log: str, attempt_s: float) -> api.Json:
        try:
            return await self._ask(api.stream("INFO", log), b"", attempt_s)
        except api.Refused as refused:
            if refused.no_log:
                raise api.NoLog(log) from None
            raise NoMajority(str(refused)) from None

    async def _api(self, verb: str, log: str, **fields: object) -> api.Json:
        return await self._ask(api.stream(verb, log), api.body(**fields), ATTEMPT_S)

    async def _ask(self, subject: str, data: bytes, attempt_s: float) -> api.Json:
        client = self._session.client
        return await client.ask(subject, data, None, attempt_s, api.answer)

    async def _persist(self, attempt: Callable[[], Awaitable[T]], *, twice: bool = True) -> T:
        """twice: doing it again does no harm. Raises what the last attempt raised."""
        deadline = self._now() + PATIENCE_S
        while True:
            try:
                return await attempt()
            except NoMajority as error:
                if self._now() >= deadline or not (twice or isinstance(error, NoResponder)):
                    raise
            except api.Refused as refused:
                if self._now() >= deadline or not _passes(refused):
                    raise
            await asyncio.sleep(_AGAIN_S)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _check(self, deadline: float, text: str) -> None:
        if self._now() >= deadline:
            raise NoMajority(text)


def _passes(refused: api.Refused) -> bool:
    """It may be different in a moment: no leader, or a server that is not yet known everywhere."""
    return refused.code >= 500 or "no suitable peers" in str(refused)
