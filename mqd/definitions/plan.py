"""From a file of definitions and what is there to the commands that add what the file has.

Decides what is added, in RabbitMQ's order (vhosts, users, permissions, topic permissions,
parameters, global parameters, policies, queues, exchanges, bindings), and what is wrong with the
file. Everything is checked, against what is there and what the file itself adds, before anything is
returned: a file is applied whole or not at all. Never deletes and never applies anything.

As 3.10.8 (all observed): what is there stays as it is, but users, permissions, parameters, policies
and the metadata of vhosts are replaced; queues and exchanges called amq.* are passed over; so are
bindings that the exchange would refuse a client and those one end of which is missing, for every
export of 3.10.8 has those of exclusive queues and internal exchanges, which it leaves out
themselves; a queue gets its type from its own arguments, not from its vhost. Other than 3.10.8:
what a file does not say of a vhost that is there stays; tags of a vhost that are one text stay one,
so that what is exported is what was imported; a queue that says "type" alone is of that type; what
3.10.8 passes over in silence because it cannot read it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from mqd.amqp.replies import AmqpError
from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.exchanges.base import Exchange
from mqd.broker.exchanges.registry import (
    Registry,
    check_arguments,
    check_type,
    make_exchange,
    predeclared,
)
from mqd.broker.queue_arguments import KNOWN, check_queue_arguments
from mqd.definitions.checks import parameter_faults, policy_faults, policy_value
from mqd.definitions.faults import FAULTS_MAX, Fault, Refused, place
from mqd.definitions.particulars import (
    Known,
    is_before_3_6,
    is_same,
    not_valid,
    password,
    pattern,
    tags_of,
)
from mqd.definitions.values import Wrong, flag, kind_of, mapping, name, text, to_table
from mqd.errors import ErrorCode
from mqd.metadata.commands import (
    Command,
    PutBinding,
    PutExchange,
    PutGlobalParameter,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.machine import BindingKey, State, key_of
from mqd.policies.limits import LIMITS, MAX_QUEUES, OF_USER, VHOST_LIMITS
from mqd.policies.limits import faults as limit_faults
from mqd.policies.model import OPERATOR_POLICY, POLICY

Json = Any
Object = dict[str, Json]

STEP: Final = 100  # objects from one report of progress to the next


class Present(Protocol):
    """What exchanges, queues and bindings there are, transient ones included."""

    def exchange(self, vhost: str, name: str) -> ExchangeDefinition | None: ...

    def queue(self, vhost: str, name: str) -> QueueDefinition | None: ...

    def is_bound(self, binding: BindingDefinition) -> bool: ...

    def queue_count(self, vhost: str) -> int: ...

    def has_exchange_of(self, type_name: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a plan needs and cannot make itself."""

    types: Registry  # exchange types there are
    queue_id: Callable[[], int]
    transient_id: Callable[[], int]
    hash_password: Callable[[str], bytes]  # by DEFAULT_ALGORITHM


@dataclass(slots=True)
class Plan:
    """commands: durable changes, to be applied as one. transient: what to apply after them, in
    order. left_out: bindings that lead from or to what is not there, a sentence each."""

    commands: list[Command] = field(default_factory=list)
    transient: list[PutExchange | PutQueue | PutBinding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def object_count(document: Json) -> int:
    """How many objects a file has, for who shows progress."""
    if not isinstance(document, dict):
        return 0
    return sum(len(document[key]) for key in SECTIONS if isinstance(document.get(key), list))


def plan(document: Json, state: State, present: Present, tools: Tools) -> Plan:
    """All of it. Raises Refused with everything that is wrong."""
    planner = Planner(document, state, present, tools)
    for _ in planner.steps():
        pass
    return planner.plan


class Planner:
    """The same in steps. `plan` is complete once `steps` is through."""

    def __init__(self, document: Json, state: State, present: Present, tools: Tools) -> None:
        self.plan = Plan()
        self._document = document
        self._state = state
        self._present = present
        self._tools = tools
        self._faults: list[Fault] = []
        self._vhosts: dict[str, VhostRecord] = {}
        self._users: dict[str, User] = {}
        self._exchanges: dict[tuple[str, str], ExchangeDefinition] = {}
        self._queues: dict[tuple[str, str], QueueDefinition] = {}
        self._bindings: set[BindingKey] = set()
        self._limits: dict[str, Mapping[str, Json]] = {}
        self._added_queues: dict[str, int] = {}
        self._old_hashes = False

    def steps(self) -> Iterator[int]:
        """Yields the number of objects that are checked, now and then. Raises Refused."""
        document = self._document
        if not isinstance(document, dict):
            reason = f"a file of definitions must be an object, but this is {kind_of(document)}"
            raise Refused([Fault("the file", reason, code=ErrorCode.INTERNAL)])
        version = document.get("rabbit_version", document.get("rabbitmq_version"))
        self._old_hashes = isinstance(version, str) and is_before_3_6(version)
        done = 0
        for section, check in SECTIONS.items():
            for index, item in enumerate(self._items(section)):
                self._check(section, index, item, check)
                done += 1
                if not done % STEP:
                    yield done
        if self._faults:
            raise Refused(self._faults[:FAULTS_MAX], len(self._faults) > FAULTS_MAX)

    def _items(self, section: str) -> list[Json]:
        items = self._document.get(section, [])
        if isinstance(items, list):
            return items
        reason = f"must be a list, but is {kind_of(items)}"
        self._faults.append(Fault(section, reason, at=(section, -1)))
        return []

    def _check(
        self, section: str, index: int, item: Json, check: Callable[[Planner, Object], None]
    ) -> None:
        if len(self._faults) > FAULTS_MAX:
            return
        try:
            if not isinstance(item, dict):
                raise Wrong(f"must be an object, but is {kind_of(item)}")
            check(self, item)
        except Wrong as wrong:
            self._faults.append(_fault(section, index, item, wrong))
        except AmqpError as error:
            self._faults.append(_fault(section, index, item, Wrong(error.text)))

    # -- what is there and what the file adds -------------------------------------------------

    def _vhost(self, item: Object) -> str:
        """The vhost an object is of. Raises Wrong when there is none of that name."""
        vhost = name(item, "vhost")
        if vhost not in self._vhosts and vhost not in self._state.vhosts:
            recorded = f"Virtual host '{vhost}' does not exist"
            reason = f"virtual host '{vhost}' does not exist, and the file does not add it"
            raise Known(reason, recorded, ErrorCode.NO_SUCH_VHOST)
        return vhost

    def _user(self, item: Object) -> str:
        user = name(item, "user")
        if user not in self._users and user not in self._state.users:
            reason = f"user '{user}' does not exist, and the file does not add it"
            raise Known(reason, f'{{:no_such_user, "{user}"}}', ErrorCode.NO_SUCH_USER)
        return user

    def _exchange(self, vhost: str, exchange: str) -> ExchangeDefinition | None:
        return self._exchanges.get((vhost, exchange)) or self._present.exchange(vhost, exchange)

    def _queue(self, vhost: str, queue: str) -> QueueDefinition | None:
        return self._queues.get((vhost, queue)) or self._present.queue(vhost, queue)

    def _add(self, command: Command) -> None:
        self.plan.commands.append(command)

    # -- vhosts, users, permissions -----------------------------------------------------------

    def _add_vhost(self, item: Object) -> None:
        vhost = name(item, "name")
        found = self._vhosts.get(vhost) or self._state.vhosts.get(vhost)
        metadata = {**item, **mapping(item, "metadata")}
        record = found or VhostRecord(vhost)
        if "description" in metadata:
            record = replace(record, description=text(metadata, "description", ""))
        if "tags" in metadata:
            tags = metadata["tags"]
            shown = tags if isinstance(tags, str) else None
            record = replace(record, tags=tags_of(tags), tags_text=shown)
        kind = metadata.get("default_queue_type")
        if kind is not None and kind != "undefined":
            if not isinstance(kind, str) or kind not in KNOWN:
                raise Wrong(f"default_queue_type must be one of {', '.join(KNOWN)}")
            record = replace(record, default_queue_type=kind)
        self._vhosts[vhost] = record
        if record != found:
            self._add(PutVhost(record))
            if found is None:
                for exchange in predeclared(vhost):
                    self._exchanges[vhost, exchange.name] = exchange

    def _add_user(self, item: Object) -> None:
        user = name(item, "name")
        if "tags" not in item:
            raise Known("tags are missing", "tags_not_present")
        tags = tags_of(item["tags"])
        found = self._users.get(user) or self._state.users.get(user)
        password_hash, algorithm = password(item, self._tools.hash_password, old=self._old_hashes)
        limits: Mapping[str, Json] = found.limits if found is not None else {}
        if "limits" in item:
            limits = mapping(item, "limits")
            wrong = limit_faults("user-limits", limits, OF_USER)
            if wrong:
                raise Wrong("; ".join(wrong))
        made = User(user, password_hash, algorithm, tags, dict(limits))
        self._users[user] = made
        if made != found:
            self._add(PutUser(made))

    def _add_permission(self, item: Object) -> None:
        user, vhost = self._user(item), self._vhost(item)
        permission = Permission(*(pattern(item, key) for key in ("configure", "write", "read")))
        if self._state.permissions.get((user, vhost)) != permission:
            self._add(PutPermission(user, vhost, permission))

    def _add_topic_permission(self, item: Object) -> None:
        user, vhost = self._user(item), self._vhost(item)
        exchange = name(item, "exchange")
        permission = TopicPermission(*(pattern(item, key) for key in ("write", "read")))
        if self._state.topic_permissions.get((user, vhost, exchange)) != permission:
            self._add(PutTopicPermission(user, vhost, exchange, permission))

    # -- parameters and policies --------------------------------------------------------------

    def _add_parameter(self, item: Object) -> None:
        component, parameter = text(item, "component"), text(item, "name")
        vhost = self._vhost(item)
        value = item.get("value")
        if component == POLICY:
            reason = "policies may not be set using this method"
            raise Known(reason, f"{reason} ({vhost}/{component}/{parameter})")
        missing = []
        if component == OPERATOR_POLICY:
            if isinstance(value, dict) and "priority" not in value:
                missing.append(f'Key "priority" not found in {parameter}')
            value = policy_value(value, operator=True)
        found = parameter_faults(component, parameter, value) + missing
        if found:
            raise not_valid(found, f"{vhost}/{component}/{parameter}")
        if (component, parameter) == (VHOST_LIMITS, LIMITS):
            value = value or {}
            self._limits[vhost] = value
        self._put_parameter(vhost, component, parameter, value)

    def _put_parameter(self, vhost: str, component: str, parameter: str, value: Json) -> None:
        if not is_same(self._state.parameters.get((vhost, component, parameter)), value):
            self._add(PutParameter(vhost, component, parameter, value))

    def _add_global_parameter(self, item: Object) -> None:
        parameter = text(item, "name")
        if "value" not in item:
            raise Wrong("value is missing")
        known = self._state.global_parameters
        if parameter not in known or not is_same(known[parameter], item["value"]):
            self._add(PutGlobalParameter(parameter, item["value"]))

    def _add_policy(self, item: Object) -> None:
        policy = text(item, "name")
        vhost = self._vhost(item)
        given = {key: item[key] for key in _POLICY_KEYS if key in item}
        value = policy_value(given, operator=False)
        found = policy_faults(value, operator=False)
        if found:
            raise not_valid(found, f"{vhost}/{policy}")
        self._put_parameter(vhost, POLICY, policy, value)

    # -- topology -----------------------------------------------------------------------------

    def _add_queue(self, item: Object) -> None:
        queue = name(item, "name")
        vhost = self._vhost(item)
        durable, auto_delete = flag(item, "durable"), flag(item, "auto_delete")
        arguments = dict(mapping(item, "arguments"))
        kind = text(item, "type", "classic")
        if "x-queue-type" not in arguments and kind != "classic":
            if kind not in KNOWN:
                raise Wrong(f"type '{kind}' is none of {', '.join(KNOWN)}")
            arguments["x-queue-type"] = kind
        if queue.startswith("amq.") or self._queue(vhost, queue) is not None:
            return
        table = to_table(arguments)
        made = QueueDefinition(
            self._tools.queue_id() if durable else self._tools.transient_id(),
            vhost,
            queue,
            durable,
            auto_delete,
            False,
            table,
            str(arguments.get("x-queue-type", "classic")),
        )
        check_queue_arguments(made)
        self._check_queue_limit(vhost, queue)
        self._queues[vhost, queue] = made
        self._put_topology(PutQueue(made), durable)

    def _check_queue_limit(self, vhost: str, queue: str) -> None:
        limits = self._limits.get(vhost)
        if limits is None:
            limits = self._state.parameters.get((vhost, VHOST_LIMITS, LIMITS)) or {}
        limit = limits.get(MAX_QUEUES, -1)
        added = self._added_queues[vhost] = self._added_queues.get(vhost, 0) + 1
        if 0 <= limit < self._present.queue_count(vhost) + added:
            raise Wrong(
                f"cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is "
                "reached"
            )

    def _put_topology(self, command: PutExchange | PutQueue | PutBinding, durable: bool) -> None:
        if durable:
            self._add(command)
        else:
            self.plan.transient.append(command)

    def _add_exchange(self, item: Object) -> None:
        exchange = name(item, "name")
        if exchange == "" or exchange.startswith("amq."):
            return
        vhost = self._vhost(item)
        made = ExchangeDefinition(
            vhost,
            exchange,
            text(item, "type"),
            flag(item, "durable"),
            flag(item, "auto_delete"),
            flag(item, "internal", False),
            to_table(mapping(item, "arguments")),
        )
        if self._exchange(vhost, exchange) is not None:
            return
        kind = check_type(made.type, self._tools.types, self._present.has_exchange_of)
        check_arguments(made.resource, made.arguments)
        kind.validate(made, self._tools.types)
        self._exchanges[vhost, exchange] = made
        self._put_topology(PutExchange(made), made.durable)

    def _add_binding(self, item: Object) -> None:
        kind = text(item, "destination_type")
        if kind not in ("queue", "exchange"):
            raise Wrong(f"destination_type must be queue or exchange, but is '{kind}'")
        binding = BindingDefinition(
            name(item, "vhost"),
            name(item, "source"),
            kind,
            name(item, "destination"),
            name(item, "routing_key", ""),
            to_table(mapping(item, "arguments")),
        )
        if not binding.source:
            return  # to the default exchange every queue is bound by itself
        source = self._exchange(binding.vhost, binding.source)
        if source is None:
            self._leave_out(binding, "exchange", binding.source)
            return
        find = self._queue if kind == "queue" else self._exchange
        destination = find(binding.vhost, binding.destination)
        if destination is None:
            self._leave_out(binding, kind, binding.destination)
            return
        key = key_of(binding)
        if key not in self._bindings and not self._present.is_bound(binding):
            refused = self._refusal(source, binding)
            if refused is not None:
                self.plan.left_out.append(f"{_shown(binding)}: {refused}")
                return
            self._bindings.add(key)
            self._put_topology(PutBinding(binding), source.durable and destination.durable)

    def _refusal(self, source: ExchangeDefinition, binding: BindingDefinition) -> str | None:
        """Why an exchange of that type does not hold such a binding (observed: 3.10.8 passes over
        one that it would refuse a client)."""
        kind = self._tools.types.get(source.type)
        if kind is None or kind.validate_binding is Exchange.validate_binding:
            return None
        try:
            make_exchange(source, self._tools.types).validate_binding(binding)
        except AmqpError as error:
            return error.text
        return None

    def _leave_out(self, binding: BindingDefinition, kind: str, missing: str) -> None:
        self.plan.left_out.append(f"{_shown(binding)}: there is no {kind} '{missing}'")


SECTIONS: Final[dict[str, Callable[[Planner, Object], None]]] = {
    "vhosts": Planner._add_vhost,
    "users": Planner._add_user,
    "permissions": Planner._add_permission,
    "topic_permissions": Planner._add_topic_permission,
    "parameters": Planner._add_parameter,
    "global_parameters": Planner._add_global_parameter,
    "policies": Planner._add_policy,
    "queues": Planner._add_queue,
    "exchanges": Planner._add_exchange,
    "bindings": Planner._add_binding,
}
_POLICY_KEYS: Final = ("pattern", "definition", "priority", "apply-to")


def _shown(binding: BindingDefinition) -> str:
    return (
        f"binding from exchange '{binding.source}' to {binding.destination_kind} "
        f"'{binding.destination}' in vhost '{binding.vhost}'"
    )


def _fault(section: str, index: int, item: Json, wrong: Wrong) -> Fault:
    where, at = place(section, index, item), (section, index)
    if isinstance(wrong, Known):
        return Fault(where, str(wrong), wrong.recorded, wrong.code, at)
    return Fault(where, str(wrong), at=at)
