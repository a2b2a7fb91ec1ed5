"""All facts of a node that can be had without asking it, and what the process running adds.

Decides whose they are: a node that runs sees them with its own eyes (`mqd.admin.doctor`); for one
that is down, `python -m mqd.daemon.checkup` looks as the daemon would when it started. So the same
code reads the configuration, and a wrong one is told in the same words.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from mqd.config.parse import ConfigError
from mqd.config.settings import ResourceSettings
from mqd.config.variables import Variables
from mqd.daemon import machine, report
from mqd.daemon import paths as places
from mqd.daemon.checkup import certificates, files, ports, surroundings
from mqd.daemon.paths import NodePaths
from mqd.daemon.setup import Setup, read_setup
from mqd.plugins import catalogue, enabled, installed, table
from mqd.rpc.v1 import doctor_pb2 as pb


def gather(environ: Mapping[str, str], own_pid: int = 0) -> pb.Facts:
    """own_pid: of the node, where it is the one that looks."""
    uid = os.geteuid()
    facts = pb.Facts(uid=uid)
    setup: Setup | None = None
    try:
        setup = read_setup(environ)
        paths = setup.paths
    except ConfigError as error:
        facts.configuration.problems.extend(error.problems)
        found = _paths_alone(environ)
        if found is None:
            return facts
        paths = found
    if not own_pid:
        facts.uid = uid = _service_uid(paths, uid)
        facts.pid = running_pid(paths.pid_file)
    facts.node, facts.user = paths.node, files.user_name(uid)
    pid = own_pid or facts.pid
    _add_settings(facts, setup)
    _add_files(facts, paths, setup)
    _add_machine(facts, paths, setup, pid)
    facts.plugins.CopyFrom(plugins(paths))
    return facts


def _paths_alone(environ: Mapping[str, str]) -> NodePaths | None:
    """Where the files would be, though one of them is wrong."""
    try:
        variables = Variables(environ)
        base = places.bases(environ, os.geteuid())
        with contextlib.suppress(ConfigError):
            places.apply_environment_file(variables, base)
        return places.resolve(variables, base, environ)
    except ConfigError:
        return None


def _is_system(paths: NodePaths) -> bool:
    return places.SYSTEM_DATA in paths.data.parents


def _service_uid(paths: NodePaths, uid: int) -> int:
    """root looks for the user whose the system's folder is."""
    if uid == 0 and _is_system(paths):
        with contextlib.suppress(OSError):
            return places.SYSTEM_DATA.stat().st_uid
    return uid


def running_pid(pid_file: Path) -> int:
    """The process that the file names, if it lives and is of mqd; 0 otherwise."""
    try:
        pid = int(pid_file.read_text().split()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return 0
    return pid if b"mqd" in command else 0


def _add_settings(facts: pb.Facts, setup: Setup | None) -> None:
    if setup is None:
        return
    found = facts.configuration
    found.files.extend([*setup.configuration.files, *map(str, setup.variables.files)])
    found.warnings.extend(report.warnings(setup.variables, setup.paths))
    for note in report.without_effect(setup.configuration, setup.variables):
        found.notes.add(what=note.what, reason=note.reason, origin=note.origin)
    facts.certificates.extend(certificates.facts(setup.configuration.set.values()))


def _add_files(facts: pb.Facts, paths: NodePaths, setup: Setup | None) -> None:
    cookie = paths.cookie
    if facts.uid != os.geteuid():
        with contextlib.suppress(KeyError):
            cookie = Path(pwd.getpwuid(facts.uid).pw_dir) / cookie.name
    facts.cookie.CopyFrom(files.cookie(cookie))
    facts.directories.append(files.directory("data", paths.data))
    facts.directories.append(files.directory("log", paths.log_base))
    resources = setup.settings.resources if setup else ResourceSettings()
    total = resources.memory_total_bytes or machine.memory_total_bytes()
    limit = resources.disk_absolute_bytes
    if resources.disk_relative is not None:
        limit = int(resources.disk_relative * total)
    facts.disc.CopyFrom(files.disc(paths.data, limit))


def _add_machine(facts: pb.Facts, paths: NodePaths, setup: Setup | None, pid: int) -> None:
    facts.names.CopyFrom(surroundings.names(paths.node.partition("@")[2]))
    facts.clock.CopyFrom(surroundings.clock(files.newest_ms(paths.data)))
    facts.service.CopyFrom(surroundings.service(pid, _is_system(paths)))
    facts.open_files.limit = facts.service.open_files_limit if facts.service.is_ours else 0
    facts.open_files.limit = facts.open_files.limit or machine.open_files_limit()
    resources = setup.settings.resources if setup else ResourceSettings()
    memory = facts.memory
    memory.total_bytes = resources.memory_total_bytes or machine.memory_total_bytes()
    memory.machine_bytes = machine.memory_total_bytes()
    fraction = resources.memory_relative or 0.0
    memory.limit_bytes = resources.memory_absolute_bytes or int(fraction * memory.total_bytes)
    swapped, in_use, there = surroundings.swap(pid)
    memory.swapped_bytes, memory.swap_used_bytes, memory.swap_total_bytes = swapped, in_use, there
    if setup is not None:
        wanted = [(each.host or "::", each.port, "amqp") for each in setup.settings.listeners]
        wanted.append((setup.clustering.interface, setup.clustering.port, "clustering"))
        facts.ports.extend(ports.facts(wanted))


def plugins(paths: NodePaths) -> pb.PluginFacts:
    """What the file says, and what will not run of it."""
    facts = pb.PluginFacts(file=str(paths.enabled_plugins))
    try:
        given = [n for n in enabled.read(paths.enabled_plugins) if n not in table.LIBRARIES]
    except ConfigError as error:
        facts.trouble = error.detail
        return facts
    if not given:
        return facts
    known = installed.every(paths.plugin_folders)
    troubles: dict[str, str] = {
        name: table.advice(name, known) for name in given if name not in known
    }
    running = catalogue.start(given, troubles.__setitem__, known, paths.plugin_folders)
    facts.wanted.extend(running.names)
    for name, reason in troubles.items():
        facts.troubles.add(name=name, reason=reason)
    return facts
