"""What a plugin gives the broker: the whole of what other people's plugins write against. Decides
shapes only.

A distribution names an instance of `Contribution` in its entry points, in the group `mqd.plugins`;
the entry point's name is the plugin's, and in brackets after it are plugins that it needs:

    [options.entry_points]
    mqd.plugins =
        example_exchange = example:PLUGIN [rabbitmq_random_exchange]

Version and description are the distribution's. The code is imported when the plugin is enabled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from mqd.broker.broker import Broker
from mqd.broker.exchanges.base import Exchange


class Service(Protocol):
    """What a plugin does beside exchange types, from its start to its end. A start follows the
    recovery of the broker; stop is called when the plugin is disabled, not when the node ends."""

    def __init__(self, broker: Broker) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Bound(NamedTuple):
    """A listening socket of a plugin, as listings of listeners show it."""

    interface: str
    port: int
    protocol: str
    purpose: str


class Front(Protocol):
    """What a plugin listens on beside AMQP. It is opened once AMQP is answered, or when the plugin
    is enabled, and closed when the plugin is disabled or the application stops.

    node: an `mqd.admin.context.NodeControl`, whose broker is there from open to close.
    """

    def __init__(self, node: Any) -> None: ...

    async def open(self) -> None:
        """Raises MqdError when it cannot; then nothing of it is left, and the plugin counts as
        not running."""

    async def close(self) -> None:
        """Once, after an open that succeeded. Never fails."""

    @property
    def listeners(self) -> Sequence[Bound]:
        """While it is open."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """exchange_types: classes as `mqd.broker.exchanges.base` describes them. services: made once
    for each broker that runs the plugin. fronts: made once for each application that runs it."""

    exchange_types: tuple[type[Exchange], ...] = ()
    services: tuple[type[Service], ...] = ()
    fronts: tuple[type[Front], ...] = ()
