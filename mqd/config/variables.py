"""The environment variables that RabbitMQ's scripts and server read, and rabbitmq-env.conf.

Decides which variables are known, that MQD_X stands above RABBITMQ_X and both above the file, and
how the file's simple form is read: NAME=value lines, with or without the prefix. Never runs the
file as a shell would. What a variable is used for is decided by whoever asks for it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

# name without prefix: meaning
VARIABLES: Mapping[str, str] = {
    "CONF_ENV_FILE": "Path of rabbitmq-env.conf",
    "CONFIG_FILE": "Main configuration file, with or without .conf",
    "CONFIG_FILES": "Folder (or pattern) of further configuration files, read in order of name",
    "DEFAULT_PASS": "Password of the user made on the first boot",
    "DEFAULT_USER": "User made on the first boot",
    "DEFAULT_VHOST": "Vhost made on the first boot",
    "DIST_PORT": "Port for other nodes; default the AMQP port + 20000",
    "ENABLED_PLUGINS_FILE": "File that lists the enabled plugins",
    "ERLANG_COOKIE": "The shared secret, instead of the file; better use the file",
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
    "RUN_DIR": "Folder of the control sockets (only as MQD_RUN_DIR)",
    "PLUGINS_DIR": "Folders of other people's plugins (pip install --target), with : between",
    "PLUGINS_EXPAND_DIR": "Named by mq-plugins directories; nothing is unpacked there",
    "USE_LONGNAME": "true: the host part of the node name is the full host name",
}

_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


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
        self.warnings: list[str] = []
        self.files: list[str] = []

    def get(self, name: str) -> Variable | None:
        """Look up NODE_PORT and the like. An empty value counts as none, as in the scripts."""
        for prefixed in (f"MQD_{name}", f"RABBITMQ_{name}"):
            if value := self._environ.get(prefixed):
                return Variable(value, prefixed)
        return self._file.get(name)

    def of_process(self, name: str) -> str | None:
        """Any variable of the process itself, by its full name."""
        return self._environ.get(name)

    def text(self, name: str) -> str:
        """The value alone, empty when there is none."""
        found = self.get(name)
        return found.value if found else ""

    def is_true(self, name: str) -> bool:
        return self.text(name).lower() in ("true", "1", "yes", "on")

    def add_file(self, text: str, path: str) -> None:
        """Take the assignments of a rabbitmq-env.conf. Lines that are no assignment are named
        in `warnings` and change nothing."""
        self.files.append(path)
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            origin = f"{path}:{number}"
            found = _ASSIGNMENT.fullmatch(line)
            value = _unquoted(found[2]) if found else None
            if found is None or value is None:
                self.warnings.append(f"{origin}: ignored, not a single NAME=value: {line}")
                continue
            self._file[found[1].removeprefix("RABBITMQ_")] = Variable(value, origin)


def _unquoted(text: str) -> str | None:
    """One shell word, or None when there are more of them or a quote is left open."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return None
    if len(words) > 1 or "$" in text or "`" in text:
        return None
    return words[0] if words else ""
