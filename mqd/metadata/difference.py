"""From one state to another: by what was logged, or by what sets them apart.

Decides which commands turn a state into another one, so that whatever follows a node's metadata can
be brought there while it runs. Pure, like `mqd.metadata.machine`, whose commands these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mqd.metadata.commands import (
    Batch,
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
    PutCluster,
    PutExchange,
    PutQueue,
)
from mqd.metadata.machine import State, apply, commands_of


def replay(state: State, command: Command) -> None:
    """`apply` for what was logged. An mqd that knew no clusters let a put of topology replace what
    had its name: so it is again."""
    match command:
        case Batch(commands):
            for each in commands:
                replay(state, each)
            return
        case PutQueue(queue):
            old = state.queues.get((queue.vhost, queue.name))
            if old is not None and old.id != queue.id:
                del state.queues[queue.vhost, queue.name]
            command = PutQueue(queue)  # whatever it had to be then
        case PutExchange(exchange):
            found = state.exchanges.get((exchange.vhost, exchange.name))
            if found is not None and found != exchange:
                del state.exchanges[exchange.vhost, exchange.name]
        case _:
            pass
    apply(state, command)


def difference(old: State, new: State) -> list[Command]:
    """Commands that make `new` out of `old`. Deletes come first; a queue of the same name and
    another id, and an exchange that is declared otherwise, go with their bindings and come anew,
    and so does another record of the cluster, which knows better than one that it is put over.
    Neither state is changed."""
    work = State()
    work.restore(old)
    commands: list[Command] = []
    for command in _deletes(work, new):
        apply(work, command)
        commands.append(command)
    had = set(map(_key, commands_of(work)))
    commands += (each for each in commands_of(new) if _key(each) not in had)
    return commands


def _key(command: Command) -> str:
    """Equal for equal commands: definitions hold tables, which have no hash."""
    return repr(command)


def _deletes(work: State, new: State) -> Iterator[Command]:
    """What is too much in `work`, which loses each before the next is asked for."""
    for vhost in _too_much(work.vhosts, new.vhosts):
        yield DeleteVhost(vhost)
    for user in _too_much(work.users, new.users):
        yield DeleteUser(user)
    for name, vhost in _too_much(work.permissions, new.permissions):
        yield DeletePermission(name, vhost)
    for name, vhost, exchange in _too_much(work.topic_permissions, new.topic_permissions):
        yield DeleteTopicPermission(name, vhost, exchange)
    for parameter in _too_much(work.parameters, new.parameters):
        yield DeleteParameter(*parameter)
    for name in _too_much(work.global_parameters, new.global_parameters):
        yield DeleteGlobalParameter(name)
    for key, queue in list(work.queues.items()):
        kept = new.queues.get(key)
        if kept is None or kept.id != queue.id:
            yield DeleteQueue(*key, queue.id)
    for key, exchange in list(work.exchanges.items()):
        if new.exchanges.get(key) != exchange:
            yield DeleteExchange(*key)
    for binding in _too_much(work.bindings, new.bindings):
        yield DeleteBinding(work.bindings[binding])
    for name in _too_much(work.members, new.members):
        yield DeleteMember(name)
    if work.cluster not in (None, new.cluster):
        yield PutCluster(None)


def _too_much(have: dict[Any, Any], want: dict[Any, Any]) -> list[Any]:
    return [key for key in have if key not in want]
