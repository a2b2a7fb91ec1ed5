"""Durable state other than messages, and what each command does to it.

Decides what is allowed, in the words that reach a user, and what follows from a change. Pure:
the same commands in the same order make the same state on every machine. Never does I/O and never
takes the time.

`apply` checks before it changes anything: a command that is refused leaves no trace. Deletes of
what is not there succeed (RabbitMQ: since 3.2). So do puts of topology that is there, but for a
name that means another one by now: who proposed it must hear that its own did not come to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mqd.amqp.fields import encode_table
from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.exchanges.registry import predeclared
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import (
    Batch,
    ClusterRecord,
    Command,
    DeleteBinding,
    DeleteExchange,
    DeleteGlobalParameter,
    DeleteMember,
    DeleteParameter,
    DeletePermission,
    DeleteQueue,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    Json,
    Member,
    Must,
    PutBinding,
    PutCluster,
    PutExchange,
    PutGlobalParameter,
    PutMember,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.generations import begun, numbered, put_over
from mqd.names import Resource


class BindingKey(NamedTuple):
    """What makes a binding that binding: arguments count by their bytes, sorted by name."""

    vhost: str
    source: str
    destination_kind: str
    destination: str
    binding_key: str
    arguments: bytes


End = tuple[str, str, str]  # (vhost, "exchange" | "queue", name)


def key_of(binding: BindingDefinition) -> BindingKey:
    """RabbitMQ sorts binding arguments (rabbit_misc: sort_field_table)."""
    arguments = binding.arguments
    return BindingKey(
        binding.vhost,
        binding.source,
        binding.destination_kind,
        binding.destination,
        binding.binding_key,
        encode_table(dict(sorted(arguments.items()))) if arguments else b"",
    )


class State:
    """All of it. Read by anyone, changed by `apply` alone. Is an auth `Directory`."""

    def __init__(self) -> None:
        self.vhosts: dict[str, VhostRecord] = {}
        self.users: dict[str, User] = {}
        self.permissions: dict[tuple[str, str], Permission] = {}  # by (user, vhost)
        self.topic_permissions: dict[tuple[str, str, str], TopicPermission] = {}  # + exchange
        self.parameters: dict[tuple[str, str, str], Json] = {}  # by (vhost, component, name)
        self.global_parameters: dict[str, Json] = {}
        self.exchanges: dict[tuple[str, str], ExchangeDefinition] = {}  # by (vhost, name)
        self.queues: dict[tuple[str, str], QueueDefinition] = {}
        self.bindings: dict[BindingKey, BindingDefinition] = {}
        self.members: dict[str, Member] = {}
        self.clusters: dict[str, ClusterRecord] = {}  # the one there is, by ""
        self._ends: dict[End, dict[BindingKey, None]] = {}

    @property
    def is_virgin(self) -> bool:
        """Whether a first boot would seed it (RabbitMQ: needs_default_data)."""
        return not (self.vhosts or self.users or self.permissions)

    @property
    def cluster(self) -> ClusterRecord | None:
        """None: the node has never met another one."""
        return self.clusters.get("")

    @property
    def size(self) -> int:  # of what can be many
        return len(self.queues) + len(self.bindings) + len(self.exchanges) + len(self.users)

    def user(self, name: str) -> User | None:
        return self.users.get(name)

    def permission(self, user: str, vhost: str) -> Permission | None:
        return self.permissions.get((user, vhost))

    def topic_permission(self, user: str, vhost: str, exchange: str) -> TopicPermission | None:
        return self.topic_permissions.get((user, vhost, exchange))

    def bindings_at(self, vhost: str, kind: str, name: str) -> list[BindingDefinition]:
        """Those that start or end at an exchange, or end at a queue."""
        return [self.bindings[key] for key in self._ends.get((vhost, kind, name), ())]

    def copy(self) -> State:
        """A shallow copy: it stays as it is while this one changes."""
        other = State()
        for name, value in vars(self).items():
            setattr(other, name, dict(value))
        other._ends = {}  # rebuilt by nobody: a copy is for reading
        return other

    def restore(self, other: State) -> None:
        """Back to what a copy holds."""
        for name, value in vars(other).items():
            setattr(self, name, dict(value))
        self._ends = {}
        for key in self.bindings:
            self._add_ends(key)

    def clear(self) -> None:
        """Back to virgin."""
        for value in vars(self).values():
            value.clear()

    def add_binding(self, binding: BindingDefinition) -> None:
        key = key_of(binding)
        self.bindings[key] = binding
        self._add_ends(key)

    def _add_ends(self, key: BindingKey) -> None:
        for end in _ends_of(key):
            self._ends.setdefault(end, {})[key] = None

    def remove_binding(self, key: BindingKey) -> None:
        if self.bindings.pop(key, None) is None:
            return
        for end in _ends_of(key):
            keys = self._ends[end]
            keys.pop(key, None)
            if not keys:
                del self._ends[end]

    def remove_bindings_at(self, end: End) -> None:
        for key in list(self._ends.get(end, ())):
            self.remove_binding(key)


def _ends_of(key: BindingKey) -> set[End]:
    return {
        (key.vhost, "exchange", key.source),
        (key.vhost, key.destination_kind, key.destination),
    }


def apply(state: State, command: Command) -> tuple[Command, ...]:
    """Change the state; returns what listeners hear: the command, unless it is a batch or about
    what is not there any more, and what follows. Raises MqdError when it is refused."""
    if type(command) is Batch:
        return _apply_batch(state, command)
    follows = _APPLY[type(command)](state, command)
    return (command, *follows) if follows is not None else ()


def _apply_batch(state: State, batch: Batch) -> tuple[Command, ...]:
    before = state.copy()
    try:
        return tuple(heard for each in batch.commands for heard in apply(state, each))
    except MqdError:
        state.restore(before)
        raise


def commands_of(state: State) -> Iterator[Command]:
    """Commands that make this state out of a virgin one: a snapshot."""
    yield from map(PutMember, state.members.values())  # before what would refuse their numbers
    if state.cluster is not None:
        yield PutCluster(state.cluster)
    for record in state.vhosts.values():
        yield PutVhost(record, predeclare=False)
    yield from map(PutUser, state.users.values())
    for (user, vhost), permission in state.permissions.items():
        yield PutPermission(user, vhost, permission)
    for (user, vhost, exchange), topic in state.topic_permissions.items():
        yield PutTopicPermission(user, vhost, exchange, topic)
    for (vhost, component, name), value in state.parameters.items():
        yield PutParameter(vhost, component, name, value)
    for name, value in state.global_parameters.items():
        yield PutGlobalParameter(name, value)
    yield from map(PutExchange, state.exchanges.values())
    yield from map(PutQueue, state.queues.values())
    yield from map(PutBinding, state.bindings.values())


def _require_vhost(state: State, name: str) -> None:
    if name not in state.vhosts:
        raise MqdError(ErrorCode.NO_SUCH_VHOST, f"Virtual host '{name}' does not exist")


def _require_user(state: State, name: str) -> None:
    if name not in state.users:
        raise MqdError(ErrorCode.NO_SUCH_USER, f'User "{name}" does not exist')


def _require_both(state: State, user: str, vhost: str) -> None:
    """In the order and the words of the permission verbs (observed: rabbitmqctl 3.10.8)."""
    if user not in state.users:
        raise MqdError(ErrorCode.NO_SUCH_USER, f"User {user} does not exist")
    if vhost not in state.vhosts:
        raise MqdError(ErrorCode.NO_SUCH_VHOST, f"Virtual host {vhost} does not exist")


def _require_end(state: State, vhost: str, kind: str, name: str) -> None:
    known: Mapping[tuple[str, str], Any] = state.queues if kind == "queue" else state.exchanges
    if (vhost, name) not in known:
        raise MqdError(ErrorCode.NOT_FOUND, f"no {Resource(kind, vhost, name)}")


# -- vhosts, users, permissions -------------------------------------------------------------------


def _put_vhost(state: State, command: PutVhost) -> tuple[Command, ...]:
    name = command.vhost.name
    new = name not in state.vhosts
    if new and command.must is Must.EXIST:
        _require_vhost(state, name)
    if not new and command.must is Must.BE_NEW:
        raise MqdError(ErrorCode.ALREADY_EXISTS, f"Virtual host '{name}' already exists")
    state.vhosts[name] = command.vhost
    if not new or not command.predeclare:
        return ()
    # the default exchange is in every vhost by itself: it cannot be deleted, bound or listed here
    exchanges = [each for each in predeclared(name) if each.name]
    for each in exchanges:
        state.exchanges[name, each.name] = each
    return tuple(map(PutExchange, exchanges))


def _delete_vhost(state: State, command: DeleteVhost) -> tuple[Command, ...]:
    name = command.name
    _require_vhost(state, name)
    del state.vhosts[name]
    for table, at in (
        (state.permissions, 1),
        (state.topic_permissions, 1),
        (state.parameters, 0),
        (state.exchanges, 0),
        (state.queues, 0),
    ):
        _drop(table, at, name)
    for key in [key for key in state.bindings if key.vhost == name]:
        state.remove_binding(key)
    return ()


def _drop(table: dict[Any, Any], at: int, name: str) -> None:
    for key in [key for key in table if key[at] == name]:
        del table[key]


def _put_user(state: State, command: PutUser) -> tuple[Command, ...]:
    name = command.user.name
    if command.must is Must.EXIST:
        _require_user(state, name)
    if command.must is Must.BE_NEW and name in state.users:
        raise MqdError(ErrorCode.ALREADY_EXISTS, f'User "{name}" already exists')
    state.users[name] = command.user
    return ()


def _delete_user(state: State, command: DeleteUser) -> tuple[Command, ...]:
    _require_user(state, command.name)
    del state.users[command.name]
    _drop(state.permissions, 0, command.name)
    _drop(state.topic_permissions, 0, command.name)
    return ()


def _put_permission(state: State, command: PutPermission) -> tuple[Command, ...]:
    _require_both(state, command.user, command.vhost)
    state.permissions[command.user, command.vhost] = command.permission
    return ()


def _delete_permission(state: State, command: DeletePermission) -> tuple[Command, ...]:
    _require_both(state, command.user, command.vhost)
    state.permissions.pop((command.user, command.vhost), None)
    return ()


def _put_topic_permission(state: State, command: PutTopicPermission) -> tuple[Command, ...]:
    _require_both(state, command.user, command.vhost)
    key = (command.user, command.vhost, command.exchange)
    state.topic_permissions[key] = command.permission
    return ()


def _delete_topic_permission(state: State, command: DeleteTopicPermission) -> tuple[Command, ...]:
    _require_both(state, command.user, command.vhost)
    for key in list(state.topic_permissions):
        if key[:2] == (command.user, command.vhost) and command.exchange in (None, key[2]):
            del state.topic_permissions[key]
    return ()


# -- parameters -----------------------------------------------------------------------------------


def _put_parameter(state: State, command: PutParameter) -> tuple[Command, ...]:
    _require_vhost(state, command.vhost)
    state.parameters[command.vhost, command.component, command.name] = command.value
    return ()


def _delete_parameter(state: State, command: DeleteParameter) -> tuple[Command, ...]:
    key = (command.vhost, command.component, command.name)
    if key not in state.parameters:  # observed: the same words for a vhost that does not exist
        raise MqdError(ErrorCode.NOT_FOUND, "Parameter does not exist")
    del state.parameters[key]
    return ()


def _put_global_parameter(state: State, command: PutGlobalParameter) -> tuple[Command, ...]:
    state.global_parameters[command.name] = command.value
    return ()


def _delete_global_parameter(state: State, command: DeleteGlobalParameter) -> tuple[Command, ...]:
    if command.name not in state.global_parameters:
        raise MqdError(ErrorCode.NOT_FOUND, "Parameter does not exist")
    del state.global_parameters[command.name]
    return ()


# -- topology -------------------------------------------------------------------------------------


def _put_exchange(state: State, command: PutExchange) -> tuple[Command, ...]:
    exchange = command.exchange
    _require_vhost(state, exchange.vhost)
    found = state.exchanges.setdefault((exchange.vhost, exchange.name), exchange)
    if found != exchange:
        raise MqdError(ErrorCode.ALREADY_EXISTS, f"{exchange.resource} exists already")
    return ()


def _delete_exchange(state: State, command: DeleteExchange) -> tuple[Command, ...] | None:
    found = state.exchanges.get((command.vhost, command.name))
    ends = state.bindings_at(command.vhost, "exchange", command.name)
    is_used = any(binding.source == command.name for binding in ends)
    if command.if_unused and (found is None or not found.auto_delete or is_used):
        return None
    state.exchanges.pop((command.vhost, command.name), None)
    state.remove_bindings_at((command.vhost, "exchange", command.name))
    return ()


def _put_queue(state: State, command: PutQueue) -> tuple[Command, ...]:
    queue = command.queue
    _require_vhost(state, queue.vhost)
    found = state.queues.get((queue.vhost, queue.name))
    if command.must is Must.EXIST:
        _require_end(state, queue.vhost, "queue", queue.name)
        if len({found.shard if found else None, queue.shard} - {None}) > 1:  # two logs
            raise MqdError(ErrorCode.ALREADY_EXISTS, f"{queue.resource} is in a shard already")
    if found is not None and found.id != queue.id:
        raise MqdError(ErrorCode.ALREADY_EXISTS, f"{queue.resource} exists already")
    state.queues[queue.vhost, queue.name] = queue
    return ()


def _delete_queue(state: State, command: DeleteQueue) -> tuple[Command, ...] | None:
    found = state.queues.get((command.vhost, command.name))
    if found is not None and command.id not in (0, found.id):
        return None
    state.queues.pop((command.vhost, command.name), None)
    state.remove_bindings_at((command.vhost, "queue", command.name))
    return ()


def _put_binding(state: State, command: PutBinding) -> tuple[Command, ...]:
    binding = command.binding
    _require_vhost(state, binding.vhost)
    _require_end(state, binding.vhost, "exchange", binding.source)
    _require_end(state, binding.vhost, binding.destination_kind, binding.destination)
    state.add_binding(binding)
    return ()


def _delete_binding(state: State, command: DeleteBinding) -> tuple[Command, ...]:
    state.remove_binding(key_of(command.binding))
    return ()


# -- members ------------------------------------------------------------------------------------


def _put_member(state: State, command: PutMember) -> tuple[Command, ...]:
    member, found = command.member, state.members.get(command.member.name)
    if state.cluster is not None and (found is None or found.number != member.number):
        state.clusters[""] = numbered(state.cluster, member.number)
    state.members[member.name] = member
    return ()


def _delete_member(state: State, command: DeleteMember) -> tuple[Command, ...]:
    gone = state.members.pop(command.name, None)
    if gone is not None and command.fork and state.cluster is not None:
        state.clusters[""] = begun(state.cluster, command.fork)
    return ()


def _put_cluster(state: State, command: PutCluster) -> tuple[Command, ...]:
    old = state.clusters.pop("", None)
    if command.cluster is not None:
        state.clusters[""] = put_over(old, command.cluster)
    return ()


_Apply = Callable[[State, Any], tuple[Command, ...] | None]  # None: nothing happened
_APPLY: Mapping[type[Command], _Apply] = MappingProxyType(
    {
        PutVhost: _put_vhost,
        DeleteVhost: _delete_vhost,
        PutUser: _put_user,
        DeleteUser: _delete_user,
        PutPermission: _put_permission,
        DeletePermission: _delete_permission,
        PutTopicPermission: _put_topic_permission,
        DeleteTopicPermission: _delete_topic_permission,
        PutParameter: _put_parameter,
        DeleteParameter: _delete_parameter,
        PutGlobalParameter: _put_global_parameter,
        DeleteGlobalParameter: _delete_global_parameter,
        PutExchange: _put_exchange,
        DeleteExchange: _delete_exchange,
        PutQueue: _put_queue,
        DeleteQueue: _delete_queue,
        PutBinding: _put_binding,
        DeleteBinding: _delete_binding,
        PutMember: _put_member,
        DeleteMember: _delete_member,
        PutCluster: _put_cluster,
    }
)
