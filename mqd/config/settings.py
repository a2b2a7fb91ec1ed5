"""The values that the daemon's objects are given, read off the effective configuration.

Decides what a set of keys means together: which addresses are listened on, who is confined to
the loopback, where the log goes at which level. Frozen: nobody reads a configuration later.
`node_settings` is the only reader of `Configuration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mqd.config.keys import CATEGORIES
from mqd.config.load import MECHANISMS, Configuration
from mqd.config.management import ManagementSettings, management_settings
from mqd.config.socket_options import NAMED, OptionList, SocketOption, linger
from mqd.config.values import Address, Value
from mqd.limits import SHARDS, SHARDS_MAX


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """For the listening socket and those accepted from it, in the order they are set."""

    backlog: int = 1024
    options: tuple[SocketOption, ...] = ()


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """One to one the keys of a connection; 0 is no limit."""

    heartbeat_s: int
    frame_bytes_max: int
    channel_max: int
    connection_max: int
    handshake_timeout_ms: int
    message_bytes_max: int
    consumer_timeout_ms: int
    auth_mechanisms: tuple[str, ...]
    product: str
    product_version: str


@dataclass(frozen=True, slots=True)
class FirstBoot:
    """What an empty node starts with."""

    vhost: str = "/"
    user: str = "guest"
    password: str = "guest"  # noqa: S105  (RabbitMQ's documented default)
    tags: tuple[str, ...] = ("administrator",)
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """One to one the keys of passwords."""

    validator: str
    min_length: int
    regexp: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class DefinitionsSettings:
    """What is imported at every start. path: a file or a folder; None: nothing."""

    path: str | None = None
    backend: str = "local_filesystem"
    skips_unchanged: bool = False
    hashing: str = "sha256"  # as hashlib calls it


@dataclass(frozen=True, slots=True)
class ResourceSettings:
    """Thresholds of the two alarms. A relative value is None where the absolute one counts."""

    memory_relative: float | None = 0.4
    memory_absolute_bytes: int = 0
    memory_total_bytes: int = 0  # 0: ask the machine
    memory_interval_ms: int = 2500
    paging_ratio: float = 0.5  # of the memory limit: what all backlogs together may have of it
    disk_relative: float | None = None
    disk_absolute_bytes: int = 50_000_000


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where log lines go and from which level on; None switches an output off."""

    directory: str | None = None
    file: str | None = None  # None: <node>.log
    file_level: str | None = "info"
    console_level: str | None = None
    console_stderr: bool = False
    journald_level: str | None = None
    exchange_level: str | None = None
    default_level: str = "info"
    categories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """retry_*: how long and how often others are waited for at a start. partition_handling: None
    when nothing was said. peers: named to be joined at the first start, as kind; hostname: whose
    addresses tell them (backend dns). discovery_*: how often and how soon again they are asked.
    nats_server: its path; "": of the package, or on PATH. shards: of quorum queues, at least."""

    retry_timeout_ms: int = 30_000
    retry_limit: int = 10
    partition_handling: str | None = None
    pause_unless: tuple[str, ...] = ()
    pause_recover: str = "ignore"
    peers: tuple[str, ...] = ()
    kind: str = "disc"
    hostname: str | None = None
    discovery_limit: int = 10
    discovery_interval_ms: int = 500
    nats_server: str = ""
    shards: int = SHARDS


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Everything the configuration says to this version."""

    listeners: tuple[Address, ...]
    sockets: SocketOptions
    amqp: AmqpSettings
    first_boot: FirstBoot
    credentials: CredentialSettings
    definitions: DefinitionsSettings
    loopback_users: frozenset[str]
    resources: ResourceSettings
    log: LogSettings
    cluster_name: str | None
    events_vhost: str
    distribution_interface: str | None  # None: all addresses
    cluster: ClusterSettings = ClusterSettings()
    management: ManagementSettings = field(default_factory=ManagementSettings)


def node_settings(config: Configuration) -> NodeSettings:
    """All of it."""
    return NodeSettings(
        listeners=_listeners(config),
        sockets=_sockets(config),
        amqp=_amqp(config),
        first_boot=_first_boot(config),
        credentials=_credentials(config),
        definitions=_definitions(config),
        loopback_users=_loopback_users(config),
        resources=_resources(config),
        log=_log(config),
        cluster_name=_text(config["cluster_name"]),
        events_vhost=_text(config["event_exchange.vhost"]) or str(config["default_vhost"]),
        distribution_interface=_text(config["distribution.listener.interface"]),
        cluster=_cluster(config),
        management=management_settings(config),
    )


def _cluster(config: Configuration) -> ClusterSettings:
    plain = ClusterSettings()

    def number(name: str, default: int) -> int:
        value = config[name]
        return value if isinstance(value, int) else default

    formation = "cluster_formation."
    backend = str(config[formation + "peer_discovery_backend"] or "")
    named = config.family(formation + "classic_config.nodes.$node")
    pause = "cluster_partition_handling.pause_if_all_down."
    return ClusterSettings(
        retry_timeout_ms=number("mnesia_table_loading_retry_timeout", plain.retry_timeout_ms),
        retry_limit=number("mnesia_table_loading_retry_limit", plain.retry_limit),
        partition_handling=_text(config["cluster_partition_handling"]),
        pause_unless=tuple(map(str, config.family(pause + "nodes.$name").values())),
        pause_recover=_text(config[pause + "recover"]) or plain.pause_recover,
        peers=tuple(map(str, named.values())),
        kind="ram" if config[formation + "node_type"] == "ram" else "disc",
        hostname=_text(config[formation + "dns.hostname"]) if "dns" in backend else None,
        discovery_limit=number(formation + "discovery_retry_limit", plain.discovery_limit),
        discovery_interval_ms=number(
            formation + "discovery_retry_interval", plain.discovery_interval_ms
        ),
        nats_server=_text(config["cluster.nats_server"]) or "",
        shards=min(max(number("cluster.shards", plain.shards), 1), SHARDS_MAX),
    )


def _text(value: Value) -> str | None:
    return None if value is None else str(value)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _fraction(value: Value) -> float | None:
    assert value is None or isinstance(value, int | float)
    return value


def _listeners(config: Configuration) -> tuple[Address, ...]:
    named = config.family("listeners.tcp.$name")
    if named:
        return tuple(value for value in named.values() if isinstance(value, Address))
    return () if config.is_set("listeners.tcp") else (Address("", 5672),)


def _sockets(config: Configuration) -> SocketOptions:
    """What is named stands above what the runtime's own defaults say."""
    found: list[SocketOption] = []
    beneath = config["inet_default_listen_options"]
    if isinstance(beneath, OptionList):
        found += beneath.options
    prefix = "tcp_listen_options."
    for name, (level, option, _) in NAMED.items():
        value = None if name == "linger" else config[prefix + name]
        if isinstance(value, int) and (config.is_set(prefix + name) or name == "nodelay"):
            found.append(SocketOption(level, option, int(value)))
    if config.is_set(prefix + "linger.on") or config.is_set(prefix + "linger.timeout"):
        seconds = _number(config[prefix + "linger.timeout"] or 0)
        found.append(linger(config[prefix + "linger.on"] is True, seconds))
    raw = config[prefix + "raw"]
    if isinstance(raw, OptionList):
        found += raw.options
    return SocketOptions(_number(config[prefix + "backlog"]), tuple(found))


def _amqp(config: Configuration) -> AmqpSettings:
    mechanisms = config.family("auth_mechanisms.$num")
    named = [str(mechanisms[number]) for number in sorted(mechanisms)]
    ordered = [name for name in named if name in MECHANISMS]
    return AmqpSettings(
        heartbeat_s=_number(config["heartbeat"]),
        frame_bytes_max=_number(config["frame_max"]),
        channel_max=_number(config["channel_max"]),
        connection_max=_number(config["connection_max"]),
        handshake_timeout_ms=_number(config["handshake_timeout"]),
        message_bytes_max=_number(config["max_message_size"]),
        consumer_timeout_ms=_number(config["consumer_timeout"]),
        auth_mechanisms=tuple(ordered) if named else MECHANISMS,
        product=_text(config["product.name"]) or "RabbitMQ",
        product_version=_text(config["product.version"]) or "3.10.8",
    )


def _first_boot(config: Configuration) -> FirstBoot:
    tags = config.family("default_user_tags.$tag")
    return FirstBoot(
        vhost=str(config["default_vhost"]),
        user=str(config["default_user"]),
        password=str(config["default_pass"]),
        tags=tuple(t for t, on in tags.items() if on) if tags else ("administrator",),
        configure=str(config["default_permissions.configure"]),
        write=str(config["default_permissions.write"]),
        read=str(config["default_permissions.read"]),
    )


def _credentials(config: Configuration) -> CredentialSettings:
    return CredentialSettings(
        validator=str(config["credential_validator.validation_backend"]),
        min_length=_number(config["credential_validator.min_length"] or 0),
        regexp=_text(config["credential_validator.regexp"]) or "",
        algorithm=str(config["password_hashing_module"]),
    )


def _definitions(config: Configuration) -> DefinitionsSettings:
    named = ("definitions.local.path", "load_definitions", "management.load_definitions")
    paths = [path for path in map(config.__getitem__, named) if path]
    hashing = str(config["definitions.hashing.algorithm"])
    return DefinitionsSettings(
        path=str(paths[0]) if paths else None,
        backend=str(config["definitions.import_backend"]),
        skips_unchanged=config["definitions.skip_if_unchanged"] is True,
        hashing="sha1" if hashing == "sha" else hashing,
    )


def _loopback_users(config: Configuration) -> frozenset[str]:
    """guest is confined unless lifted by name or by `loopback_users = none`."""
    if config.is_set("loopback_users"):
        return frozenset()
    named = {"guest": True} | config.family("loopback_users.$user")
    return frozenset(user for user, confined in named.items() if confined)


def _resources(config: Configuration) -> ResourceSettings:
    memory = _number(config["vm_memory_high_watermark.absolute"] or 0)
    relative = _fraction(config["vm_memory_high_watermark.relative"])
    return ResourceSettings(
        memory_relative=None if memory else relative,
        memory_absolute_bytes=memory,
        memory_total_bytes=_number(config["total_memory_available_override_value"] or 0),
        memory_interval_ms=_number(config["memory_monitor_interval"]),
        paging_ratio=_fraction(config["vm_memory_high_watermark_paging_ratio"]) or 0.0,
        disk_relative=_fraction(config["disk_free_limit.relative"]),
        disk_absolute_bytes=_number(config["disk_free_limit.absolute"]),
    )


def _log(config: Configuration) -> LogSettings:
    file = _text(config["log.file"])
    levels = {name: _text(config[f"log.{name}.level"]) for name in CATEGORIES}
    return LogSettings(
        directory=_text(config["log.dir"]),
        file=None if file in ("false", "true") else file,
        file_level=None if file == "false" else str(config["log.file.level"]),
        console_level=str(config["log.console.level"]) if config["log.console"] else None,
        console_stderr=config["log.console.stdio"] == "stderr",
        journald_level=str(config["log.journald.level"]) if config["log.journald"] else None,
        exchange_level=str(config["log.exchange.level"]) if config["log.exchange"] else None,
        default_level=str(config["log.default.level"]),
        categories={name: level for name, level in levels.items() if level is not None},
    )
