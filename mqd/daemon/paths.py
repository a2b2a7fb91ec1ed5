"""Where a node keeps its things.

Decides the node's name and every path from the variables, then from what the machine gives:
systemd's *_DIRECTORY, the system's folders for root and for the owner of /var/lib/mqd, the user's
own folders for everybody else. Never creates anything.

The system's data folder is /var/lib/mqd and not /var/lib/rabbitmq: the two programs cannot read
each other's data, and `reset` empties the folder. Runbooks that name the old paths still work:
the packaged tmpfiles.d makes /var/lib/rabbitmq and /var/log/rabbitmq links to the new ones where
RabbitMQ is not installed. The configuration is the same for both and is read in /etc/rabbitmq,
then /etc/mqd/mqd.conf.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mqd.config.parse import ConfigError
from mqd.config.variables import Variables
from mqd.names import NodeName
from mqd.rpc.socket_path import socket_path

METADATA_FILE = "metadata.db"  # in the data folder
SYSTEM_DATA = Path("/var/lib/mqd")
SYSTEM_LOG = Path("/var/log/mqd")
SYSTEM_CONFIG = Path("/etc/rabbitmq")
OWN_CONFIG = Path("/etc/mqd/mqd.conf")
SYSTEM_PLUGINS = Path("/usr/lib/mqd/plugins")


@dataclass(frozen=True, slots=True)
class Bases:
    """The folders that depend on who runs the node."""

    data: Path
    log: Path
    config: Path
    own_config: Path
    plugins: Path


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Everything with a place on disc."""

    node: NodeName
    data: Path
    log_base: Path
    config_files: tuple[Path, ...]
    ignored_config: Path | None  # a classic file beside a rabbitmq.conf, which wins
    enabled_plugins: Path
    plugin_folders: tuple[Path, ...]  # of other people's plugins
    plugins_expand: Path  # named to those who ask, and not used
    pid_file: Path
    keep_pid_file: bool
    cookie: Path
    control_socket: Path


def bases(environ: Mapping[str, str], uid: int) -> Bases:
    """Folders of the system or of the user."""
    if uid == 0 or "STATE_DIRECTORY" in environ or _owns(SYSTEM_DATA, uid):
        return Bases(
            data=Path(environ.get("STATE_DIRECTORY", SYSTEM_DATA)),
            log=Path(environ.get("LOGS_DIRECTORY", SYSTEM_LOG)),
            config=SYSTEM_CONFIG,
            own_config=OWN_CONFIG,
            plugins=SYSTEM_PLUGINS,
        )
    import platformdirs  # 5 ms that the other case need not pay

    config = Path(platformdirs.user_config_dir("mqd"))
    data = Path(platformdirs.user_data_dir("mqd"))
    return Bases(
        data=data,
        log=Path(platformdirs.user_log_dir("mqd")),
        config=config,
        own_config=config / "mqd.conf",
        plugins=data / "plugins",
    )


def _owns(path: Path, uid: int) -> bool:
    try:
        return path.stat().st_uid == uid
    except OSError:
        return False


def environment_file(variables: Variables, base: Bases) -> Path:
    """rabbitmq-env.conf, which may set any of the other variables."""
    named = variables.text("CONF_ENV_FILE")
    return Path(named) if named else base.config / "rabbitmq-env.conf"


def node_name(variables: Variables, hostname: str) -> NodeName:
    """RABBITMQ_NODENAME, completed: rabbit on this host. Raises ConfigError for a bad one."""
    given = variables.get("NODENAME")
    name, at, host = (given.value if given else "rabbit").partition("@")
    if not at:
        host = hostname if variables.is_true("USE_LONGNAME") else hostname.partition(".")[0]
    full = f"{name}@{host}"
    if not name or not host or "@" in host or any(c.isspace() or c == "/" for c in full):
        assert given is not None
        raise ConfigError([f"{given.origin}: '{given.value}' is no node name: write name@host"])
    return NodeName(full)


def resolve(variables: Variables, base: Bases, environ: Mapping[str, str]) -> NodePaths:
    """All paths of the node that the variables describe."""
    node = node_name(variables, socket.gethostname())
    parent = Path(variables.text("MNESIA_BASE") or base.data / "mnesia")
    data = Path(variables.text("MNESIA_DIR") or parent / node).absolute()
    files, ignored = _config_files(variables, base)
    pid_file = variables.text("PID_FILE")
    plugins = variables.text("ENABLED_PLUGINS_FILE")
    folders = variables.text("PLUGINS_DIR") or str(base.plugins)
    expand = variables.text("PLUGINS_EXPAND_DIR") or parent / f"{node}-plugins-expand"
    return NodePaths(
        node=node,
        data=data,
        log_base=Path(variables.text("LOG_BASE") or base.log).absolute(),
        config_files=files,
        ignored_config=ignored,
        enabled_plugins=Path(plugins or base.config / "enabled_plugins").absolute(),
        plugin_folders=tuple(Path(each).absolute() for each in folders.split(":") if each),
        plugins_expand=Path(expand).absolute(),
        pid_file=Path(pid_file).absolute() if pid_file else data.with_name(data.name + ".pid"),
        keep_pid_file=variables.is_true("KEEP_PID_FILE_ON_EXIT"),
        cookie=_home(environ) / ".erlang.cookie",
        control_socket=Path(socket_path(node, dict(environ))),
    )


def _home(environ: Mapping[str, str]) -> Path:
    if home := environ.get("HOME"):
        return Path(home)
    return Path("~").expanduser()


def _config_files(variables: Variables, base: Bases) -> tuple[tuple[Path, ...], Path | None]:
    """The files that exist, in the order they are read, later ones winning."""
    given = variables.text("CONFIG_FILE")
    main = Path(given) if given else base.config / "rabbitmq"
    stem = main.with_suffix("") if main.suffix in (".conf", ".config") else main
    conf, classic = stem.with_name(stem.name + ".conf"), stem.with_name(stem.name + ".config")
    if main.suffix == ".config" and classic.is_file():
        conf = classic  # named as it is, it is the one
    files = [conf] if conf != classic and conf.is_file() else []
    files += _further(variables.text("CONFIG_FILES") or str(base.config / "conf.d"))
    if not given and base.own_config.is_file():
        files.append(base.own_config)
    there = classic.is_file()
    ignored = classic if there and conf != classic and conf.is_file() else None
    if there and ignored is None:
        files.append(classic)
    advanced = _advanced(variables, base)
    if advanced.is_file():
        files.append(advanced)
    return tuple(path.absolute() for path in files), ignored


def _advanced(variables: Variables, base: Bases) -> Path:
    """Its name may lack the suffix."""
    path = Path(variables.text("ADVANCED_CONFIG_FILE") or base.config / "advanced.config")
    return path if path.suffix == ".config" else path.with_name(path.name + ".config")


def _further(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return sorted(path.glob("*.conf"))
    if any(c in pattern for c in "*?["):
        return sorted(path.parent.glob(path.name))
    return [path] if path.is_file() else []


def apply_environment_file(variables: Variables, base: Bases) -> None:
    """Read rabbitmq-env.conf where there is one. Raises ConfigError when it cannot be read."""
    path = environment_file(variables, base)
    try:
        there = path.is_file()
    except OSError:
        there = True  # reading it says what is wrong
    if there:
        variables.add_file(path)
