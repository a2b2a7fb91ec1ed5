"""The environment variables that RabbitMQ's scripts and server read, and rabbitmq-env.conf.

Decides which variables are known, that MQD_X stands above RABBITMQ_X and both above the file, and
that names in the file may have the prefix or not. `env_file` reads the file. What a variable is
used for is decided by whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mqd.config.env_file import read

PREFIXES = ("MQD_", "RABBITMQ_")

# name without prefix: meaning
VARIABLES: Mapping[str, str] = {
    "ADVANCED_CONFIG_FILE": "File of Erlang terms that stands above the others",
    "CONF_ENV_FILE": "Path of rabbitmq-env.conf",
    "CONFIG_FILE": "Main configuration file, with or without .conf or .config",
    "CONFIG_FILES": "Folder (or pattern) of further configuration files, read in order of name",
    "DEFAULT_PASS": "Password of the user made on the first boot",
    "DEFAULT_USER": "User made on the first boot",
    "DEFAULT_VHOST": "Vhost made on the first boot",
    "DIST_PORT": "Port for other nodes; default the AMQP port + 20000",
    "ENABLED_PLUGINS_FILE": "File that lists the enabled plugins",
    "ERLANG_COOKIE": "The shared secret, instead of the file; better use the file",
    "IO_THREAD_POOL_SIZE": "Threads for work that waits, as +A in SERVER_ERL_ARGS",
    "KEEP_PID_FILE_ON_EXIT": "true: leave the pid file when the node ends",
    "LOGS": "Path of the log file; - is standard output, -stderr standard error",
    "LOG": "Levels: a level, or category=level with commas between",
    "LOG_BASE": "Folder of log files",
    "MNESIA_BASE": "Folder that holds the data folders of nodes",
    "MNESIA_DIR": "Data folder of this node; default MNESIA_BASE/NODENAME",
    "NODENAME": "Name of this node, name@host or name alone; default rabbit@<host name>",
    "NODE_IP_ADDRESS": "Address for AMQP clients when the configuration has no listener",
    "NODE_PORT": "Port for AMQP clients when the configuration has no listener; default 5672",
    "PID_FILE": "File that holds the process id; default MNESIA_DIR.pid",
    "PLUGINS_DIR": "Folders of other people's plugins (pip install --target), with : between",
    "PLUGINS_EXPAND_DIR": "Named by mq-plugins directories; nothing is unpacked there",
    "PRODUCT_NAME": "Product name told to clients when the configuration has none",
    "PRODUCT_VERSION": "Product version told to clients when the configuration has none",
    "RUN_DIR": "Folder of the control sockets (only as MQD_RUN_DIR)",
    "SERVER_ADDITIONAL_ERL_ARGS": "As SERVER_ERL_ARGS, read after it",
    "SERVER_ERL_ARGS": "Flags of the Erlang runtime: those with a counterpart are taken",
    "SERVER_START_ARGS": "As SERVER_ERL_ARGS, read last",
    "USE_LONGNAME": "true: the host part of the node name is the full host name",
}

_NO_ERLANG = "there is no Erlang runtime"
_OWN_LAYOUT = "mqd keeps everything of a node in MNESIA_DIR"
_TOOLS = "read by the command line tools"
# name without prefix: why it changes nothing
NO_EFFECT: Mapping[str, str] = {
    "ALLOW_INPUT": _NO_ERLANG,
    "BASE": "of Windows",
    "BOOT_MODULE": _NO_ERLANG,
    "CLI_ALIASES_FILE": _TOOLS,
    "CTL_ERL_ARGS": _NO_ERLANG,
    "DBG": _NO_ERLANG,
    "DISTRIBUTION_BUFFER_SIZE": _NO_ERLANG,
    "ENABLED_PLUGINS": "plugins are those of ENABLED_PLUGINS_FILE",
    "ENV_LOADED": "the environment file is read once, by the daemon",
    "FEATURE_FLAGS": "every feature flag is enabled on the first boot",
    "FEATURE_FLAGS_FILE": _OWN_LAYOUT,
    "HOME": "mqd has no installation folder of its own",
    "IGNORE_SIGINT": "SIGINT ends the node as SIGTERM does",
    "MAX_NUMBER_OF_ATOMS": _NO_ERLANG,
    "MAX_NUMBER_OF_PROCESSES": _NO_ERLANG,
    "MOTD_FILE": "there is no message of the day",
    "NODE_ONLY": _NO_ERLANG,
    "QUORUM_DIR": _OWN_LAYOUT,
    "SCHEDULER_BIND_TYPE": _NO_ERLANG,
    "SCRIPTS_DIR": "mqd has no scripts",
    "SERVER_CODE_PATH": _NO_ERLANG,
    "STREAM_DIR": _OWN_LAYOUT,
    "UPGRADE_LOG": "there is one log",
}


@dataclass(frozen=True, slots=True)
class Variable:
    """A value and where it was found: RABBITMQ_NODE_PORT, or file:line."""

    value: str
    origin: str

    @property
    def is_own(self) -> bool:
        """Set as MQD_X: then it stands above the configuration files as well."""
        return self.origin.startswith("MQD_")


class Variables:
    """The variables of one node."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._file: dict[str, Variable] = {}
        self._prefixed: set[str] = set()
        self.warnings: list[str] = []
        self.files: list[str] = []
        # name as the kernel has it -> soft, hard (env_file.UNLIMITED, UNCHANGED), where it is set
        self.limits: dict[str, tuple[int, int, str]] = {}

    def get(self, name: str) -> Variable | None:
        """Look up NODE_PORT and the like. An empty value counts as none, as in the scripts."""
        for prefixed in (f"MQD_{name}", f"RABBITMQ_{name}"):
            if value := self._environ.get(prefixed):
                return Variable(value, prefixed)
        return self._file.get(name)

    def of_process(self, name: str) -> str | None:
        """Any variable of the process itself, or of the file, by its full name."""
        if (value := self._environ.get(name)) is not None:
            return value
        found = self._file.get(name)
        return found.value if found else None

    def text(self, name: str) -> str:
        """The value alone, empty when there is none."""
        found = self.get(name)
        return found.value if found else ""

    def is_true(self, name: str) -> bool:
        return self.text(name).lower() in ("true", "1", "yes", "on")

    def unknown(self) -> Iterator[tuple[str, Variable]]:
        """Those of the file and of the process that bear the prefix and that nobody knows."""
        given = {name: Variable(value, name) for name, value in self._environ.items()}
        found = {n.partition("_")[2]: v for n, v in given.items() if n.startswith(PREFIXES)}
        found |= {n: v for n, v in self._file.items() if n in self._prefixed}
        yield from (
            (n, v) for n, v in sorted(found.items()) if n not in VARIABLES and n not in NO_EFFECT
        )

    def nearest(self, name: str) -> str | None:
        """The known name that looks most like an unknown one."""
        import difflib  # only on the way to a warning

        found = difflib.get_close_matches(name, VARIABLES, 1, 0.7)
        return found[0] if found else None

    def add_file(self, path: Path) -> None:
        """Take what a rabbitmq-env.conf sets. Raises ConfigError with file and line."""
        found = read(path, self._environ)
        self.files.append(str(path))
        self.warnings += found.warnings
        self.limits = {n: (*pair, str(path)) for n, pair in found.limits.items()}
        plain = {name: pair for name, pair in found.variables.items() if pair[0]}
        for prefixed in (False, True):  # with the prefix wins
            for name, (value, line) in plain.items():
                if name.startswith(PREFIXES) == prefixed:
                    short = name.partition("_")[2] if prefixed else name
                    self._file[short] = Variable(value, f"{path}:{line}")
                    if prefixed:
                        self._prefixed.add(short)
