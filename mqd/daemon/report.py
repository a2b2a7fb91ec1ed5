"""What the daemon prints about itself: banner, `--check`, first lines of the log, help.

Decides texts. Scripts look for some of them, so those are RabbitMQ's ("Starting broker...",
"node           :"). Never reads a file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

from mqd.config.load import Configuration
from mqd.config.values import Value
from mqd.config.variables import VARIABLES, Variables
from mqd.daemon.logs import Outputs
from mqd.daemon.paths import NodePaths
from mqd.plugins import catalogue, table

USAGE = """\
Usage: mqd [option]

Runs an AMQP 0-9-1 broker in the foreground until SIGTERM or Ctrl-C.

  -detached   start in the background; returns when the broker answers
  --check     check the configuration, print every effective value with its origin
  --version   print the version
  --help      print this

RABBITMQ_NODENAME, RABBITMQ_NODE_PORT, RABBITMQ_CONFIG_FILE and the like are honoured;
mqd(8) lists them. Administration: mqctl(8).
"""


def checked(config: Configuration, variables: Variables, paths: NodePaths) -> Iterable[str]:
    """The lines of `mqd --check`: the effective configuration in its own syntax."""
    yield f"# node {paths.node}"
    yield f"# data directory {paths.data}"
    for path in config.files:
        yield f"# read {path}"
    for path in variables.files:
        yield f"# read {path}"
    for warning in warnings(variables, paths):
        yield f"# warning: {warning}"
    for name in sorted(VARIABLES):
        if (found := variables.get(name)) is not None:
            secret = name in ("DEFAULT_PASS", "ERLANG_COOKIE")
            yield f"# {name} = {'********' if secret else found.value}  ({found.origin})"
    rows = [
        (f"{row.name} = {_shown(row.name, row.value)}", _origin(row.origin, row.key.works))
        for row in config.effective()
    ]
    width = min(max((len(text) for text, _ in rows), default=0), 60)
    for text, origin in rows:
        yield f"{text:<{width}}  # {origin}"


def plugin_lines(names: Iterable[str], paths: NodePaths) -> Iterable[str]:
    """More lines of `mqd --check`: what of the enabled_plugins file will run."""
    names = [name for name in names if name not in table.LIBRARIES]
    plugins = catalogue.known(names, paths.plugin_folders)
    troubles: dict[str, str] = {}
    running = catalogue.start(names, troubles.__setitem__, plugins, paths.plugin_folders)
    for name in running.names:
        yield f"# plugin {name}"
    for name, reason in troubles.items():
        yield f"# warning: plugin '{name}' is not started: {reason}"
    for name in names:
        if name not in plugins:
            yield f"# warning: {unknown_plugin(paths.enabled_plugins, name)}"


def unknown_plugin(path: Path, name: str) -> str:
    """What to say of a name in the file that is no plugin of mqd."""
    return f"{path}: plugin '{name}' is not started: {table.advice(name)}"


def _shown(name: str, value: Value) -> str:
    if name.endswith(("_pass", ".password", "passcode")):
        return "********"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _origin(origin: str, works: bool) -> str:
    return origin if works else f"{origin} (accepted, no effect in this version)"


def warnings(variables: Variables, paths: NodePaths) -> list[str]:
    """What was given and is not used."""
    found = list(variables.warnings)
    if paths.ignored_config is not None:
        found.append(
            f"{paths.ignored_config}: Erlang terms are not read by this version; write "
            f"{paths.ignored_config.with_suffix('.conf').name} with 'key = value' lines"
        )
    return found


def banner(version: str, paths: NodePaths, logs: Outputs, config: Configuration) -> str:
    """What standard output shows at the start."""
    files = "\n                  ".join(config.files) or "(none)"
    names = "\n                  ".join(logs.names) or "(none)"
    return (
        f"\n  mqd {version}, an AMQP 0-9-1 broker compatible with RabbitMQ 3.10.8\n\n"
        f"  Node:           {paths.node}\n"
        f"  Logs:           {names}\n"
        f"  Config file(s): {files}\n"
        f"  Data directory: {paths.data}\n\n"
        f"  Starting broker..."
    )


def cookie_hash(cookie: str) -> str:
    """As RabbitMQ logs it: enough to compare two nodes, too little to be one of them."""
    return base64.b64encode(hashlib.md5(cookie.encode()).digest()).decode()  # noqa: S324


def log_header(paths: NodePaths, logs: Outputs, config: Configuration, cookie: str) -> str:
    """RabbitMQ's block at the top of each run in the log."""
    files = "\n                  ".join(config.files) or "(none)"
    names = "\n                  ".join(logs.names) or "(none)"
    return (
        f"\n node           : {paths.node}"
        f"\n home dir       : {paths.cookie.parent}"
        f"\n config file(s) : {files}"
        f"\n cookie hash    : {cookie_hash(cookie)}"
        f"\n log(s)         : {names}"
        f"\n database dir   : {paths.data}"
    )
