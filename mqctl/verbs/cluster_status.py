"""cluster_status: the report on the members."""

from __future__ import annotations

from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.output.results import Result, Value
from mqctl.output.terms import Atom, Term
from mqctl.verbs.alarms import alarm_lines, alarm_terms
from mqctl.verbs.listeners import listener_record, listener_term
from mqctl.verbs.status import sectioned

_CLASSIC_TERMS = 5
MAINTENANCE = {False: "not under maintenance", True: "marked for maintenance"}


class ClusterStatus(Behaviour):
    """Sections for people, one object for programs, the old proplist for old scripts."""

    def output(self, message: Any) -> Result:
        """As the format wants."""
        if self.invocation.is_json:
            return Value(as_object(message))
        if self.options.get("formatter") == "erlang":
            return Value(as_proplist(message))
        return Value(report(message))


class ClassicClusterStatus(Behaviour):
    """What there was before 3.8, and no more."""

    def output(self, message: Any) -> Result:
        """nodes, running_nodes, cluster_name, partitions, alarms."""
        if self.invocation.is_json:
            return Value(as_object(message))
        return Value(as_proplist(message)[:_CLASSIC_TERMS])


def _maintenance(entry: Any) -> str:
    text = MAINTENANCE[entry.under_maintenance]
    return f"\x1b[35m{text}\x1b[0m" if entry.under_maintenance else text


def _listener(listener: Any) -> str:
    return (
        f"Node: {listener.node}, interface: {listener.interface}, port: {listener.port}, "
        f"protocol: {listener.protocol}, purpose: {listener.purpose}"
    )


def report(m: Any) -> str:
    """The text."""
    versions = sorted(m.versions, key=lambda v: v.node)
    sections: list[tuple[str, list[str]]] = [
        ("Basics", [f"Cluster name: {m.cluster_name}"]),
        ("Disk Nodes", sorted(m.disk_nodes)),
    ]
    if m.ram_nodes:
        sections.append(("RAM Nodes", sorted(m.ram_nodes)))
    sections += [
        ("Running Nodes", sorted(m.running_nodes)),
        (
            "Versions",
            [
                f"{v.node}: {v.product_name} {v.product_version} on Erlang {v.runtime_version}"
                for v in versions
            ],
        ),
        (
            "Maintenance status",
            [
                f"Node: {e.node}, status: {_maintenance(e)}"
                for e in sorted(m.maintenance, key=lambda e: e.node)
            ],
        ),
        ("Alarms", alarm_lines(m.alarms) or ["(none)"]),
        (
            "Network Partitions",
            [
                f"Node {p.node} cannot communicate with {', '.join(p.unreachable)}"
                for p in m.partitions
            ]
            or ["(none)"],
        ),
        (
            "Listeners",
            [_listener(x) for x in sorted(m.listeners, key=lambda x: x.node)] or ["(none)"],
        ),
        (
            "Feature flags",
            [f"Flag: {flag.name}, state: {flag.state}" for flag in m.feature_flags] or ["(none)"],
        ),
    ]
    return sectioned(sections)


def _flag_object(flag: Any) -> dict[str, str]:
    return {
        "name": flag.name,
        "state": flag.state,
        "desc": flag.desc,
        "doc_url": flag.doc_url,
        "provided_by": flag.provided_by,
        "stability": flag.stability,
    }


def as_object(m: Any) -> Term:
    """The JSON object."""
    listeners: dict[str, list[Any]] = {node: [] for node in m.running_nodes}
    for listener in m.listeners:
        listeners.setdefault(listener.node, []).append(listener_term(listener))
    return {
        "alarms": alarm_terms(m.alarms),
        "cluster_name": m.cluster_name,
        "disk_nodes": list(m.disk_nodes),
        "ram_nodes": list(m.ram_nodes),
        "running_nodes": list(m.running_nodes),
        "feature_flags": [_flag_object(flag) for flag in m.feature_flags],
        "listeners": listeners,
        "maintenance_status": {e.node: _maintenance(e) for e in m.maintenance},
        "partitions": {p.node: list(p.unreachable) for p in m.partitions},
        "versions": {
            v.node: {
                "erlang_version": v.runtime_version,
                "rabbitmq_name": v.product_name,
                "rabbitmq_version": v.product_version,
            }
            for v in m.versions
        },
    }


def _atoms(names: Any) -> list[Atom]:
    return [Atom(name) for name in names]


def as_proplist(m: Any) -> list[Term]:
    """The shape that scripts written before 3.8 parse, and what was added to it since."""
    nodes = [(Atom("disc"), _atoms(m.disk_nodes))]
    if m.ram_nodes:
        nodes.append((Atom("ram"), _atoms(m.ram_nodes)))
    alarms: dict[str, list[Term]] = {node: [] for node in m.running_nodes}
    for alarm in m.alarms:
        term = (Atom("resource_limit"), Atom(alarm.resource), Atom(alarm.node))
        alarms.setdefault(alarm.node, []).append(term)
    listeners: dict[str, list[Term]] = {node: [] for node in m.running_nodes}
    for listener in m.listeners:
        listeners.setdefault(listener.node, []).append(listener_record(listener))
    flags = [
        [
            (Atom("name"), Atom(flag.name)),
            (Atom("desc"), flag.desc),
            (Atom("doc_url"), flag.doc_url),
            (Atom("state"), Atom(flag.state)),
            (Atom("stability"), Atom(flag.stability)),
            (Atom("provided_by"), Atom(flag.provided_by)),
        ]
        for flag in m.feature_flags
    ]
    versions = [
        (
            Atom(v.node),
            {
                Atom("erlang_version"): v.runtime_version,
                Atom("rabbitmq_name"): v.product_name,
                Atom("rabbitmq_version"): v.product_version,
            },
        )
        for v in m.versions
    ]
    return [
        (Atom("nodes"), nodes),
        (Atom("running_nodes"), _atoms(m.running_nodes)),
        (Atom("cluster_name"), m.cluster_name),
        (Atom("partitions"), [(Atom(p.node), _atoms(p.unreachable)) for p in m.partitions]),
        (Atom("alarms"), [(Atom(node), terms) for node, terms in alarms.items()]),
        (Atom("listeners"), [(Atom(node), terms) for node, terms in listeners.items()]),
        (Atom("versions"), versions),
        (
            Atom("maintenance_status"),
            [(Atom(e.node), _maintenance(e)) for e in m.maintenance],
        ),
        (Atom("feature_flags"), flags),
    ]
