"""The plugins there are: what each brings, and which others it needs.

Decides names and contents. RabbitMQ's names, so that enabled_plugins files and runbooks mean the
same; what a plugin brings is part of mqd and merely switched by it. Never reads a file
(`mqd.plugins.enabled`) and never switches anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mqd.broker.exchanges.base import Exchange
from mqd.broker.exchanges.consistent_hash import ConsistentHashExchange
from mqd.broker.exchanges.delayed_message import DelayedMessageExchange
from mqd.broker.exchanges.modulus_hash import ModulusHashExchange
from mqd.broker.exchanges.random import RandomExchange
from mqd.broker.exchanges.recent_history import RecentHistoryExchange
from mqd.broker.exchanges.registry import BUILT_IN, Registry

_VERSION = "3.10.8"


@dataclass(frozen=True, slots=True)
class Plugin:
    """version: of RabbitMQ's plugin that it does the work of. needs: names of other plugins."""

    name: str
    description: str
    version: str = _VERSION
    exchange_types: tuple[type[Exchange], ...] = ()
    needs: tuple[str, ...] = ()


# descriptions observed: 3.10.8, `rabbitmq-plugins list -v`; the community plugin's: its package
PLUGINS: Final = MappingProxyType(
    {
        plugin.name: plugin
        for plugin in (
            Plugin(
                "rabbitmq_consistent_hash_exchange",
                "Consistent Hash Exchange Type",
                exchange_types=(ConsistentHashExchange,),
            ),
            Plugin(
                "rabbitmq_delayed_message_exchange",
                "RabbitMQ Delayed Message Exchange",
                version="3.10.2",
                exchange_types=(DelayedMessageExchange,),
            ),
            Plugin(
                "rabbitmq_random_exchange",
                "RabbitMQ Random Exchange",
                exchange_types=(RandomExchange,),
            ),
            Plugin(
                "rabbitmq_recent_history_exchange",
                "RabbitMQ Recent History Exchange",
                exchange_types=(RecentHistoryExchange,),
            ),
            Plugin(
                "rabbitmq_sharding",
                "RabbitMQ Sharding Plugin",
                exchange_types=(ModulusHashExchange,),
            ),
        )
    }
)

# the others that RabbitMQ 3.10.8 ships (observed: rabbitmq-plugins list)
_NOT_AVAILABLE: Final = frozenset(
    (
        "rabbitmq_amqp1_0",
        "rabbitmq_auth_backend_cache",
        "rabbitmq_auth_backend_http",
        "rabbitmq_auth_backend_ldap",
        "rabbitmq_auth_backend_oauth2",
        "rabbitmq_auth_mechanism_ssl",
        "rabbitmq_event_exchange",
        "rabbitmq_federation",
        "rabbitmq_federation_management",
        "rabbitmq_jms_topic_exchange",
        "rabbitmq_management",
        "rabbitmq_management_agent",
        "rabbitmq_mqtt",
        "rabbitmq_peer_discovery_aws",
        "rabbitmq_peer_discovery_common",
        "rabbitmq_peer_discovery_consul",
        "rabbitmq_peer_discovery_etcd",
        "rabbitmq_peer_discovery_k8s",
        "rabbitmq_prometheus",
        "rabbitmq_shovel",
        "rabbitmq_shovel_management",
        "rabbitmq_stomp",
        "rabbitmq_stream",
        "rabbitmq_stream_management",
        "rabbitmq_top",
        "rabbitmq_tracing",
        "rabbitmq_trust_store",
        "rabbitmq_web_dispatch",
        "rabbitmq_web_mqtt",
        "rabbitmq_web_mqtt_examples",
        "rabbitmq_web_stomp",
        "rabbitmq_web_stomp_examples",
    )
)


def with_needs(names: Iterable[str]) -> tuple[str, ...]:
    """The plugins of these names and all they need, by name; those that are not there left out."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        plugin = PLUGINS.get(name)
        if plugin is not None and name not in found:
            found.add(name)
            waiting += plugin.needs
    return tuple(sorted(found))


def exchange_types(names: Iterable[str]) -> Registry:
    """The built-in exchange types and those of the plugins."""
    types = [kind for name in names for kind in PLUGINS[name].exchange_types]
    return MappingProxyType({**BUILT_IN, **{kind.type_name: kind for kind in types}})


def advice(name: str) -> str:
    """What to say of a name that is no plugin of mqd."""
    if name in _NOT_AVAILABLE:
        return "this version of mqd does not have it yet"
    near = difflib.get_close_matches(name, [*PLUGINS, *_NOT_AVAILABLE], 1)
    return f"there is no such plugin; is '{near[0]}' meant?" if near else "there is no such plugin"
