"""The engine of a disc member: replicated logs on its own supervised nats-server.

Decides how the parts below it make up `mqd.cluster.ports.Engine`, and in which of three ways a
server starts on its disc. Never decides who the members are, what stands in a log, or when an
engine is wanted: whoever composes it does.

    engine = NatsEngine(data, me, cluster.id, binary=setting)
    await engine.start(disc_members, identity, Start.FOUND)
    if await engine.ready(30.0): ...                # META answers, or is known not to exist
    await engine.create("META", replicas=2, first_seq=last_number + 1, tells=True)
    ...
    await engine.use(disc_members, identity)        # members or generation changed
    await engine.stop()                             # hands over what it leads

Start.FOUND: a first group of voters, by exactly the members given (2 at least), each of which is
started so with the same members. Start.JOIN: into a group that is there; an empty server started
so never forms a group, whoever else is up. Start.AGAIN: on what is on the disc. What is on the
disc of this incarnation always goes first: FOUND and JOIN are then AGAIN, so a node that was
killed in between simply starts as before. A disc that should have something but is empty is JOIN.

Everything is under `<data>/engine/`; `wipe(data)` removes it, once the engine is stopped. A new
incarnation finds no disc of an older one. `identity` is `mqd.cluster.identity.issue`d before each
call that takes one, into the same folder: the server reads the files again. Routes that stand
stay when the generation grows; new ones need it.

`info` of a log that does not exist raises `api.NoLog`, a NoMajority. `read` may be answered by a
copy that lags, or by one whose last entries are not yet decided after a start: what it lacks,
`info().last_seq` tells. `leads` learns of a new leader at once, of one that died when its followers
give it up (4 to 9 s); all of it is None while the own server is down.

`submit` is for whoever keeps many appends under way (shards): it sends in the order of calls and
returns a future that always ends: int, Stale, NoMajority. `append` waits, and tries again what is
known not to have happened.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
import secrets as passwords
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mqd.cluster.engine import api, copies, supervisor
from mqd.cluster.engine import binary as programs
from mqd.cluster.engine.logs import Logs
from mqd.cluster.engine.session import Session
from mqd.cluster.engine.settings import (
    Secrets,
    config_text,
    node_of,
    peer_id,
    server_name,
)
from mqd.cluster.engine.voters import Voters
from mqd.cluster.identity import Identity
from mqd.cluster.ports import Engine, Entry, LogInfo, NoMajority
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member
from mqd.storage import durable

_log = logging.getLogger("mqd.cluster.engine")

_FOLDER: Final = "engine"
_JOINED: Final = "joined"  # in the store's folder: it has been in a group that had a leader
_NAMELESS: Final = re.compile(r"\(peerID: (\w+)\)")
_LOOK_S: Final = 0.05
_READY_ATTEMPT_S: Final = 0.25
_RESCUE_OPEN_S: Final = 30.0


class Start(enum.Enum):
    """What a server that starts takes part in."""

    FOUND = "found"
    JOIN = "join"
    AGAIN = "again"


class NatsEngine:
    """`mqd.cluster.ports.Engine`. Calls before `ready` raise NoMajority, or wait for it a while."""

    def __init__(
        self,
        data: Path,
        me: Member,
        cluster_id: str,
        *,
        binary: str = "",
        listen: str = "0.0.0.0",  # noqa: S104 - for the other machines; who has no certificate gets nothing
    ) -> None:
        """binary: path of nats-server; "" for the one of the package. listen: the address that
        routes come in at."""
        self._me = me
        self._cluster_id = cluster_id
        self._listen = listen
        self._folder = data / _FOLDER
        self._store = self._folder / me.incarnation
        self._binary = binary
        self._secrets = Secrets(*(passwords.token_hex(16) for _ in range(3)))
        self._session = Session(server_name(me.name, me.incarnation), self._secrets)
        self._session.on_meta_leader = self._joined
        self._logs = Logs(self._session)
        self._voters = Voters(self._session, self._logs)
        self._supervisor: supervisor.Supervisor | None = None
        self._members: Mapping[str, Member] = {}
        self._identity: Identity | None = None
        self._joins = False
        self._settling: asyncio.Task[None] | None = None

    async def start(self, members: Sequence[Member], identity: Identity, how: Start) -> None:
        """Start the server; it may take a while until it is `ready`. members: the disc members,
        with or without this one. Raises MqdError when there is no server to run."""
        program = await asyncio.to_thread(programs.find, self._binary)
        durable.make_folder(self._folder, 0o700)
        for old in self._folder.iterdir():
            if old.is_dir() and old != self._store:
                supervisor.wipe(old)
        durable.make_folder(self._store, 0o700)
        is_old = (self._store / _JOINED).exists()
        self._joins = not is_old and how is not Start.FOUND
        self._members, self._identity = {each.name: each for each in members}, identity
        await self._launch(supervisor.Supervisor(program, self._folder, self._session))

    async def _launch(self, server: supervisor.Supervisor) -> None:
        self._supervisor = server
        try:
            await server.start(self._config(), self._secrets.anchor)
        except OSError as error:
            self._supervisor = None
            raise MqdError(ErrorCode.UNAVAILABLE, f"nats-server: {error}") from error

    async def use(self, members: Sequence[Member], identity: Identity) -> None:
        """Go by these disc members and these certificates from now on."""
        self._members, self._identity = {each.name: each for each in members}, identity
        if self._supervisor is not None:
            await self._supervisor.configure(self._config())

    async def ready(self, timeout_s: float, log: str = "META") -> bool:
        """Whether the log can be used, or is known not to exist, within that time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                if (await self._logs.info(log, _READY_ATTEMPT_S)).leader is not None:
                    return True
            except api.NoLog:
                if self._session.meta_leader is not None:
                    return True
            except NoMajority:
                pass
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_S)

    async def stop(self) -> None:
        """The server hands over what it leads, and ends."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait([self._settling])
            self._settling = None
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None

    @property
    def pid(self) -> int | None:
        """Of the server's process."""
        return None if self._supervisor is None else self._supervisor.pid

    @property
    def ails(self) -> str:
        """Why this member's copies of the logs do not count now; empty while they may."""
        if self._session.is_open:
            return ""
        known = self._supervisor.ails if self._supervisor is not None else ""
        return known or "its nats-server does not serve"

    @property
    def has_group(self) -> bool:
        """The voters have a leader, as far as the own server knows: logs can be created, moved."""
        return self._session.meta_leader is not None

    @property
    def voters(self) -> Sequence[str]:
        """Members that vote, as far as the own server knows; empty while it does not."""
        return tuple(node_of(server) for server in self._session.voters)

    @property
    def voter_ids(self) -> Sequence[str]:
        """What the group calls its voters: `settings.peer_id` of their servers. After a restart the
        names of those that were not seen since are not known."""
        return tuple(
            found[1] if (found := _NAMELESS.search(server)) else peer_id(server)
            for server in self._session.voters
        )

    # Engine

    async def create(
        self, log: str, *, replicas: int, first_seq: int = 1, tells: bool = False
    ) -> None:
        await self._logs.create(log, replicas=replicas, first_seq=first_seq, tells=tells)

    async def delete(self, log: str) -> None:
        await self._logs.delete(log)

    async def append(
        self, log: str, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> int:
        return await self._logs.append(subject, data, after, unique)

    def submit(
        self, subject: str, data: bytes, *, after: int | None = None, unique: str = ""
    ) -> asyncio.Future[int]:
        """An append that does not wait for earlier ones; see above. Raises NoMajority at once when
        there is no server to send it to."""
        return self._logs.submit(subject, data, after=after, unique=unique)

    async def append_all(self, log: str, subject: str, data: Sequence[bytes], after: int) -> int:
        return await self._logs.append_all(log, subject, data, after)

    async def read(self, log: str, from_seq: int, count: int) -> Sequence[Entry]:
        return await self._logs.read(log, from_seq, count)

    async def info(self, log: str) -> LogInfo:
        return await self._logs.info(log)

    async def purge(self, log: str, *, before: int, subject: str | None = None) -> None:
        await self._logs.purge(log, before, subject)

    async def remove(self, log: str, seq: int) -> None:
        await self._logs.remove(log, seq)

    def follow(self, log: str, hear: Callable[[Entry], None]) -> Callable[[], None]:
        return self._session.follow(log, hear)

    def on_leader(self, hear: Callable[[str, str | None], None]) -> Callable[[], None]:
        return self._session.on_leader(hear)

    async def lead(self, log: str, member: str) -> None:
        await self._logs.lead(log, self._server(member), member)

    async def attended(self, member: str) -> bool:
        return await self._session.attended(self._server(member))

    async def set_replicas(self, log: str, replicas: int, on: str | None = None) -> None:
        if on is not None and replicas == 1:
            now = await self._logs.info(log)
            if on not in now.current:
                everywhere = min(len(self._session.voters), api.REPLICAS_MAX)
                await self._logs.scale(log, max(everywhere, 2))
            await self.lead(log, on)
        settled = await self._logs.scale(log, replicas)
        if on is not None and settled.leader != on:
            raise NoMajority(f"{log} is on {settled.leader}, not on {on}")

    async def remove_member(self, name: str, incarnation: str) -> None:
        await self._voters.remove(name, incarnation)

    async def rescue(self, lost: Sequence[tuple[str, str]]) -> None:
        await self._session.opened(_RESCUE_OPEN_S)
        stuck = await self._voters.rescue(lost, copies.logs_on(self._store))
        server = self._supervisor
        if not stuck or server is None:
            return
        await server.stop()
        for group in stuck.values():
            copies.take_out(self._store, group)
        await self._launch(server)
        await self._session.opened(_RESCUE_OPEN_S)
        for log in sorted(stuck):
            if not await self.ready(_RESCUE_OPEN_S, log):
                raise NoMajority(f"{log} has no leader although this member has its only copy")
            settled = await self._logs.scale(log, 1)
            _log.error(
                "%s: the copy on this node was not whole; it ends at %d, and what only others had "
                "of it is given up", log, settled.last_seq,
            )  # fmt: skip

    @property
    def leads(self) -> Mapping[str, str | None]:
        return self._session.leads

    def _server(self, member: str) -> str:
        found = self._me if member == self._me.name else self._members.get(member)
        if found is None:
            raise NoMajority(f"{member} is no disc member")
        return server_name(found.name, found.incarnation)

    def _config(self) -> str:
        assert self._identity is not None
        return config_text(
            store=self._store,
            cluster=self._cluster_id,
            me=self._me,
            others=[each for each in self._members.values() if each.name != self._me.name],
            listen=self._listen,
            identity=self._identity,
            secrets=self._secrets,
            joins=self._joins,
        )

    def _joined(self) -> None:
        """There is a leader of the voters: from now on the disc tells what this server is part of,
        and it need not be kept from founding anything."""
        marker = self._store / _JOINED
        if self._settling is None and not marker.exists():
            try:
                durable.replace(marker, b"")
            except OSError:
                return  # the next time it is looked at
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        if self._joins and self._supervisor is not None:
            self._joins = False
            await self._supervisor.configure(self._config())


def wipe(data: Path) -> None:
    """Nothing of an engine is left in a node's data. Only when none runs."""
    supervisor.wipe(data / _FOLDER)


def _is_engine(engine: NatsEngine) -> Engine:
    return engine
