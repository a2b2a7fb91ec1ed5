"""Tells of changes to users, permissions, virtual hosts and parameters as RabbitMQ's events.

Decides which event a command is: a put says what is there now, so what was there before is kept
while somebody listens. Exchanges, queues and bindings are told of by the broker, which has those
that are not durable too.
"""

from __future__ import annotations

from mqd.amqp.terms import format_atom, format_binary
from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.events import (
    INTERNAL,
    Facts,
    flag,
    json_value,
    number,
    text,
    texts,
)
from mqd.broker.exchanges.registry import predeclared
from mqd.metadata.commands import (
    Command,
    DeleteGlobalParameter,
    DeleteParameter,
    DeletePermission,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    Json,
    PutExchange,
    PutGlobalParameter,
    PutParameter,
    PutPermission,
    PutTopicPermission,
    PutUser,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.machine import State
from mqd.metadata.store import MetadataStore
from mqd.policies.limits import LIMITS, VHOST_LIMITS
from mqd.policies.model import OPERATOR_POLICY, POLICY

_SAID_FIRST = ("apply-to", "priority", "definition", "pattern")


def connect(store: MetadataStore, broker: Broker) -> None:
    """From now on, whenever somebody listens. After `mqd.metadata.bridge`: what an event tells of
    is done by then."""
    announcer = _Announcer(store.state, broker)
    broker.events.wakes = announcer.remember

    def hear(command: Command) -> None:
        if store.ours:
            announcer.hear(command)
        elif broker.events.listeners:  # the node where it was done tells of it
            announcer.remember()

    store.subscribe(hear)


class _Announcer:
    def __init__(self, state: State, broker: Broker) -> None:
        self._state = state
        self._node = broker.node
        self._events = broker.events
        self._users: dict[str, User] = {}
        self._vhosts: dict[str, VhostRecord] = {}
        self._permitted: list[tuple[str, str]] = []
        self._policies: list[tuple[str, str, str]] = []
        self._coming: VhostRecord | None = None  # waits for its exchanges

    def remember(self) -> None:
        """What is there."""
        state = self._state
        self._users = dict(state.users)
        self._vhosts = dict(state.vhosts)
        self._permitted = list(state.permissions)
        self._policies = [key for key in state.parameters if key[1] == POLICY]

    def hear(self, command: Command) -> None:
        """Of the store: a change that the state has already."""
        if not self._events.listeners:
            return
        match command:
            case PutExchange(exchange):
                self._exchange_came(exchange.vhost, exchange.name)
                return  # nothing that is remembered
            case PutVhost(record):
                self._put_vhost(record)
            case DeleteVhost(name):
                self._delete_vhost(name)
            case PutUser(user):
                self._put_user(user)
            case DeleteUser(name):
                self._done("user.deleted", ("name", name))
            case PutPermission() | DeletePermission():
                self._permission(command)
            case PutTopicPermission() | DeleteTopicPermission():
                self._topic_permission(command)
            case PutParameter(vhost, component, name, value):
                self._put_parameter(vhost, component, name, value)
            case DeleteParameter(vhost, component, name):
                self._delete_parameter(vhost, component, name)
            case PutGlobalParameter(name, value):
                self._global("value", json_value(value), name)
            case DeleteGlobalParameter(name):  # observed: 3.10.8 calls it set, without a value
                self._events.done("parameter.set", _texts(("name", name), ("component", "global")))
            case _:
                return
        self.remember()

    def _done(self, event: str, *facts: tuple[str, str]) -> None:
        self._events.done(event, _texts(*facts))

    # -- virtual hosts ------------------------------------------------------------------------

    def _put_vhost(self, record: VhostRecord) -> None:
        before = self._vhosts.get(record.name)
        if before is None:
            self._coming = record
        elif before.tags != record.tags:
            facts: Facts = [("tags", texts(record.tags)), ("name", text(record.name))]
            self._events.done("vhost.tags.set", facts)

    def _exchange_came(self, vhost: str, name: str) -> None:
        """A vhost is there when its exchanges are."""
        record = self._coming
        if record is None or record.name != vhost or name != predeclared(vhost)[-1].name:
            return
        self._coming = None
        tags = texts(record.tags) if record.tags_text is None else text(record.tags_text)
        about = [("tags", tags), ("description", text(record.description))]
        self._events.tell(
            "vhost.created",
            [
                *about,
                ("user_who_performed_action", text(self._events.actor)),
                ("cluster_state", ("table", {self._node: text("running")})),
                ("tracing", flag(record.tracing)),
                ("metadata", text(_metadata(record))),
                ("default_queue_type", text(record.default_queue_type or "undefined")),
                *about,
                ("name", text(vhost)),
            ],
        )

    def _delete_vhost(self, name: str) -> None:
        for user, vhost in self._permitted:
            if vhost == name:
                self._done("permission.deleted", ("vhost", name), ("user", user))
        self._done("vhost.deleted", ("name", name))
        for vhost, _, policy in self._policies:
            if vhost == name:
                self._done("policy.cleared", ("vhost", name), ("name", policy))
        self._events.done(
            "vhost.down", _texts(("node", self._node), ("name", name)), actor=INTERNAL
        )

    # -- users and permissions ----------------------------------------------------------------

    def _put_user(self, user: User) -> None:
        before = self._users.get(user.name)
        if before is None:
            self._done("user.created", ("name", user.name))
            before = User(user.name, user.password_hash, user.hashing_algorithm)
        if before.password_hash != user.password_hash:
            cleared = "cleared" if not user.password_hash else "changed"
            self._done(f"user.password.{cleared}", ("name", user.name))
        if before.tags != user.tags:
            facts: Facts = [("tags", texts(user.tags)), ("name", text(user.name))]
            self._events.done("user.tags.set", facts)
        if before.limits != user.limits:
            whose = _texts(("username", user.name))
            left = [(name, number(limit)) for name, limit in user.limits.items()]
            event = "set" if left else "cleared"
            by = ("user_who_performed_action", text(self._events.actor))
            self._events.tell(f"user.limits.{event}", [*left, *whose, by, ("name", text("limits"))])

    def _permission(self, command: PutPermission | DeletePermission) -> None:
        whose = _texts(("vhost", command.vhost), ("user", command.user))
        if isinstance(command, DeletePermission):
            self._events.done("permission.deleted", whose)
            return
        given = command.permission
        said = (("read", given.read), ("write", given.write), ("configure", given.configure))
        self._events.done("permission.created", [*_texts(*said), *whose])

    def _topic_permission(self, command: PutTopicPermission | DeleteTopicPermission) -> None:
        whose = _texts(("vhost", command.vhost), ("user", command.user))
        if isinstance(command, PutTopicPermission):
            given = command.permission
            said = (("read", given.read), ("write", given.write), ("exchange", command.exchange))
            self._events.done("topic.permission.created", [*_texts(*said), *whose])
        elif command.exchange is None:
            self._events.done("topic.permission.deleted", whose)
        else:  # observed: 3.10.8, when it is for one exchange
            self._events.done("permission.deleted", whose)

    # -- parameters ---------------------------------------------------------------------------

    def _global(self, fact: str, value: tuple[str, object], name: str) -> None:
        facts = [(fact, value), *_texts(("name", name), ("component", "global"))]
        self._events.done("parameter.set", facts)

    def _put_parameter(self, vhost: str, component: str, name: str, value: Json) -> None:
        if component in (POLICY, OPERATOR_POLICY):
            value = {key: value[key] for key in _SAID_FIRST if key in value} | value
        field = json_value(value)
        if component != POLICY:
            where = _texts(("name", name), ("component", component), ("vhost", vhost))
            self._events.done("parameter.set", [("value", field), *where])
        by = ("user_who_performed_action", text(self._events.actor))
        if component in (POLICY, OPERATOR_POLICY):
            where = _texts(("vhost", vhost), ("name", name))
            self._events.tell("policy.set", [*field[1].items(), by, *where])
        elif (component, name) == (VHOST_LIMITS, LIMITS):
            self._events.tell("vhost.limits.set", [*field[1].items(), by, ("name", text(name))])

    def _delete_parameter(self, vhost: str, component: str, name: str) -> None:
        if component != POLICY:
            where = (("name", name), ("component", component), ("vhost", vhost))
            self._done("parameter.cleared", *where)
        if component == POLICY:
            self._done("policy.cleared", ("vhost", vhost), ("name", name))
        elif component == OPERATOR_POLICY:
            self._done("operator.policy.cleared", ("vhost", vhost), ("name", name))
        elif (component, name) == (VHOST_LIMITS, LIMITS):
            self._done("vhost.limits.cleared", ("name", name))


def _texts(*facts: tuple[str, str]) -> Facts:
    return [(name, text(value)) for name, value in facts]


def _metadata(record: VhostRecord) -> str:
    """As Erlang prints it."""
    kind = record.default_queue_type
    parts = [f"default_queue_type => {_binary(kind)}"] if kind is not None else []
    parts.append(f"description => {_binary(record.description)}")
    if record.tags_text is not None:
        parts.append(f"tags => {_binary(record.tags_text)}")
    else:
        parts.append(f"tags => [{','.join(map(format_atom, record.tags))}]")
    return f"#{{{','.join(parts)}}}"


def _binary(value: str) -> str:
    return format_binary(value.encode())
