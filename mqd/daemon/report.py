"""What the daemon prints about itself: banner, `--check`, first lines of the log, help.

Decides texts. Scripts look for some of them, so those are RabbitMQ's ("Starting broker...",
"node           :"). Never reads a file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

from mqd.config.env_file import UNCHANGED
from mqd.config.load import Configuration
from mqd.config.notes import Note
from mqd.config.values import Value
from mqd.config.variables import NO_EFFECT, VARIABLES, Variables
from mqd.daemon.logs import Outputs
from mqd.daemon.paths import NodePaths
from mqd.plugins import catalogue, table

HIDDEN = "********"
SECRETS = ("_pass", ".password", "passcode", "passphrase", "secret", "_secret_key", "acl_token")

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
    for file in config.files:
        yield f"# read {file}"
    for file in variables.files:
        yield f"# read {file}"
    for warning in warnings(variables, paths):
        yield "# warning: " + warning.replace("\n", "\n#   ")
    for name in sorted(VARIABLES):
        if (found := variables.get(name)) is not None:
            secret = name in ("DEFAULT_PASS", "ERLANG_COOKIE")
            yield f"# {name} = {HIDDEN if secret else found.value}  ({found.origin})"
    for name, (soft, hard, origin) in variables.limits.items():
        shown = ", ".join(f"{k} {v}" for k, v in (("soft", soft), ("hard", hard)) if v != UNCHANGED)
        yield f"# limit of {name}: {shown}  ({origin})"
    if config.threads is not None:
        yield f"# threads for work that waits: {config.threads}"
    rows = [
        (f"{row.name} = {shown_value(row.name, row.value)}", row.origin)
        for row in config.effective()
        if row.key.works
    ]
    width = min(max((len(text) for text, _ in rows), default=0), 60)
    for text, origin in rows:
        yield f"{text:<{width}}  # {origin}"
    notes = list(without_effect(config, variables))
    if notes:
        yield "# without effect:"
    for note in notes:
        row = config.set.get(note.what)
        said = f"{note.what} = {shown_value(row.name, row.value)}" if row else note.what
        yield f"# {said}  # {note.origin}: {note.reason}"


def without_effect(config: Configuration, variables: Variables) -> Iterable[Note]:
    """Everything that was given and changes nothing, with the reason."""
    yield from config.without_effect()
    for name, reason in NO_EFFECT.items():
        if (found := variables.get(name)) is not None:
            yield Note(f"RABBITMQ_{name}", reason, found.origin)
    for name, found in variables.unknown():
        near = variables.nearest(name)
        hint = f"; did you mean RABBITMQ_{near}?" if near else ""
        yield Note(f"RABBITMQ_{name}", f"no variable of mqd or RabbitMQ{hint}", found.origin)


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


def shown_value(name: str, value: Value) -> str:
    """As it is written in rabbitmq.conf; secrets are not shown."""
    if name.endswith(SECRETS):
        return HIDDEN
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def warnings(variables: Variables, paths: NodePaths) -> list[str]:
    """What was given and is not used."""
    found = list(variables.warnings)
    if paths.ignored_config is not None:
        conf = paths.ignored_config.with_suffix(".conf")
        found.append(f"{paths.ignored_config} is not read: {conf} is there, which wins")
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
