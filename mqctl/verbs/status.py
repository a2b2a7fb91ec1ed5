"""status: the report on one node."""

from __future__ import annotations

import re
from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.failures import Invalid
from mqctl.help import bold
from mqctl.output.results import Result, Value
from mqctl.output.terms import Atom, Chars, Term
from mqctl.verbs.alarms import alarm_lines, alarm_terms
from mqctl.verbs.listeners import listener_line, listener_record, listener_term
from mqctl.verbs.memory import check_unit, convert, shares


class Status(Behaviour):
    """Sections for people, one object for programs."""

    def validate(self) -> None:
        """The unit is checked before anything is asked."""
        if self.invocation.arguments:
            raise Invalid("too many arguments.")
        super().validate()
        check_unit(self.invocation.request.unit)

    def output(self, message: Any) -> Result:
        """As the format wants."""
        if self.invocation.is_json:
            return Value(as_object(message))
        if self.options.get("formatter") == "erlang":
            return Value(as_proplist(message))
        return Value(report(message, self.invocation.request.unit))


def _bullets(items: Any) -> list[str]:
    return [f" * {item}" for item in items]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _runtime(m: Any) -> list[str]:
    return [
        f"OS PID: {m.pid}",
        f"OS: {m.os}",
        f"Uptime (seconds): {m.uptime_s}",
        f"Is under maintenance?: {_flag(m.under_maintenance)}",
        f"RabbitMQ version: {m.product_version}",
        f"RabbitMQ release series support status: {m.release_series_support}",
        f"Node name: {m.node}",
        f"Erlang configuration: {m.runtime}",
        f"Crypto library: {m.crypto_library}",
        f"Erlang processes: {m.tasks_used} used, {m.tasks_limit} limit",
        f"Scheduler run queue: {m.run_queue}",
        f"Cluster heartbeat timeout (net_ticktime): {m.net_ticktime_s}",
    ]


def _memory(m: Any, unit: str) -> list[str]:
    from mqctl.output.erlang import float_text

    if m.memory_watermark_fraction:
        setting = f"{float_text(m.memory_watermark_fraction)} of available memory"
    else:
        setting = f"{convert(m.memory_watermark_bytes, unit)} {unit}"
    limit = convert(m.memory_watermark_bytes, unit)
    lines = [
        f"Total memory used: {convert(m.memory_total_bytes, unit)} {unit}",
        f"Calculation strategy: {m.memory_strategy}",
        f"Memory high watermark setting: {setting}, computed to: {limit} {unit}\n",
    ]
    for name, size, share in shares(m.memory, m.memory_total_bytes):
        lines.append(f"{name}: {convert(size, unit)} {unit} ({float_text(share)} %)")
    return lines


def report(m: Any, unit: str) -> str:
    """The text."""
    plugins = ["Enabled plugin file: " + m.enabled_plugin_file, "Enabled plugins:\n"]
    sections: list[tuple[str, list[str]]] = [
        ("Runtime", _runtime(m)),
        ("Plugins", plugins + _bullets(p.name for p in m.active_plugins)),
        (
            "Data directory",
            [
                f"Node data directory: {m.data_directory}",
                f"Raft data directory: {m.raft_data_directory}",
            ],
        ),
        ("Config files", _bullets(m.config_files)),
        ("Log file(s)", _bullets(m.log_files)),
        ("Alarms", alarm_lines(m.alarms) or ["(none)"]),
        ("Memory", _memory(m, unit)),
        (
            "File Descriptors",
            [
                f"Total: {m.file_descriptors_used}, limit: {m.file_descriptors_limit}",
                f"Sockets: {m.sockets_used}, limit: {m.sockets_limit}",
            ],
        ),
        (
            "Free Disk Space",
            [
                f"Low free disk space watermark: {convert(m.disk_free_limit_bytes, unit)} {unit}",
                f"Free disk space: {convert(m.disk_free_bytes, unit)} {unit}",
            ],
        ),
        (
            "Totals",
            [
                f"Connection count: {m.connection_count}",
                f"Queue count: {m.queue_count}",
                f"Virtual host count: {m.vhost_count}",
            ],
        ),
        ("Listeners", list(map(listener_line, m.listeners)) or ["(none)"]),
    ]
    return sectioned(sections)


def sectioned(sections: list[tuple[str, list[str]]]) -> str:
    """Headings in bold, each with an empty line on either side."""
    lines: list[str] = []
    for title, body in sections:
        lines += [("\n" if lines else "") + bold(title) + "\n", *body]
    return "\n".join(lines)


def _counts(m: Any) -> Term:
    return [
        (Atom("virtual_host_count"), m.vhost_count),
        (Atom("connection_count"), m.connection_count),
        (Atom("queue_count"), m.queue_count),
    ]


def _memory_totals(m: Any) -> Term:
    return [(Atom(name), m.memory_total_bytes) for name in ("erlang", "rss", "allocated")]


def as_object(m: Any) -> Term:
    """The JSON object."""
    if m.memory_watermark_fraction:
        watermark: Term = {"relative": m.memory_watermark_fraction}
    else:
        watermark = {"absolute": m.memory_watermark_bytes}
    memory: Term = {part.name: part.bytes for part in m.memory}
    memory["strategy"] = m.memory_strategy
    memory["total"] = _memory_totals(m)
    return {
        "active_plugins": [plugin.name for plugin in m.active_plugins],
        "alarms": alarm_terms(m.alarms),
        "config_files": list(m.config_files),
        "crypto_lib_version": m.crypto_library,
        "data_directory": m.data_directory,
        "disk_free": m.disk_free_bytes,
        "disk_free_limit": m.disk_free_limit_bytes,
        "enabled_plugin_file": m.enabled_plugin_file,
        "erlang_version": m.runtime,
        "file_descriptors": {
            "sockets_limit": m.sockets_limit,
            "sockets_used": m.sockets_used,
            "total_limit": m.file_descriptors_limit,
            "total_used": m.file_descriptors_used,
        },
        "is_under_maintenance": m.under_maintenance,
        "listeners": [listener_term(listener) for listener in m.listeners],
        "log_files": list(m.log_files),
        "memory": memory,
        "net_ticktime": m.net_ticktime_s,
        "os": m.os,
        "pid": m.pid,
        "processes": {"limit": m.tasks_limit, "used": m.tasks_used},
        "product_name": "",
        "product_version": "",
        "rabbitmq_version": m.product_version,
        "raft_data_directory": m.raft_data_directory,
        "release_series_support_status": m.release_series_support,
        "run_queue": m.run_queue,
        "totals": _counts(m),
        "uptime": m.uptime_s,
        "vm_memory_calculation_strategy": m.memory_strategy,
        "vm_memory_high_watermark_limit": m.memory_watermark_bytes,
        "vm_memory_high_watermark_setting": watermark,
    }


def _crypto(library: str) -> Term:
    """OpenSSL 3.0.19 27 Jan 2026 -> its name, its number, all of it."""
    name, _, rest = library.partition(" ")
    parts = [int(digits) for digits in re.findall(r"\d+", rest.partition(" ")[0])]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return (name, major << 28 | minor << 20 | patch << 4, library)


def as_proplist(m: Any) -> Term:
    """The Erlang term: the names scripts look for, in 3.10's order."""
    applications = [(Atom("rabbit"), Chars("RabbitMQ"), Chars(m.product_version))]
    applications += [
        (Atom(p.name), Chars(p.description), Chars(p.version)) for p in m.active_plugins
    ]
    alarms = [(Atom("resource_limit"), Atom(a.resource), Atom(a.node)) for a in m.alarms]
    memory: list[Term] = [(Atom(part.name), part.bytes) for part in m.memory]
    memory += [(Atom("strategy"), Atom(m.memory_strategy)), (Atom("total"), _memory_totals(m))]
    descriptors = [
        (Atom("total_limit"), m.file_descriptors_limit),
        (Atom("total_used"), m.file_descriptors_used),
        (Atom("sockets_limit"), m.sockets_limit),
        (Atom("sockets_used"), m.sockets_used),
    ]
    absolute = (Atom("absolute"), m.memory_watermark_bytes)
    watermark: Term = m.memory_watermark_fraction or absolute
    pairs: list[tuple[str, Term]] = [
        ("pid", m.pid),
        ("running_applications", applications),
        ("os", (Atom("unix"), Atom(m.os.lower()))),
        ("rabbitmq_version", Chars(m.product_version)),
        ("crypto_lib_info", _crypto(m.crypto_library)),
        ("erlang_version", Chars(m.runtime)),
        ("release_series_support_status", m.release_series_support),
        ("memory", memory),
        ("alarms", alarms),
        ("is_under_maintenance", m.under_maintenance),
        ("listeners", list(map(listener_record, m.listeners))),
        ("vm_memory_calculation_strategy", Atom(m.memory_strategy)),
        ("vm_memory_high_watermark", watermark),
        ("vm_memory_limit", m.memory_watermark_bytes),
        ("disk_free_limit", m.disk_free_limit_bytes),
        ("disk_free", m.disk_free_bytes),
        ("file_descriptors", descriptors),
        ("processes", [(Atom("limit"), m.tasks_limit), (Atom("used"), m.tasks_used)]),
        ("run_queue", m.run_queue),
        ("uptime", m.uptime_s),
        ("kernel", (Atom("net_ticktime"), m.net_ticktime_s)),
        ("active_plugins", [Atom(plugin.name) for plugin in m.active_plugins]),
        ("enabled_plugin_file", Chars(m.enabled_plugin_file)),
        ("config_files", list(map(Chars, m.config_files))),
        ("log_files", list(map(Chars, m.log_files))),
        ("data_directory", Chars(m.data_directory)),
        ("raft_data_directory", Chars(m.raft_data_directory)),
        ("totals", _counts(m)),
        ("product_base_name", Chars(m.product_name)),
        ("product_base_version", Chars(m.product_version)),
    ]
    return [(Atom(key), value) for key, value in pairs]
