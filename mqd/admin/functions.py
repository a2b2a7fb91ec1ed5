"""Functions of RabbitMQ's modules that expressions may call on a node.

Decides which there are and what each answers: those that health checks, Pacemaker agents and
runbooks are known to call, and their neighbours. They read, but for the few that agents use to
set something. Everything else is undefined, as in Erlang. Never parses or evaluates.
"""

from __future__ import annotations

import os
from typing import Final

from mqd.admin import agent_functions, reports
from mqd.admin.cluster import CLUSTER_NAME
from mqd.admin.context import AdminContext, AppState, ListenerInfo, Watermark
from mqd.admin.everywhere import others
from mqd.admin.feature_flags import FLAGS
from mqd.erlang import formatting
from mqd.erlang.evaluator import Library
from mqd.erlang.failures import Thrown, TooLong
from mqd.erlang.terms import OK, UNDEFINED, Atom, Term, boolean, chars
from mqd.plugins import enabled

_SECRET: Final = ("COOKIE", "PASS", "SECRET")
_ALARM_CALL: Final = (Atom("rabbit_alarm"), Atom("rabbit_alarm"), Atom("get_alarms"))
_PRINTED_MAX: Final = 100_000


def of_setting(value: object) -> Term:
    """A setting's value as Erlang would hold it."""
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return [(Atom(str(key)), of_setting(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [of_setting(item) for item in value]
    return chars(str(value))


class NodeFunctions:
    """The functions of one evaluation. printed: what the expression has had printed."""

    def __init__(self, ctx: AdminContext) -> None:
        self._ctx = ctx
        self._node = ctx.node
        self.printed = ""

    @property
    def table(self) -> Library:
        """(module, function, arity) -> what answers it."""
        return {
            **self._runtime(),
            **self._cluster(),
            **self._node_facts(),
            **self._objects(),
            **agent_functions.table(self._ctx),
        }

    # -- the runtime -------------------------------------------------------------------------

    def _runtime(self) -> Library:
        return {
            ("erlang", "node", 0): lambda: Atom(self._node.name),
            ("erlang", "nodes", 0): lambda: [Atom(node) for node in others(self._ctx)],
            ("erlang", "disconnect_node", 1): lambda node: Atom("false"),
            ("erlang", "system_info", 1): self._system_info,
            ("os", "getenv", 1): self._getenv,
            ("os", "getpid", 0): lambda: chars(str(self._node.pid)),
            ("io", "format", 1): self._print,
            ("io", "format", 2): self._print_with,
            ("application", "get_env", 1): lambda name: UNDEFINED,
            ("application", "get_env", 2): self._get_env,
            ("application", "get_env", 3): lambda app, name, default: (
                default if (found := self._get_env(app, name)) == UNDEFINED else found[1]
            ),
            ("application", "which_applications", 0): self._applications,
            ("rabbit_misc", "which_applications", 0): self._applications,
            ("app_utils", "load_applications", 1): lambda names: OK,
            ("app_utils", "app_dependency_order", 2): lambda names, roots: [],
            ("app_utils", "start_applications", 1): lambda names: OK,
        }

    def _system_info(self, what: Term) -> Term:
        known: dict[str, Term] = {
            "otp_release": chars("25"),
            "process_count": 1,
            "process_limit": 1_048_576,
            "schedulers": os.cpu_count() or 1,
            "schedulers_online": os.cpu_count() or 1,
            "logical_processors": os.cpu_count() or 1,
            "wordsize": 8,
        }
        return known[what]

    def _getenv(self, name: Term) -> Term:
        """Variables that hold secrets are not there."""
        key = "".join(map(chr, name))
        value = None if key.endswith(_SECRET) else os.environ.get(key)
        return Atom("false") if value is None else chars(value)

    def _print(self, text: Term) -> Term:
        return self._print_with(text, [])

    def _print_with(self, text: Term, given: list[Term]) -> Term:
        if not isinstance(given, list):
            raise ValueError(given)
        form = text.decode() if isinstance(text, bytes) else "".join(map(chr, text))
        self.printed += formatting.fill(form, given)
        if len(self.printed) > _PRINTED_MAX:
            raise TooLong(f"more than {_PRINTED_MAX} characters are printed")
        return OK

    def _get_env(self, application: Term, name: Term) -> Term:
        if application != "rabbit":
            return UNDEFINED
        if name == "enabled_plugins_file":
            return (OK, chars(str(self._node.enabled_plugins_file)))
        if name == "tcp_listeners":
            return (OK, [(chars(i.interface), i.port) for i in self._amqp_listeners()])
        if name == "vm_memory_high_watermark":
            watermark = self._node.memory().watermark
            absolute = (Atom("absolute"), watermark.absolute_bytes)
            return (OK, absolute if watermark.absolute_bytes else watermark.fraction)
        environment = self._node.environment
        if name not in environment or name.endswith("pass"):
            return UNDEFINED
        return (OK, of_setting(environment[name]))

    def _applications(self) -> Term:
        version = self._node.version
        running = self._node.app_state is AppState.RUNNING
        own = [
            (Atom("rabbit"), chars("RabbitMQ"), chars(version)),
            (Atom("mnesia"), chars("MNESIA  CXC 138 12"), chars("4.21.3")),  # agents look for it
        ]
        plugins = [
            (Atom(row.name), chars(row.description), chars(row.version))
            for row in self._node.running_plugins
        ]
        kernel = (Atom("kernel"), chars("ERTS  CXC 138 10"), chars("8.5.3"))
        return [*(own if running else []), *plugins, kernel]

    # -- the cluster -------------------------------------------------------------------------

    def _cluster(self) -> Library:
        return {
            ("mnesia", "system_info", 1): self._mnesia,
            ("rabbit_mnesia", "cluster_nodes", 1): lambda which: self._members(which),
            ("rabbit_mnesia", "dir", 0): lambda: chars(str(self._node.data_directory)),
            ("rabbit_mnesia", "is_clustered", 0): lambda: boolean(len(self._members("all")) > 1),
            ("rabbit_mnesia", "node_type", 0): lambda: Atom(
                "ram" if self._node.name in self._members("ram") else "disc"
            ),
            ("rabbit_mnesia", "status", 0): self._mnesia_status,
            ("rabbit_node_monitor", "partitions", 0): list,
            ("rabbit_nodes", "all", 0): lambda: self._members("all"),
            ("rabbit_nodes", "all_running", 0): lambda: self._members("running"),
            ("rabbit_nodes", "cluster_name", 0): self._cluster_name,
            ("rabbit_nodes", "is_running", 2): lambda node, _: self._is_running(node),
            ("rabbit_nodes", "running_count", 0): lambda: len(self._members("running")),
            ("rabbit_nodes", "total_count", 0): lambda: len(self._members("all")),
            ("rabbit", "is_running", 1): self._is_running,
            ("net_adm", "ping", 1): lambda node: Atom(
                "pong" if self._is_running(node) == "true" or node == self._node.name else "pang"
            ),
        }

    def _is_running(self, node: Term) -> Term:
        return boolean(node in self._members("running"))

    def _members(self, which: str) -> Term:
        """disc, ram, running or all of the members."""
        cluster = self._node.cluster
        if cluster is None:
            if which == "running":
                return [Atom(self._node.name)] if self._runs else []
            facts = self._node.membership.facts(self._node.app_state)
            kinds = {each.name: each.kind or "disc" for each in facts.members}
            kinds = kinds or {self._node.name: "disc"}
            return [Atom(name) for name in sorted(kinds) if which in ("all", kinds[name])]
        if which == "running":
            return [Atom(node) for node in cluster.running]
        return [
            Atom(name)
            for name, member in sorted(cluster.members.items())
            if which in ("all", member.kind)
        ]

    @property
    def _runs(self) -> bool:
        return self._node.app_state is AppState.RUNNING

    def _mnesia(self, what: Term) -> Term:
        known: dict[str, Term] = {
            "is_running": Atom("yes" if self._runs else "no"),
            "running_db_nodes": self._members("running"),
            "db_nodes": self._members("all"),
            "extra_db_nodes": [],
            "directory": chars(str(self._node.data_directory)),
        }
        return known[what]

    def _mnesia_status(self) -> Term:
        kinds = ("disc", "ram") if self._members("ram") else ("disc",)
        nodes = (Atom("nodes"), [(Atom(kind), self._members(kind)) for kind in kinds])
        if not self._runs:
            return [nodes]
        return [
            nodes,
            (Atom("running_nodes"), self._members("running")),
            (Atom("cluster_name"), self._cluster_name()),
            (Atom("partitions"), []),
        ]

    def _cluster_name(self) -> Term:
        self._needs("rabbit_runtime_parameters")
        state = self._ctx.metadata.state
        default = self._node.cluster_name_default
        return str(state.global_parameters.get(CLUSTER_NAME, default)).encode()

    # -- the node ----------------------------------------------------------------------------

    def _node_facts(self) -> Library:
        version = chars(self._node.version)
        return {
            ("rabbit", "is_running", 0): lambda: boolean(self._runs),
            ("rabbit", "is_booting", 0): lambda: boolean(self._node.app_state is AppState.BOOTING),
            ("rabbit", "product_name", 0): lambda: chars(reports.PRODUCT),
            ("rabbit", "product_version", 0): lambda: version,
            ("rabbit_misc", "version", 0): lambda: version,
            ("rabbit_misc", "otp_release", 0): lambda: chars(reports.ERLANG_VERSION),
            ("rabbit_alarm", "get_alarms", 0): self._alarms,
            ("rabbit_plugins", "active", 0): lambda: [
                Atom(row.name) for row in self._node.running_plugins
            ],
            ("rabbit_plugins", "read_enabled", 1): self._read_enabled,
            ("rabbit_plugins", "setup", 0): list,
            ("rabbit_feature_flags", "is_enabled", 1): lambda name: boolean(
                name in {flag.name for flag in FLAGS}
            ),
            ("rabbit_disk_monitor", "get_disk_free", 0): lambda: self._node.disk().free_bytes,
            ("rabbit_disk_monitor", "get_disk_free_limit", 0): (
                lambda: self._node.disk().limit_bytes
            ),
            ("vm_memory_monitor", "get_memory_limit", 0): lambda: self._node.memory().limit_bytes,
            ("vm_memory_monitor", "get_total_memory", 0): (
                lambda: self._node.memory().machine_bytes
            ),
            ("vm_memory_monitor", "get_vm_memory_high_watermark", 0): (
                lambda: self._get_env("rabbit", "vm_memory_high_watermark")[1]
            ),
            ("vm_memory_monitor", "set_vm_memory_high_watermark", 1): self._set_watermark,
            ("rabbit_vm", "memory", 0): self._memory,
            ("rabbit_networking", "active_listeners", 0): self._listeners,
        }

    def _alarms(self) -> Term:
        if self._node.broker is None:
            call = (Atom("gen_event"), Atom("call"), [*_ALARM_CALL, Atom("infinity")])
            raise Thrown("exit", (Atom("noproc"), call))
        return [
            ((Atom("resource_limit"), Atom(alarm.resource), Atom(alarm.node)), [])
            for alarm in reports.alarms(self._ctx)
        ]

    def _read_enabled(self, path: Term) -> Term:
        """Of the node's own file; no other is read."""
        if "".join(map(chr, path)) != str(self._node.enabled_plugins_file):
            raise TooLong("only the node's own enabled_plugins file is read")
        return [Atom(name) for name in enabled.read(self._node.enabled_plugins_file)]

    def _set_watermark(self, fraction: Term) -> Term:
        if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise ValueError(fraction)
        self._node.set_memory_watermark(Watermark(float(fraction)))
        return OK

    def _memory(self) -> Term:
        memory = self._node.memory()
        total = (Atom("total"), [(Atom("rss"), memory.total_bytes)])
        parts = [(Atom(name), size) for name, size in memory.parts.items()]
        return [*parts, (Atom("strategy"), Atom(memory.strategy)), total]

    def _listeners(self) -> Term:
        return [
            (Atom("listener"), Atom(self._node.name), Atom(i.protocol), chars(i.interface), i.port)
            for i in self._node.listeners()
        ]

    def _amqp_listeners(self) -> list[ListenerInfo]:
        return [info for info in self._node.listeners() if info.protocol == "amqp"]

    # -- what the broker holds ---------------------------------------------------------------

    def _objects(self) -> Library:
        return {
            ("rabbit_vhost", "list_names", 0): self._vhosts,
            ("rabbit_vhost", "exists", 1): lambda name: boolean(name in self._vhosts()),
            ("rabbit_vhost", "count", 0): lambda: len(self._vhosts()),
            ("rabbit_auth_backend_internal", "list_users", 0): self._users,
            ("rabbit_amqqueue", "list", 0): self._queues,
            ("rabbit_amqqueue", "list", 1): lambda vhost: self._queues(vhost),
            ("rabbit_amqqueue", "list_names", 0): self._queues,
            ("rabbit_amqqueue", "count", 0): lambda: len(self._queues()),
            ("rabbit_exchange", "list_names", 0): self._exchanges,
            ("rabbit_exchange", "count", 0): lambda: len(self._exchanges()),
            ("rabbit_connection_tracking", "count", 0): (lambda: len(self._ctx.broker.connections)),
        }

    def _needs(self, table: str) -> None:
        """Tables are gone while the application is stopped (observed: 3.10.8)."""
        if self._node.broker is None:
            raise Thrown("exit", (Atom("aborted"), (Atom("no_exists"), Atom(table))))

    def _vhosts(self) -> list[Term]:
        self._needs("rabbit_vhost")
        return [name.encode() for name in sorted(self._ctx.metadata.state.vhosts)]

    def _users(self) -> Term:
        self._needs("rabbit_user")
        return [
            [
                (Atom("user"), name.encode()),
                (Atom("tags"), [Atom(tag) for tag in user.tags]),
            ]
            for name, user in sorted(self._ctx.metadata.state.users.items())
        ]

    def _queues(self, vhost: Term = None) -> list[Term]:
        """{resource, VHost, queue, Name} of each: not RabbitMQ's whole record."""
        self._needs("rabbit_queue")
        return [
            (Atom("resource"), host.encode(), Atom("queue"), name.encode())
            for host, content in sorted(self._ctx.broker.vhosts.items())
            if vhost is None or host.encode() == vhost
            for name in sorted(content.queues)
        ]

    def _exchanges(self) -> list[Term]:
        self._needs("rabbit_exchange")
        return [
            (Atom("resource"), host.encode(), Atom("exchange"), name.encode())
            for host, content in sorted(self._ctx.broker.vhosts.items())
            for name in sorted(content.exchanges)
        ]
