"""What mqd knows through its own nats-server, while there is one.

Decides how the two connections to it (as its client, and as the system's) come, go and come
again, and what is heard over them: entries that are told, leaders, voters. Never asks for a change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from mqd.cluster.engine import api
from mqd.cluster.engine.child import Ports
from mqd.cluster.engine.connection import Connection, Lost
from mqd.cluster.engine.leaders import Change, Leaders
from mqd.cluster.engine.settings import Secrets, node_of
from mqd.cluster.ports import Entry, NoMajority

_log = logging.getLogger("mqd.cluster.engine")
POLL_S: Final = 1.0
POLL_SOON_S: Final = 0.2
_RECONNECT_S: Final = 0.2
_ASK_TIMEOUT_S: Final = 2.0
_ATTENDS_S: Final = 1.0

Hear = Callable[[Entry], None]
HearLeader = Callable[[str, str | None], None]


class Session:
    """The state of the connections. `client` and `system` raise NoMajority while there are none."""

    def __init__(self, server: str, secrets: Secrets) -> None:
        """server: the name of the own one."""
        self.server = server
        self._secrets = secrets
        self._client: Connection | None = None
        self._system: Connection | None = None
        self._server_id = ""
        self._has_logs = True
        self._opened = asyncio.Event()
        self._followers: list[tuple[str, Hear]] = []
        self._watchers: list[HearLeader] = []
        self._leaders = Leaders()
        self._elsewhere: Sequence[str] = ()  # logs there may be, not yet looked at
        self.meta_leader: str | None = None  # of the group of voters
        self.voters: Sequence[str] = ()  # names of servers
        self.on_meta_leader: Callable[[], None] = lambda: None
        self._hasten = asyncio.Event()

    @property
    def client(self) -> Connection:
        if self._client is None:
            raise NoMajority("the own nats-server does not serve")
        return self._client

    @property
    def system(self) -> Connection:
        if self._system is None:
            raise NoMajority("the own nats-server does not serve")
        return self._system

    @property
    def is_open(self) -> bool:
        return self._client is not None

    async def opened(self, timeout_s: float) -> None:
        """Raises NoMajority when there is no connection in time."""
        try:
            await asyncio.wait_for(self._opened.wait(), timeout_s)
        except TimeoutError:
            raise NoMajority("the own nats-server does not serve") from None

    async def serves(self, ports: Ports) -> None:
        """Connected as long as the server lives and has its logs."""
        self._has_logs = True
        while self._has_logs:
            client, system = Connection(), Connection()
            try:
                await client.open(ports.client, "client", self._secrets.client)
                await system.open(ports.client, "system", self._secrets.system)
                await self._listen(client)
                for connection in (client, system):
                    connection.lost.add_done_callback(lambda _: self._hasten.set())
                self._client, self._system = client, system
                self._server_id = system.server_id
                self._opened.set()
                await self._poll(client, system)
            except (OSError, NatsError, TimeoutError) as error:
                _log.debug("connection to nats-server: %s", error)
            finally:
                self._close()
                try:
                    await client.close()
                finally:  # whoever ends this may do so again meanwhile
                    await system.close()
            await asyncio.sleep(_RECONNECT_S)

    def follow(self, log: str, hear: Hear) -> Callable[[], None]:
        following = (log, hear)
        self._followers.append(following)
        return lambda: self._followers.remove(following)

    def on_leader(self, hear: HearLeader) -> Callable[[], None]:
        self._watchers.append(hear)
        return lambda: self._watchers.remove(hear)

    @property
    def leads(self) -> Mapping[str, str | None]:
        return self._leaders.known

    async def state(self, *, config: bool = False) -> api.Json:
        """What the own server says of itself: voters, logs. Needs no majority."""
        asked = api.body(accounts=True, streams=True, config=config)
        subject = api.server(self._server_id, "JSZ")
        return await self.system.ask(subject, asked, None, _ASK_TIMEOUT_S, api.server_answer)

    async def attended(self, server: str) -> bool:
        """Whether the daemon of that server answers."""
        client = self.client
        try:
            return await client.ask(api.attends(server), b"", None, _ATTENDS_S, lambda _: True)
        except Lost:
            raise
        except NoMajority:
            return False

    def hasten(self, log: str = "") -> None:
        """Something was done that changes leaders: look now. log: one that there is, maybe without
        a copy here, and of which nothing may have been heard yet."""
        if log:
            self._elsewhere = (*self._elsewhere, log)
        self._hasten.set()

    async def _listen(self, client: Connection) -> None:
        await client.hear(api.TOLD + ">", self._told)
        await client.hear(api.LEADER_ELECTED, self._elected)
        await client.hear(api.QUORUM_LOST, self._quorum_lost)
        await client.hear(
            api.attends(self.server), lambda asked: client.send(asked.reply, b"", None)
        )

    async def _poll(self, client: Connection, system: Connection) -> None:
        while self._has_logs and not client.lost.done() and not system.lost.done():
            with contextlib.suppress(NoMajority, api.Refused):
                await self._look(client)
            soon = self._leaders.in_doubt or self.meta_leader is None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hasten.wait(), POLL_SOON_S if soon else POLL_S)
            self._hasten.clear()

    async def _look(self, client: Connection) -> None:
        """At leaders and voters, from here; at logs that have no copy here, by asking around."""
        turn = self._leaders.asks()
        jsz = await self.state(config=True)
        if jsz.get("disabled"):
            _log.warning("nats-server has given up its logs")
            self._has_logs = False
            return
        led_before = self.meta_leader
        self._take_voters(jsz.get("meta_cluster") or {})
        leaders: dict[str, str | None] = {}
        for log, found in api.local_logs(jsz).items():
            if api.is_grouped(found):
                name = (found.get("cluster") or {}).get("leader")
                leaders[log] = node_of(name) if name else None
        if self.meta_leader is not None and self.meta_leader != led_before:
            self._elsewhere = (*self._elsewhere, *await self._names(client))
        gone: list[str] = []
        elsewhere, self._elsewhere = self._elsewhere, ()
        for log in [*elsewhere, *self._leaders.known]:
            if log not in leaders:
                try:
                    found = await client.ask(
                        api.stream("INFO", log), b"", None, _ASK_TIMEOUT_S, api.answer
                    )
                    leaders[log] = api.log_info(found).leader
                except NoMajority:
                    leaders[log] = None
                except api.Refused as refused:
                    if refused.no_log:
                        gone.append(log)
                    else:
                        leaders[log] = None  # it is asked about again
        # All at once: who looks at what is known meanwhile has been told of it.
        changes = [change for log in gone for change in self._leaders.gone(turn, log)]
        self._tell_leaders([*changes, *self._leaders.answered(turn, leaders)])
        if self.meta_leader is not None:
            self.on_meta_leader()

    async def _names(self, client: Connection) -> Sequence[str]:
        found = await client.ask(api.NAMES, b"", None, _ASK_TIMEOUT_S, api.answer)
        return tuple(found.get("streams") or ())

    def _take_voters(self, group: api.Json) -> None:
        leader = group.get("leader")
        servers = [leader] if leader else []
        servers += [replica["name"] for replica in group.get("replicas") or ()]
        self.meta_leader = node_of(leader) if leader else None
        if len(set(servers)) < int(group.get("cluster_size", 0)):
            servers.append(self.server)  # a server leaves itself out, unless it leads
        self.voters = tuple(dict.fromkeys(servers))

    def _told(self, message: Msg) -> None:
        entry = api.entry(message)
        log = (message.headers or {})["Nats-Stream"]
        for name, hear in list(self._followers):
            if name == log:
                _call(hear, entry)

    def _elected(self, message: Msg) -> None:
        said = json.loads(message.data)
        if leader := said.get("leader"):
            self._tell_leaders(self._leaders.announced(said["stream"], node_of(leader)))

    def _quorum_lost(self, message: Msg) -> None:
        self.hasten()

    def _tell_leaders(self, changes: Sequence[Change]) -> None:
        for log, leader in changes:
            for hear in list(self._watchers):
                _call(hear, log, leader)

    def _close(self) -> None:
        self._client = self._system = None
        self._opened.clear()
        self.meta_leader, self.voters = None, ()
        self._tell_leaders(self._leaders.nobody())


def _call(hear: Callable[..., None], *news: object) -> None:
    """One listener's fault is not the others', nor the connection's."""
    try:
        hear(*news)
    except Exception:  # noqa: BLE001 - told
        _log.exception("what follows from news of the logs was not done")
