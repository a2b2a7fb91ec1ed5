"""Whether the node runs, answers and is started again: process, service, ports."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

from mqctl.doctor.findings import ERROR, WARNING, Check, Finding, Seen
from mqctl.doctor.words import restart, start, unit_name


def node(facts: Any, seen: Seen) -> Iterator[Finding]:
    """It runs, answers, and its application is up."""
    if seen.answered and facts.app != "running":
        yield Finding(
            ERROR,
            f"the application of {facts.node} is {facts.app or 'not running'}",
            "the node answers this tool, and no client",
            f"mqctl -n {quote(facts.node)} start_app",
        )
    elif not seen.answered and not seen.offline and facts.pid:
        yield Finding(
            ERROR,
            f"process {facts.pid} of {facts.node} runs and does not answer: {seen.reason}",
            "it cannot be administered, and perhaps not used",
            f"mqctl -n {quote(facts.node)} ping; see the findings below, then {restart(facts)}",
        )
    elif not seen.answered and not seen.offline:
        yield Finding(
            ERROR,
            f"{facts.node or 'the node'} does not run: {seen.reason}",
            "no client can use it",
            start(facts),
        )


def node_says(facts: Any, seen: Seen) -> str:
    if not seen.answered:
        return f"process {facts.pid} runs; it was not asked" if facts.pid else "it was not asked"
    return f"{facts.node} runs, process {facts.pid}, user {facts.user}"


def service(facts: Any, seen: Seen) -> Iterator[Finding]:
    """The unit of systemd, where the node is its."""
    unit, ours = facts.service, facts.service.is_ours
    if not unit.unit:
        return
    name = unit_name(facts)
    if unit.active == "failed":
        yield Finding(
            ERROR,
            f"the unit {unit.unit} has failed: {unit.result or 'no reason given'}",
            "systemd has given up starting the node",
            f"journalctl -u {name} -n 50 --no-pager; "
            f"systemctl reset-failed {name} && systemctl start {name}",
        )
    if ours and unit.enabled == "disabled":
        yield Finding(
            WARNING,
            f"the unit {unit.unit} is not enabled",
            "the node will not be there after the machine has started again",
            f"systemctl enable {name}",
        )
    if ours and unit.enabled == "masked":
        yield Finding(
            ERROR,
            f"the unit {unit.unit} is masked",
            "nobody can start the node with it",
            f"systemctl unmask {name}",
        )
    if ours and unit.restarts > 0:
        yield Finding(
            WARNING,
            f"systemd has restarted the node {unit.restarts} times since the unit was started",
            "a node that ends by itself has a reason, which its log tells",
            f"journalctl -u {name} -n 200 --no-pager",
        )


def service_says(facts: Any, seen: Seen) -> str:
    unit = facts.service
    if not unit.unit:
        return ""
    ours = "" if unit.is_ours else ", which this node is not of"
    return f"{unit.unit} is {unit.active} ({unit.sub}), {unit.enabled}{ours}"


def ports(facts: Any, seen: Seen) -> Iterator[Finding]:
    """The node has its ports; nobody else does."""
    up = seen.answered and facts.app == "running"
    for found in facts.ports:
        where = f"port {found.port} ({found.purpose}, {found.address})"
        others = found.holder_pid not in (0, facts.pid)  # 0: not for us to see
        if found.is_listened and (others or not facts.pid):
            known = f"{found.holder_name or '?'}, process {found.holder_pid}"
            who = known if found.holder_pid else "a process of another user"
            yield Finding(
                ERROR,
                f"{where} is taken by {who}",
                "the node cannot listen there",
                _free(found),
            )
        elif up and not found.is_listened:
            yield Finding(
                ERROR,
                f"nobody listens on {where}",
                "clients that are configured for it are refused; the configuration may be newer "
                "than the node",
                restart(facts),
            )
        elif found.trouble:
            yield Finding(
                ERROR,
                f"{where} cannot be had: {found.trouble}",
                "the node does not start",
                f"ip -brief address; ss -ltn 'sport = :{found.port}'",
            )


def _free(found: Any) -> str:
    if not found.holder_pid:
        return f"sudo ss -ltnp 'sport = :{found.port}'"
    if found.holder_name in ("beam.smp", "epmd"):
        return "systemctl disable --now rabbitmq-server"
    return f"ps -fp {found.holder_pid}; kill {found.holder_pid}"


def ports_say(facts: Any, seen: Seen) -> str:
    shown = ", ".join(f"{found.port} ({found.purpose})" for found in facts.ports)
    if not shown:
        return ""
    return f"listening on {shown}" if seen.answered and facts.app == "running" else f"{shown}: free"


def members(facts: Any, seen: Seen) -> Iterator[Finding]:
    """Of a cluster more than one disc keeps what is durable."""
    if len(facts.disc_members) == 1 and facts.ram_members:
        ram = quote(facts.ram_members[0])
        yield Finding(
            WARNING,
            f"{facts.disc_members[0]} is the only disc node of the cluster",
            "nothing durable can be changed while it is down, and with its disc all of it is lost",
            f"mqctl -n {ram} stop_app; mqctl -n {ram} change_cluster_node_type disc; "
            f"mqctl -n {ram} start_app",
        )


def members_say(facts: Any, seen: Seen) -> str:
    discs, rams = len(facts.disc_members), len(facts.ram_members)
    return f"{discs} disc, {rams} ram" if discs + rams > 1 else "the node is in no cluster"


CHECKS = (
    Check("node", node, node_says),
    Check("service", service, service_says),
    Check("members", members, members_say),
    Check("ports", ports, ports_say),
)
