"""Where a node that does not answer has its files: variables, rabbitmq-env.conf, the usual folders.

Decides as the daemon does (`mqd.daemon.paths`, which a tool must not import; a test holds the two
together). Never makes a file.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqd.config.variables import Variables

SYSTEM_DATA = "/var/lib/mqd"
SYSTEM_CONFIG = "/etc/rabbitmq"
SYSTEM_PLUGINS = "/usr/lib/mqd/plugins"


def given(name: str) -> str:
    """A variable of the environment, MQD_X before RABBITMQ_X; empty when it is not set."""
    return os.environ.get(f"MQD_{name}") or os.environ.get(f"RABBITMQ_{name}") or ""


def variable(name: str) -> str:
    """The same, or what rabbitmq-env.conf says."""
    found = given(name)
    if found:
        return found
    path = given("CONF_ENV_FILE") or os.path.join(config_folder(), "rabbitmq-env.conf")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return ""
    # running it costs more than the rest of a call: only for what it can have
    return _file_variables(path).text(name) if name.encode() in text or _reads_others(text) else ""


def _reads_others(text: bytes) -> bool:
    """Whether the script takes in another one."""
    lines = (line.strip() for line in text.splitlines())
    return any(line.startswith((b". ", b"source ")) for line in lines)


@cache
def _file_variables(path: str) -> Variables:
    """A file that is wrong says nothing here; the daemon says what is wrong with it."""
    from pathlib import Path

    from mqd.config.parse import ConfigError
    from mqd.config.variables import Variables

    variables = Variables(os.environ)
    with contextlib.suppress(ConfigError):
        variables.add_file(Path(path))
    return variables


def config_folder() -> str:
    """Of the system's node, or of the user's own."""
    return SYSTEM_CONFIG if _is_system() else _own("XDG_CONFIG_HOME", ".config")


def data_folder() -> str:
    """The same for what a node keeps."""
    return SYSTEM_DATA if _is_system() else _own("XDG_DATA_HOME", ".local/share")


def plugin_folders() -> str:
    """Folders of other people's plugins, with : between."""
    usual = SYSTEM_PLUGINS if _is_system() else os.path.join(data_folder(), "plugins")
    return variable("PLUGINS_DIR") or usual


def enabled_plugins_file() -> str:
    """Absolute path."""
    usual = os.path.join(config_folder(), "enabled_plugins")
    return os.path.abspath(variable("ENABLED_PLUGINS_FILE") or usual)


def plugins_expand_folder(node: str) -> str:
    """Absolute path."""
    parent = variable("MNESIA_BASE") or os.path.join(data_folder(), "mnesia")
    usual = os.path.join(parent, f"{node}-plugins-expand")
    return os.path.abspath(variable("PLUGINS_EXPAND_DIR") or usual)


def _is_system() -> bool:
    uid = os.geteuid()
    if uid == 0:
        return True
    try:
        return os.stat(SYSTEM_DATA).st_uid == uid
    except OSError:
        return False


def _own(variable: str, usual: str) -> str:
    home = os.environ.get("HOME") or os.path.expanduser("~")
    return os.path.join(os.environ.get(variable) or os.path.join(home, usual), "mqd")
