"""Why a key of RabbitMQ changes nothing here.

Decides the words that `mqd --check`, the log and mqd.conf(5) give for it. A key that comes to life
leaves `accepted`, and needs no reason any more.
"""

from __future__ import annotations

_NO_PLUGIN = "mqd has no plugin for it in this version"
_DISCOVERY = "peers are found by classic_config and dns in this version"
_SILENCE = "a member that says nothing for three seconds counts as gone"
_PLACED = "queues are placed by their arguments and policies in this version"
_NO_TLS = "mqd has no TLS in this version"
_ERLANG = "of the Erlang runtime, which mqd does not need"
_STORE = "mqd's message store has no such bound"
_RAFT = "the logs of quorum queues are mqd's own"
_BUFFERS = "of Erlang's socket driver, which mqd does not have"
_INTERNAL = "users are those of the internal database in this version"
_NO_TARGET = "mqd does not log to it in this version"

# The first prefix that fits says why a key changes nothing; then the area does.
_REASONS: tuple[tuple[str, str], ...] = (
    ("ssl_cert_login", _NO_TLS),
    ("ssl_options", _NO_TLS),
    ("ssl_", _NO_TLS),
    ("listeners.ssl", _NO_TLS),
    ("num_acceptors", "one loop accepts all connections"),
    ("definitions.tls", _NO_TLS),
    ("definitions", "definitions are imported from files in this version"),
    ("anonymous_login", _INTERNAL),
    ("default_users", "the first boot makes one user; others are added with mqctl add_user"),
    (
        "cluster_partition_handling",
        "who has no majority makes no durable change: nothing is to be healed",
    ),
    ("cluster_formation", _DISCOVERY),
    ("cluster_keepalive", _SILENCE),
    ("cluster_", "mqd has no such limit in this version"),
    ("net_ticktime", _SILENCE),
    ("distribution.listener.port_range", "RABBITMQ_DIST_PORT is the port for other nodes"),
    ("inet_default_connect_options", "mqd sets the options of its own connections"),
    ("mirroring", "mirrored queues are in the logs of quorum queues"),
    ("mnesia", "mqd's metadata is in its own store"),
    ("queue_master_locator", _PLACED),
    ("queue_leader_locator", _PLACED),
    ("raft", _RAFT),
    ("quorum_queue", _RAFT),
    ("classic_queue", "mqd has one form of classic queue"),
    ("queue_index", _STORE),
    ("message_store", "mqd stops as soon as everything is written"),
    ("vm_memory_calculation", "memory is always the resident set of the process"),
    ("background_gc", _ERLANG),
    ("hipe", _ERLANG),
    ("erlang.K", "mqd always waits with epoll"),
    ("sysmon", _ERLANG),
    ("socket_writer", _ERLANG),
    ("delegate", _ERLANG),
    ("default_worker_pool_size", _ERLANG),
    ("collect_statistics", "figures are counted as they are asked for"),
    ("reverse_dns", "connections are shown by address"),
    ("proxy_protocol", "mqd does not read the PROXY protocol in this version"),
    ("initial_frame_max", "mqd takes 4096 bytes before the limits are agreed on"),
    ("vhost_restart", "a vhost that cannot be opened stops the node"),
    ("motd_file", "there is no message of the day"),
    ("log.exchange", "lines have RabbitMQ's plain form"),
    ("log.syslog", _NO_TARGET),
    ("log.journald", "the journal is given priority, identifier and message"),
    ("log.file.rotation", "logrotate rotates the log"),
    ("log.console", "lines have RabbitMQ's plain form without colours"),
    ("log", "all categories are in one log, in RabbitMQ's plain form"),
    ("tcp_listen_options", _BUFFERS),
    ("mqtt.", _NO_PLUGIN),
    ("stomp.", _NO_PLUGIN),
    ("stream.", _NO_PLUGIN),
    ("metadata_store", "mqd's metadata is in its own store"),
    ("exchange_types", "mqd always has the types of RabbitMQ 3.10"),
    ("queue_types", "mqd always has the types of RabbitMQ 3.10"),
    ("deprecated_features", "mqd has all features of RabbitMQ 3.10"),
)
_AREAS = {
    "AMQP 1.0": _NO_PLUGIN,
    "authentication cache": _INTERNAL,
    "peer discovery": _DISCOVERY,
    "trust store": _NO_TLS,
    "web sockets": _NO_PLUGIN,
    "HTTP authentication": _INTERNAL,
    "LDAP": _INTERNAL,
    "OAuth 2": _INTERNAL,
    "MQTT": _NO_PLUGIN,
    "STOMP": _NO_PLUGIN,
    "Prometheus": _NO_PLUGIN,
    "management": "the management API has no such setting in this version",
    "stream protocol": _NO_PLUGIN,
    "TLS": _NO_TLS,
    "sockets": _BUFFERS,
    "RabbitMQ 4": "of RabbitMQ 4; mqd does as RabbitMQ 3.10",
}


def reason(name: str, area: str) -> str:
    """Of a key in an area of `accepted`."""
    if area in ("broker", "log", "RabbitMQ 4", "sockets"):
        for prefix, why in _REASONS:
            if name.startswith(prefix):
                return why
    return _AREAS[area]
