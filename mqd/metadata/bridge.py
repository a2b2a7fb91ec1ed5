"""Keeps a broker equal to the metadata: what is there when it starts, and every change after.

Decides which of the broker's `apply_*` a command calls. Never decides what a change does there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mqd.broker.broker import Broker
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
)
from mqd.metadata.machine import commands_of
from mqd.metadata.store import MetadataStore
from mqd.policies.limits import LIMITS, VHOST_LIMITS
from mqd.policies.model import OPERATOR_POLICY, POLICY, policy_of


def connect(
    store: MetadataStore, broker: Broker, drop_store: Callable[[str], None]
) -> Callable[[], None]:
    """Apply everything that is there to a broker without vhosts, then every change.

    drop_store(vhost) deletes the messages of a vhost that was deleted, after the broker has let
    go of them. Returns how to end it.
    """

    def hear(command: Command) -> None:
        if store.ours:
            apply_to(broker, command)
        else:  # the node where it was done tells of it
            with broker.following():
                apply_to(broker, command)
        if isinstance(command, DeleteVhost):
            drop_store(command.name)

    for command in commands_of(store.state):
        apply_to(broker, command)
    return store.subscribe(hear)


def apply_to(broker: Broker, command: Command) -> None:
    """Make the broker follow one command."""
    match command:
        case PutVhost(vhost):
            broker.apply_put_vhost(vhost.name)
            if vhost.tracing:
                broker.vhosts[vhost.name].tracer.switch(True)
            broker.vhosts[vhost.name].default_queue_type = vhost.default_queue_type
        case DeleteVhost(name):
            broker.apply_delete_vhost(name)
        case PutExchange(exchange):
            broker.apply_put_exchange(exchange)
        case DeleteExchange(vhost_name, name):
            broker.apply_delete_exchange(vhost_name, name)
        case PutQueue(queue):
            broker.apply_put_queue(queue)
        case DeleteQueue(vhost_name, name):
            broker.apply_delete_queue(vhost_name, name)
        case PutBinding(binding):
            broker.apply_put_binding(binding)
        case DeleteBinding(binding):
            broker.apply_delete_binding(binding)
        case (
            PutUser()
            | DeleteUser()
            | PutPermission()
            | DeletePermission()
            | PutTopicPermission()
            | DeleteTopicPermission()
        ):
            broker.apply_access_changed()
        case PutParameter(vhost_name, component, name, value):
            _apply_parameter(broker, vhost_name, component, name, value)
        case DeleteParameter(vhost_name, component, name):
            _apply_parameter(broker, vhost_name, component, name, None)
        case PutGlobalParameter() | DeleteGlobalParameter():
            pass  # read where they are needed
        case PutMember() | DeleteMember() | PutCluster():
            pass  # `mqd.cluster` hears of them itself
        case Batch(commands):
            for each in commands:  # listeners hear of the parts: only who holds a batch gets here
                apply_to(broker, each)


def _apply_parameter(
    broker: Broker, vhost: str, component: str, name: str, value: dict[str, Any] | None
) -> None:
    """value: None when it was deleted. Components that the broker does not know have no effect."""
    if component in (POLICY, OPERATOR_POLICY):
        policy = policy_of(name, value) if value is not None else None
        broker.apply_policy(vhost, component, name, policy)
    elif (component, name) == (VHOST_LIMITS, LIMITS):
        broker.apply_vhost_limits(vhost, value or {})
