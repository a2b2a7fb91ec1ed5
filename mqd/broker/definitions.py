"""What an exchange, a queue and a binding are declared as.

Decides the shape of a definition: the part of an entity that a client states and that a durable
one keeps over a restart. Never holds state: live entities refer to their definition.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mqd.amqp.fields import Table
from mqd.names import Resource


@dataclass(frozen=True, slots=True)
class ExchangeDefinition:
    """exchange.declare, minus the name of its vhost's owner."""

    vhost: str
    name: str
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = field(default_factory=dict)

    @property
    def resource(self) -> Resource:
        return Resource("exchange", self.vhost, self.name)


@dataclass(frozen=True, slots=True)
class QueueDefinition:
    """queue.declare. `id` is unique for every queue that ever was on this node: a queue declared
    again under an old name is another queue, and what the store keeps for the old one is not its.

    max_age_s: how long a stream keeps messages, set by an operator; None: arguments and policy say.
    node: the member of the cluster that it lives on; "": this one. shard: the replicated log that
    holds its messages; None: it has none and is its node's alone. members: the copies that count of
    a quorum queue, as declared or as an operator left them; (): all that its log has.
    """

    id: int
    vhost: str
    name: str
    durable: bool = True
    auto_delete: bool = False
    exclusive: bool = False
    arguments: Table = field(default_factory=dict)
    type: str = "classic"
    max_age_s: int | None = None
    node: str = ""
    shard: int | None = None
    members: tuple[str, ...] = ()

    @property
    def resource(self) -> Resource:
        return Resource("queue", self.vhost, self.name)


@dataclass(frozen=True, slots=True)
class BindingDefinition:
    """A binding is its five parts: there are no two with the same ones."""

    vhost: str
    source: str  # exchange
    destination_kind: str  # "queue" | "exchange"
    destination: str
    binding_key: str
    arguments: Table = field(default_factory=dict)
