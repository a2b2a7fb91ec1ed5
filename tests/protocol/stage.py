"""A broker inside the test's own event loop, on memory, for replaying transcripts.

Decides how the broker core and its listener are put together without daemon, files and control
socket, and acts the few verbs of the administration tool that transcripts use. What the daemon
adds is tested elsewhere; here a difference can only come from mqd.amqp, mqd.broker, mqd.transport
and mqd.auth.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from mqd.amqp.replies import ReplyCode
from mqd.auth.access import Access
from mqd.auth.passwords import hash_password
from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.memory import MemorySpool, MemoryStore, MemoryTopology
from mqd.broker.settings import Settings
from mqd.names import NodeName, PidSource
from mqd.plugins.catalogue import PLUGINS, exchange_types
from mqd.policies.model import OPERATOR_POLICY, POLICY, policy_of
from mqd.transport.listener import Listener

_BUILTIN = (
    ("amq.direct", "direct"),
    ("amq.fanout", "fanout"),
    ("amq.topic", "topic"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
    ("amq.rabbitmq.trace", "topic"),
)


class MachineClock:
    """The machine's time."""

    def monotonic_ms(self) -> int:
        return int(time.monotonic() * 1000)

    def wall_ms(self) -> int:
        return int(time.time() * 1000)


class Users:
    """An access directory in dictionaries."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permission] = {}
        self.topics: dict[tuple[str, str, str], TopicPermission] = {}

    def user(self, name: str) -> User | None:
        return self.users.get(name)

    def permission(self, user: str, vhost: str) -> Permission | None:
        return self.permissions.get((user, vhost))

    def topic_permission(self, user: str, vhost: str, exchange: str) -> TopicPermission | None:
        return self.topics.get((user, vhost, exchange))


def _options(words: Sequence[str]) -> dict[str, str]:
    """--name value, any number of times."""
    return dict(zip(words[::2], words[1::2], strict=True))


class Stage:
    """The broker, its users, and `ctl`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.users = Users()
        self.users.users["guest"] = User("guest", hash_password("guest"), tags=("administrator",))
        self.users.permissions["guest", "/"] = Permission(".*", ".*", ".*")
        topology = MemoryTopology()
        self.settings = settings or Settings()
        clock = MachineClock()
        self.broker = Broker(
            NodeName("judge@localhost"),
            PidSource("judge@localhost", 1),
            clock,
            Access(self.users),
            topology,
            lambda _vhost: MemoryStore(wall_ms=clock.wall_ms),
            MemorySpool(),
            self.settings,
            exchange_types=exchange_types(PLUGINS),
        )
        topology.broker = self.broker
        self._add_vhost("/", "/")
        self.listener = Listener(self.broker, self.settings, clock)
        self.port = 0

    async def ctl(self, words: list[str]) -> str:
        """What a transcript asks of the administration tool."""
        words = [word for word in words if word != "-q"]
        verb, *rest = words
        vhost = "/"
        if "-p" in rest:
            at = rest.index("-p")
            vhost = rest[at + 1]
            del rest[at : at + 2]
        result: str = getattr(self, f"_{verb}")(vhost, *rest) or ""
        self.broker.apply_access_changed()
        self.broker.turn.end()
        return result

    def _add_user(self, _: str, name: str, password: str) -> None:
        self.users.users[name] = User(name, hash_password(password))

    def _delete_user(self, _: str, name: str) -> None:
        self.users.users.pop(name, None)
        for entry in list(self.broker.connections.values()):
            if entry.user.name == name:
                entry.close(ReplyCode.CONNECTION_FORCED, f"user '{name}' is deleted")

    def _set_user_tags(self, _: str, name: str, *tags: str) -> None:
        old = self.users.users[name]
        self.users.users[name] = User(name, old.password_hash, old.hashing_algorithm, tags)

    def _set_permissions(self, vhost: str, user: str, *patterns: str) -> None:
        self.users.permissions[user, vhost] = Permission(*patterns)

    def _set_topic_permissions(self, vhost: str, user: str, exchange: str, *p: str) -> None:
        self.users.topics[user, vhost, exchange] = TopicPermission(*p)

    def _add_vhost(self, _: str, name: str, *options: str) -> None:
        self.broker.apply_put_vhost(name)
        if options:
            self.broker.vhosts[name].default_queue_type = _options(options)["--default-queue-type"]
        for exchange, kind in _BUILTIN:  # in a node this is the metadata's part of a new vhost
            internal = exchange == "amq.rabbitmq.trace"
            self.broker.apply_put_exchange(
                ExchangeDefinition(name, exchange, kind, internal=internal)
            )

    def _set_policy(self, vhost: str, name: str, pattern: str, value: str, *options: str) -> None:
        self._put_policy(POLICY, vhost, name, pattern, value, options)

    def _set_operator_policy(
        self, vhost: str, name: str, pattern: str, value: str, *options: str
    ) -> None:
        self._put_policy(OPERATOR_POLICY, vhost, name, pattern, value, options)

    def _put_policy(
        self,
        component: str,
        vhost: str,
        name: str,
        pattern: str,
        value: str,
        options: Sequence[str],
    ) -> None:
        chosen = _options(options)
        kept = {
            "pattern": pattern,
            "definition": json.loads(value),
            "priority": int(chosen.get("--priority", 0)),
            "apply-to": chosen.get("--apply-to", "all"),
        }
        self.broker.apply_policy(vhost, component, name, policy_of(name, kept))

    def _clear_policy(self, vhost: str, name: str) -> None:
        self.broker.apply_policy(vhost, POLICY, name, None)

    def _set_vhost_limits(self, vhost: str, limits: str) -> None:
        self.broker.apply_vhost_limits(vhost, json.loads(limits))

    def _clear_vhost_limits(self, vhost: str) -> None:
        self.broker.apply_vhost_limits(vhost, {})

    def _set_user_limits(self, _: str, name: str, limits: str) -> None:
        self.users.users[name] = replace(self.users.users[name], limits=json.loads(limits))

    def _clear_user_limits(self, _: str, name: str, which: str) -> None:
        assert which == "all"
        self.users.users[name] = replace(self.users.users[name], limits={})

    def _delete_vhost(self, _: str, name: str) -> None:
        self.broker.apply_delete_vhost(name)

    def _list_connections(self, _: str, *_columns: str) -> str:
        return "".join(f"{e.pid}\t{e.peer_port}\n" for e in self.broker.connections.values())

    def _close_connection(self, _: str, pid: str, reason: str) -> None:
        for entry in list(self.broker.connections.values()):
            if entry.pid == pid:
                entry.close(ReplyCode.CONNECTION_FORCED, reason)

    def _trace_on(self, vhost: str) -> None:
        self._trace(vhost, True)

    def _trace_off(self, vhost: str) -> None:
        self._trace(vhost, False)

    def _trace(self, vhost: str, on: bool) -> None:
        found = self.broker.vhosts.get(vhost)
        if found is not None:
            found.tracer.switch(on)

    def _alarm(self, _: str, name: str, state: str) -> None:
        self.broker.set_alarm(name, state == "on")


@asynccontextmanager
async def stage(settings: Settings | None = None) -> AsyncIterator[Stage]:
    """A listening broker, stopped at the end."""
    broker = Stage(settings)
    await broker.listener.start("127.0.0.1", 0)
    broker.port = broker.listener.addresses[0][1]
    try:
        yield broker
    finally:
        for _ in range(100):  # clients that hung up are gone when the loop has seen it
            if not broker.listener.sessions:
                break
            await asyncio.sleep(0)
        await broker.listener.stop(grace_s=0.2)
