"""What a plugin gives the broker: the whole of what other people's plugins write against.

A distribution names an instance of `Contribution` in its entry points, in the group `mqd.plugins`;
the entry point's name is the plugin's, and in brackets after it are plugins that it needs:

    [options.entry_points]
    mqd.plugins =
        example_exchange = example:PLUGIN [rabbitmq_random_exchange]

Version and description are the distribution's. The code is imported when the plugin is enabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mqd.broker.broker import Broker
from mqd.broker.exchanges.base import Exchange


class Service(Protocol):
    """What a plugin does beside exchange types, from its start to its end. A start follows the
    recovery of the broker; stop is called when the plugin is disabled, not when the node ends."""

    def __init__(self, broker: Broker) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Contribution:
    """exchange_types: classes as `mqd.broker.exchanges.base` describes them. services: made once
    for each broker that runs the plugin."""

    exchange_types: tuple[type[Exchange], ...] = ()
    services: tuple[type[Service], ...] = ()
