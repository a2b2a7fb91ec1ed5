"""What each tool does on a host, one row an action: what it was and how it ended.

Decides the actions and which ends are wrong whatever RabbitMQ does: a failure, or a change in a
second run. `compare` lays two hosts side by side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.ops.hosts import Host, start_broker
from tests.ops.workshop import Workshop

HERE: Final = Path(__file__).resolve().parent
Rows = dict[str, str]

_PHASES: Final = ("present", "changed", "absent", "absent_vhosts")
_RUN_S: Final = 600.0
_STATE: Final = (
    "list_vhosts name tracing",
    "list_users",
    "list_permissions -p /",
    "list_permissions -p shop",
    "list_permissions -p team/one",
    "list_topic_permissions -p shop",
    "list_policies -p /",
    "list_policies -p shop",
    "list_policies -p team/one",
    "list_parameters -p shop",
    "list_parameters -p team/one",
    "list_vhost_limits",
    "list_user_limits",
)


def wrong(rows: Mapping[str, str]) -> list[str]:
    """Rows that are wrong by themselves."""
    return [name for name, end in rows.items() if end.startswith(("failed", "not idempotent"))]


def _state(host: Host, phase: str) -> Rows:
    """What the command line lists once a phase is through; RabbitMQ's rows have no order."""
    rows: Rows = {}
    for verb in _STATE:
        header, *listed = host.run("rabbitmqctl", "-q", *verb.split()).stdout.split("\n")
        rows[f"{phase}: {verb}"] = "\n".join((header, *sorted(listed)))
    return rows


# -- Ansible -----------------------------------------------------------------------------------


def ansible(host: Host, workshop: Workshop) -> Rows:
    """The playbooks, each twice; maintenance once, as it asks twice itself."""
    start_broker(host)
    rows: Rows = {}
    for phase in _PHASES:
        rows |= _playbook(host, workshop, phase, again=False)
        rows |= _playbook(host, workshop, phase, again=True)
        rows |= _state(host, phase)
    return rows | _playbook(host, workshop, "upgrade", again=False)


def _playbook(host: Host, workshop: Workshop, name: str, *, again: bool) -> Rows:
    done = host.run(
        str(workshop.ansible / "bin" / "ansible-playbook"),
        *("-i", "localhost,", str(HERE / "ansible" / f"{name}.yml")),
        within_s=_RUN_S,
        ANSIBLE_CALLBACK_PLUGINS=str(HERE / "ansible" / "callbacks"),
        ANSIBLE_STDOUT_CALLBACK="mqd_outcomes",
        ANSIBLE_COLLECTIONS_PATH=str(workshop.folder),
        ANSIBLE_PYTHON_INTERPRETER=str(workshop.python),
        ANSIBLE_LOCALHOST_WARNING="0",
    )
    run = f"{name}, again" if again else name
    rows: Rows = {}
    title = ""
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"outcome (\w+) (.*)", line):
            title = f"{run}: {found[2]}"
            rows[title] = "not idempotent" if again and found[1] == "changed" else found[1]
        elif rows.get(title) == "failed":
            rows[title] += f": {line}"
    if done.returncode or not rows:
        rows[f"{run}: playbook"] = f"failed: exit {done.returncode}: {done.stdout[-500:]}"
    return rows


# -- Puppet ------------------------------------------------------------------------------------


def puppet(host: Host, workshop: Workshop) -> Rows:
    """The manifests, each twice."""
    del workshop
    start_broker(host)
    rows: Rows = {}
    for phase in _PHASES:
        rows |= _manifest(host, phase, again=False)
        rows |= _manifest(host, phase, again=True)
        rows |= _state(host, phase)
    return rows | _facts(host)


def _manifest(host: Host, name: str, *, again: bool) -> Rows:
    done = host.run(
        *("puppet", "apply", "--detailed-exitcodes", "--color=false"),
        "--modulepath=/usr/share/puppet/modules.available",
        str(HERE / "puppet" / f"{name}.pp"),
        within_s=_RUN_S,
    )
    run = f"{name}, again" if again else name
    rows: Rows = {}
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"(Notice|Error): /Stage\[main\]/Main/([^:]+): (.*)", line):
            kind, resource, text = found.groups()
            end = "not idempotent" if again else "changed"
            rows[f"{run}: {resource}"] = f"failed: {text}" if kind == "Error" else f"{end}: {text}"
    wanted = 0 if again else 2
    if done.returncode != wanted:
        rows[f"{run}: manifest"] = f"failed: exit {done.returncode}: {done.stdout[-500:]}"
    return rows


def _facts(host: Host) -> Rows:
    """The module's own fact that runs rabbitmqctl."""
    lib = "/usr/share/puppet/modules.available/puppetlabs-rabbitmq/lib/facter"
    done = host.run("facter", "--custom-dir", lib, "rabbitmq_nodename")
    return {"fact rabbitmq_nodename": done.stdout}


# -- OCF agents --------------------------------------------------------------------------------

_OCF: Final = "/usr/lib/ocf"
_PACEMAKER: Final = (
    *("crm_node", "crm_mon", "crm_master", "crm_attribute"),
    *("attrd_updater", "cibadmin", "xmllint"),
)
_AROUND: Final = {
    "OCF_ROOT": _OCF,
    "OCF_RESOURCE_INSTANCE": "rmq:0",
    "OCF_RESKEY_CRM_meta_timeout": "100000",
    "HA_LOGFACILITY": "none",
    "HA_debug": "0",
}


def ocf_cluster(host: Host, workshop: Workshop) -> Rows:
    """heartbeat/rabbitmq-cluster through a day of a single node."""
    del workshop
    _stand_in(host)
    act = _agent(host, "rabbitmq-cluster", {})
    rows: Rows = {}
    rows |= act("metadata", "meta-data", 0)
    rows |= act("validate", "validate-all", 0)
    rows |= act("monitor before the start", "monitor", 7)
    policy = {"OCF_RESKEY_set_policy": 'ha-all ^(?!amq\\.).* {"ha-mode":"all"}'}
    rows |= act("start", "start", 0, policy)
    rows |= act("monitor", "monitor", 0)
    rows |= act("start again", "start", 0, policy)
    rows["policy of the start"] = host.run("rabbitmqctl", "-q", "list_policies").stdout
    gone = {**_notified("post", "stop"), "OCF_RESKEY_CRM_meta_notify_stop_uname": "other"}
    rows |= act("notified of another node's end", "notify", 0, gone)
    host.must("rabbitmqctl", "stop_app")
    rows |= act("monitor without the application", "monitor", 7)
    host.must("rabbitmqctl", "start_app")
    rows |= act("monitor with it", "monitor", 0)
    host.must("rabbitmqctl", "add_user", "app", "s3cret")
    rows |= act("stop", "stop", 0)
    rows |= act("monitor after the stop", "monitor", 7)
    rows |= act("stop again", "stop", 0)
    rows |= act("start after the stop", "start", 0)
    rows["users after it"] = host.run("rabbitmqctl", "-q", "list_users").stdout
    return rows | act("last stop", "stop", 0)


def ocf_server(host: Host, workshop: Workshop) -> Rows:
    """heartbeat/rabbitmq-server-ha: started, promoted, told of things, demoted, stopped."""
    del workshop
    _stand_in(host)
    own = {
        "OCF_RESKEY_avoid_using_iptables": "true",
        "OCF_RESKEY_stop_time": "10",
        "OCF_RESKEY_start_time": "30",
        "OCF_RESKEY_CRM_meta_timeout": "60000",
    }
    act = _agent(host, "rabbitmq-server-ha", own)
    rows: Rows = {}
    rows |= act("validate", "validate-all", 0)
    rows |= act("status before the start", "status", 7)
    rows |= act("monitor before the start", "monitor", 7)
    rows |= act("start", "start", 0)
    rows |= act("status", "status", 0)
    rows |= act("monitor as slave", "monitor", 0)
    rows |= act("promote", "promote", 0)
    rows |= act("monitor as master", "monitor", 8)
    me = {
        f"OCF_RESKEY_CRM_meta_notify_{what}_uname": "opshost"
        for what in ("start", "stop", "master", "promote")
    }
    for what in ("promote", "start", "stop"):
        rows |= act(f"notified of its own {what}", "notify", 0, {**_notified("post", what), **me})
    other = {**_notified("post", "stop"), "OCF_RESKEY_CRM_meta_notify_stop_uname": "other"}
    rows |= act("notified of another node's end", "notify", 0, other)
    rows |= act("start again", "start", 0)
    # 1 on a healthy RabbitMQ too: the agent hands on the code it began with
    legacy = {"OCF_RESKEY_rmq_feature_health_check": "false"}
    rows |= act("monitor with the old health check", "monitor", 1, legacy)
    rows |= act("demote", "demote", 0)
    rows |= act("monitor after it", "monitor", 0)
    rows |= act("stop", "stop", 0)
    rows |= act("monitor after the stop", "monitor", 7)
    rows |= act("stop again", "stop", 0)
    return rows | act("status after the stop", "status", 7)


def _stand_in(host: Host) -> None:
    for name in _PACEMAKER:
        host.must("cp", str(HERE / "pacemaker.sh"), f"/usr/sbin/{name}")


def _notified(kind: str, operation: str) -> dict[str, str]:
    return {
        "OCF_RESKEY_CRM_meta_notify_type": kind,
        "OCF_RESKEY_CRM_meta_notify_operation": operation,
    }


def _agent(host: Host, name: str, own: Mapping[str, str]) -> Callable[..., Rows]:
    """A function that runs an action of the agent and says how its code compares."""

    def act(title: str, action: str, wanted: int, more: Mapping[str, str] | None = None) -> Rows:
        environment = {**_AROUND, "__OCF_ACTION": action, **own, **(more or {})}
        agent = f"{_OCF}/resource.d/heartbeat/{name}"
        done = host.run(agent, action, within_s=_RUN_S, **environment)
        if done.returncode == wanted:
            return {title: f"exit {wanted}"}
        return {title: f"failed: exit {done.returncode}, not {wanted}: {done.stdout[-2000:]}"}

    return act


TOOLS: Final[dict[str, Callable[[Host, Workshop], Rows]]] = {
    "ansible": ansible,
    "puppet": puppet,
    "ocf-cluster": ocf_cluster,
    "ocf-server": ocf_server,
}
