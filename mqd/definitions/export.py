"""Everything that is defined, as RabbitMQ 3.10.8 exports it.

Decides what is in an export and in which shape, odd ones included: definitions of operator
policies (unless they were imported as objects), limits of vhosts and objects among the global
parameters are lists of pairs; what is exclusive, called amq.* or an internal exchange is left out,
but not the bindings to it (all observed: 3.10.8). In order of names, where 3.10.8's order is an
accident. Never reads it back.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.definitions.checks import AS_OBJECT
from mqd.definitions.values import Atom, from_table
from mqd.metadata.commands import VhostRecord
from mqd.metadata.machine import State
from mqd.policies.limits import LIMITS, VHOST_LIMITS
from mqd.policies.model import OPERATOR_POLICY, POLICY

Json = Any
Object = dict[str, Json]

INTERNAL: Final = "internal_"  # global parameters of such names are the cluster's own


@dataclass(frozen=True, slots=True)
class Topology:
    """Exchanges, queues and bindings, those that end with the node included."""

    exchanges: Iterable[ExchangeDefinition] = field(default_factory=tuple)
    queues: Iterable[QueueDefinition] = field(default_factory=tuple)
    bindings: Iterable[BindingDefinition] = field(default_factory=tuple)


class Pairs(list[tuple[str, Json]]):
    """An object that is written as a list of pairs."""


class Record(dict[str, Json]):
    """An object whose names are atoms where terms are written."""


def export(state: State, topology: Topology, version: str) -> Record:
    """One object with everything. version: of RabbitMQ."""
    return Record(
        bindings=sorted(
            map(_binding, topology.bindings),
            key=lambda one: (
                one["vhost"],
                one["source"],
                one["destination_type"],
                one["destination"],
                one["routing_key"],
            ),
        ),
        exchanges=_by_name(
            _exchange(one)
            for one in topology.exchanges
            if one.name and not one.internal and not one.name.startswith("amq.")
        ),
        global_parameters=[
            {"name": Atom(name), "value": _top(value)}
            for name, value in sorted(state.global_parameters.items())
            if not name.startswith(INTERNAL)
        ],
        parameters=[
            {
                "component": component,
                "name": name,
                "value": _value(component, value),
                "vhost": vhost,
            }
            for (vhost, component, name), value in sorted(
                state.parameters.items(), key=lambda item: item[0]
            )
            if component != POLICY
        ],
        permissions=[
            {
                "configure": permission.configure,
                "read": permission.read,
                "user": user,
                "vhost": vhost,
                "write": permission.write,
            }
            for (user, vhost), permission in sorted(
                state.permissions.items(), key=lambda item: item[0]
            )
        ],
        policies=[
            {
                "apply-to": value.get("apply-to", "all"),
                "definition": plain(value["definition"]),
                "name": name,
                "pattern": value["pattern"],
                "priority": value.get("priority", 0),
                "vhost": vhost,
            }
            for (vhost, component, name), value in sorted(
                state.parameters.items(), key=lambda item: item[0]
            )
            if component == POLICY
        ],
        queues=_by_name(_queue(one) for one in topology.queues if not one.exclusive),
        rabbit_version=version,
        rabbitmq_version=version,
        topic_permissions=[
            {
                "exchange": exchange,
                "read": permission.read,
                "user": user,
                "vhost": vhost,
                "write": permission.write,
            }
            for (user, vhost, exchange), permission in sorted(
                state.topic_permissions.items(), key=lambda item: item[0]
            )
        ],
        users=[_user(user) for _, user in sorted(state.users.items())],
        vhosts=[_vhost(state, record) for _, record in sorted(state.vhosts.items())],
    )


def _by_name(objects: Iterable[Object]) -> list[Object]:
    return sorted(objects, key=lambda one: (one["vhost"], one["name"]))


def _binding(binding: BindingDefinition) -> Object:
    return {
        "arguments": from_table(binding.arguments),
        "destination": binding.destination,
        "destination_type": Atom(binding.destination_kind),
        "routing_key": binding.binding_key,
        "source": binding.source,
        "vhost": binding.vhost,
    }


def _exchange(exchange: ExchangeDefinition) -> Object:
    return {
        "arguments": from_table(exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "name": exchange.name,
        "type": Atom(exchange.type),
        "vhost": exchange.vhost,
    }


def _queue(queue: QueueDefinition) -> Object:
    return {
        "arguments": from_table(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "name": queue.name,
        "type": Atom(queue.type),
        "vhost": queue.vhost,
    }


def _user(user: User) -> Object:
    return {
        "hashing_algorithm": Atom(user.hashing_algorithm),
        "limits": dict(user.limits),
        "name": user.name,
        "password_hash": base64.b64encode(user.password_hash).decode(),
        "tags": list(user.tags),
    }


def _vhost(state: State, record: VhostRecord) -> Object:
    limits = state.parameters.get((record.name, VHOST_LIMITS, LIMITS))
    metadata = Record(description=record.description)
    if record.default_queue_type is not None:
        metadata["default_queue_type"] = record.default_queue_type
    metadata["tags"] = (
        record.tags_text if record.tags_text is not None else list(map(Atom, record.tags))
    )
    return {"limits": _top(limits or {}), "metadata": metadata, "name": record.name}


def _value(component: str, value: Json) -> Json:
    if component != OPERATOR_POLICY:
        return plain(value)
    shown = {key: plain(one) for key, one in value.items() if key != AS_OBJECT}
    return shown if AS_OBJECT in value else {**shown, "definition": _top(value["definition"])}


def _top(value: Json) -> Json:
    """A value whose outermost object is a list of pairs."""
    if isinstance(value, dict):
        return Pairs((key, plain(value[key])) for key in sorted(value))
    return plain(value)


def plain(value: Json) -> Json:
    """A JSON value whose null is the atom of that name."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return list(map(plain, value))
    return Atom("null") if value is None else value
