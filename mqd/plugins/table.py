"""The plugins that mqd brings, and what is said of names that are none.

Decides names, descriptions and where a plugin's code is; which others come along when it is
enabled and which go with it when it is disabled. RabbitMQ's names, so that enabled_plugins files
and runbooks mean the same. Never imports a plugin's code, so that mqctl may ask: that is
`mqd.plugins.catalogue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

VERSION: Final = "3.10.8"  # of RabbitMQ's plugins whose work is done


class Plugin(NamedTuple):  # a dataclass would import inspect: 7 ms of every call of mq-plugins
    """needs: names of other plugins. code: module:attribute of its `Contribution`, empty when it
    contributes nothing but its name."""

    name: str
    description: str
    version: str = VERSION
    needs: tuple[str, ...] = ()
    code: str = ""


Plugins = Mapping[str, Plugin]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# descriptions observed: 3.10.8, `rabbitmq-plugins list -v`; the community plugin's: its package
_ROWS: Final = (
    Plugin(
        "rabbitmq_consistent_hash_exchange",
        "Consistent Hash Exchange Type",
        code="mqd.plugins.bundled:CONSISTENT_HASH",
    ),
    Plugin(
        "rabbitmq_delayed_message_exchange",
        "RabbitMQ Delayed Message Exchange",
        version="3.10.2",
        code="mqd.plugins.bundled:DELAYED_MESSAGE",
    ),
    Plugin(
        "rabbitmq_event_exchange",
        "Event Exchange Type",
        code="mqd.plugins.bundled:EVENT_EXCHANGE",
    ),
    Plugin(
        "rabbitmq_management",
        "RabbitMQ Management Console",
        needs=("rabbitmq_management_agent", "rabbitmq_web_dispatch"),
        code="mqd.management.plugin:PLUGIN",
    ),
    # what it collects in RabbitMQ is always counted here: there is nothing to switch
    Plugin("rabbitmq_management_agent", "RabbitMQ Management Agent"),
    Plugin(
        "rabbitmq_random_exchange",
        "RabbitMQ Random Exchange",
        code="mqd.plugins.bundled:RANDOM",
    ),
    Plugin(
        "rabbitmq_recent_history_exchange",
        "RabbitMQ Recent History Exchange",
        code="mqd.plugins.bundled:RECENT_HISTORY",
    ),
    Plugin(
        "rabbitmq_sharding",
        "RabbitMQ Sharding Plugin",
        code="mqd.plugins.bundled:SHARDING",
    ),
    # who serves HTTP brings its own server: there is nothing to share
    Plugin("rabbitmq_web_dispatch", "RabbitMQ Web Dispatcher"),
)
PLUGINS: Final[Plugins] = {plugin.name: plugin for plugin in _ROWS}

# Erlang libraries beside RabbitMQ's plugins. 3.10.8 lets them be enabled, lists none and does
# nothing for them; so do we, for the sake of old command lines.
LIBRARIES: Final = _words(
    """
    accept amqp10_client amqp_client base64url cowboy cowlib eetcd gun jose prometheus rabbitmq_aws
    rabbitmq_stream_common
    """
)

# plugins and libraries of older RabbitMQ: what they did is gone, or is part of something else
RETIRED: Final = _words(
    """
    eldap erlando mochiweb rabbitmq_bql rabbitmq_jsonrpc rabbitmq_jsonrpc_channel
    rabbitmq_jsonrpc_channel_examples rabbitmq_management_visualiser rabbitmq_mochiweb
    rabbitmq_old_federation rabbitmq_test rabbitmq_toke rfc4627_jsonrpc sockjs toke webmachine
    """
)

# the others that RabbitMQ 3.10.8 ships (observed: rabbitmq-plugins list)
NOT_YET: Final = _words(
    """
    rabbitmq_amqp1_0 rabbitmq_auth_backend_cache rabbitmq_auth_backend_http
    rabbitmq_auth_backend_ldap rabbitmq_auth_backend_oauth2 rabbitmq_auth_mechanism_ssl
    rabbitmq_federation rabbitmq_federation_management
    rabbitmq_jms_topic_exchange rabbitmq_mqtt rabbitmq_peer_discovery_aws
    rabbitmq_peer_discovery_common rabbitmq_peer_discovery_consul rabbitmq_peer_discovery_etcd
    rabbitmq_peer_discovery_k8s rabbitmq_prometheus rabbitmq_shovel rabbitmq_shovel_management
    rabbitmq_stomp rabbitmq_stream rabbitmq_stream_management rabbitmq_top rabbitmq_tracing
    rabbitmq_trust_store rabbitmq_web_mqtt rabbitmq_web_mqtt_examples
    rabbitmq_web_stomp rabbitmq_web_stomp_examples
    """
)


def required(names: Iterable[str], plugins: Plugins = PLUGINS) -> tuple[str, ...]:
    """The plugins of these names and all they need, by name; those that are not there left out."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        plugin = plugins.get(name)
        if plugin is not None and name not in found:
            found.add(name)
            waiting += plugin.needs
    return tuple(sorted(found))


def dependents(names: Iterable[str], plugins: Plugins = PLUGINS) -> set[str]:
    """These names and every plugin that needs one of them."""
    gone = set(names)
    while more := {one.name for one in plugins.values() if gone & set(one.needs)} - gone:
        gone |= more
    return gone


def in_order(names: Iterable[str], plugins: Plugins = PLUGINS) -> list[str]:
    """By name, but what others need before them."""
    ordered: list[str] = []

    def add(name: str, above: frozenset[str]) -> None:
        if name in wanted and name not in ordered and name not in above:
            for need in sorted(plugins[name].needs if name in plugins else ()):
                add(need, above | {name})
            ordered.append(name)

    wanted = set(names)
    for name in sorted(wanted):
        add(name, frozenset())
    return ordered


def advice(name: str, plugins: Plugins = PLUGINS) -> str:
    """What to say of a name that is no plugin."""
    if name in NOT_YET:
        return "this version of mqd does not have it yet"
    if name in RETIRED:
        return "RabbitMQ does not have it any more, and nothing needs it"
    import difflib

    near = difflib.get_close_matches(name, [*plugins, *NOT_YET], 1)
    return f"there is no such plugin; is '{near[0]}' meant?" if near else "there is no such plugin"
