"""Every change of durable state other than messages, as a value.

Decides what changes there are and how they stand in the log. Never decides whether a change is
allowed or what it does: that is `mqd.metadata.machine`.

A command is logged as the JSON list `[kind, version, {field: value}]`, in a cluster with up to
three values more (`Line`): the id of the proposal; why it was refused, `[code, text]`; and in a
snapshot the number it had. Kinds, fields and versions are only ever added: a log that an older mqd
wrote must always be read. A field that is missing takes its default.

    history: all kinds, version 1 - first release
             batch - definitions come in whole or not at all
             put_member, delete_member, put_cluster - several machines
             delete_queue: id; proposals have ids - several machines
             delete_exchange: if_unused - several machines
"""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from mqd.amqp.fields import from_json, to_json
from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.users import User
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.errors import ErrorCode, MqdError

Json = Any  # what json.loads returns
VERSION = 1
DISC, RAM = "disc", "ram"  # kinds of members


class Must(enum.Enum):
    """What the name of a put must be for it to be allowed."""

    ANYTHING = "anything"  # put what is there or not
    BE_NEW = "be_new"  # add
    EXIST = "exist"  # change


@dataclass(frozen=True, slots=True)
class VhostRecord:
    """default_queue_type: None when the vhost names none. tags_text: what add_vhost --tags said,
    which listings show in place of the tags until some are set (observed: 3.10.8). protected: it
    must not be deleted; whoever proposes a deletion looks."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str | None = None
    tracing: bool = False
    tags_text: str | None = None
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster. incarnation: 8 hexadecimal digits, new whenever it joins; number: of
    that incarnation, never given twice. kind: DISC | RAM. The ports are those of `mqd.cluster`:
    links between nodes, and the engine's routes."""

    name: str
    incarnation: str
    number: int
    kind: str = DISC
    host: str = ""
    control_port: int = 0
    link_port: int = 0
    route_port: int = 0


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """The cluster as a whole. generation grows with everything that shuts former members out
    (`mqd.metadata.generations`); authority: "" while the engine orders commands, else the one node
    that does. numbers: the highest that a member ever had. forks: ids of the generations that led
    here, its own the last."""

    id: str
    generation: int = 1
    authority: str = ""
    numbers: int = 0
    forks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PutVhost:
    """A new vhost comes with its predeclared exchanges: the machine adds them, and listeners
    hear of each as a PutExchange after the PutVhost. Not so where predeclare is False, as in a
    snapshot, which lists all exchanges itself."""

    vhost: VhostRecord
    must: Must = Must.ANYTHING
    predeclare: bool = True


@dataclass(frozen=True, slots=True)
class DeleteVhost:
    """With its permissions, parameters, exchanges, queues and bindings; listeners hear of the
    vhost alone."""

    name: str


@dataclass(frozen=True, slots=True)
class PutUser:
    user: User
    must: Must = Must.ANYTHING


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """With its permissions."""

    name: str


@dataclass(frozen=True, slots=True)
class PutPermission:
    user: str
    vhost: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class DeletePermission:
    """Nothing happens when there is none."""

    user: str
    vhost: str


@dataclass(frozen=True, slots=True)
class PutTopicPermission:
    user: str
    vhost: str
    exchange: str
    permission: TopicPermission


@dataclass(frozen=True, slots=True)
class DeleteTopicPermission:
    """exchange None: those on every exchange. Nothing happens when there is none."""

    user: str
    vhost: str
    exchange: str | None = None


@dataclass(frozen=True, slots=True)
class PutParameter:
    """value: any JSON value; whoever knows the component has checked it."""

    vhost: str
    component: str
    name: str
    value: Json


@dataclass(frozen=True, slots=True)
class DeleteParameter:
    vhost: str
    component: str
    name: str


@dataclass(frozen=True, slots=True)
class PutGlobalParameter:
    name: str
    value: Json


@dataclass(frozen=True, slots=True)
class DeleteGlobalParameter:
    name: str


@dataclass(frozen=True, slots=True)
class PutExchange:
    exchange: ExchangeDefinition


@dataclass(frozen=True, slots=True)
class DeleteExchange:
    """With its bindings. Nothing happens when there is none; nor, with if_unused, to one that does
    not go with its last binding, or has durable ones: another one has taken the name by then."""

    vhost: str
    name: str
    if_unused: bool = False


@dataclass(frozen=True, slots=True)
class PutQueue:
    """must: EXIST for a change of a queue that may be deleted meanwhile."""

    queue: QueueDefinition
    must: Must = Must.ANYTHING


@dataclass(frozen=True, slots=True)
class DeleteQueue:
    """With its bindings. Nothing happens when there is none, or one that has another id: it was
    declared anew meanwhile. id 0: whichever it is."""

    vhost: str
    name: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class PutBinding:
    binding: BindingDefinition


@dataclass(frozen=True, slots=True)
class DeleteBinding:
    """Nothing happens when there is none."""

    binding: BindingDefinition


@dataclass(frozen=True, slots=True)
class PutMember:
    member: Member


@dataclass(frozen=True, slots=True)
class DeleteMember:
    """Nothing happens when there is none. fork: begins a generation of that id without it."""

    name: str
    fork: str = ""


@dataclass(frozen=True, slots=True)
class PutCluster:
    """None: the node is a cluster of its own, as a new one is."""

    cluster: ClusterRecord | None


@dataclass(frozen=True, slots=True)
class Batch:
    """All of them in this order, or none: it is checked, logged and recovered as one. Listeners
    hear of the parts alone. It does not nest."""

    commands: tuple[Command, ...]


Command = (
    PutVhost
    | DeleteVhost
    | PutUser
    | DeleteUser
    | PutPermission
    | DeletePermission
    | PutTopicPermission
    | DeleteTopicPermission
    | PutParameter
    | DeleteParameter
    | PutGlobalParameter
    | DeleteGlobalParameter
    | PutExchange
    | DeleteExchange
    | PutQueue
    | DeleteQueue
    | PutBinding
    | DeleteBinding
    | PutMember
    | DeleteMember
    | PutCluster
    | Batch
)

_KINDS: dict[str, type[Command]] = {
    "put_vhost": PutVhost,
    "delete_vhost": DeleteVhost,
    "put_user": PutUser,
    "delete_user": DeleteUser,
    "put_permission": PutPermission,
    "delete_permission": DeletePermission,
    "put_topic_permission": PutTopicPermission,
    "delete_topic_permission": DeleteTopicPermission,
    "put_parameter": PutParameter,
    "delete_parameter": DeleteParameter,
    "put_global_parameter": PutGlobalParameter,
    "delete_global_parameter": DeleteGlobalParameter,
    "put_exchange": PutExchange,
    "delete_exchange": DeleteExchange,
    "put_queue": PutQueue,
    "delete_queue": DeleteQueue,
    "put_binding": PutBinding,
    "delete_binding": DeleteBinding,
    "put_member": PutMember,
    "delete_member": DeleteMember,
    "put_cluster": PutCluster,
    "batch": Batch,
}
_KIND_OF = {command: kind for kind, command in _KINDS.items()}
_RECORDS = (
    VhostRecord,
    User,
    Permission,
    TopicPermission,
    ExchangeDefinition,
    QueueDefinition,
    BindingDefinition,
    Member,
    ClusterRecord,
)
_FIELDS = {each: tuple(one.name for one in fields(each)) for each in (*_RECORDS, *_KIND_OF)}
_Reader = Callable[[Any], Any]


def _nested(kind: type[Any]) -> _Reader:
    return lambda plain: _record(kind, plain)


# how the fields are read back that are no plain JSON values
_READERS: dict[type[Any], dict[str, _Reader]] = {
    VhostRecord: {"tags": tuple},
    User: {"tags": tuple, "password_hash": base64.b64decode},
    ExchangeDefinition: {"arguments": from_json},
    QueueDefinition: {"arguments": from_json, "members": tuple},
    ClusterRecord: {"forks": tuple},
    BindingDefinition: {"arguments": from_json},
    PutVhost: {"vhost": _nested(VhostRecord), "must": Must},
    PutUser: {"user": _nested(User), "must": Must},
    PutPermission: {"permission": _nested(Permission)},
    PutTopicPermission: {"permission": _nested(TopicPermission)},
    PutExchange: {"exchange": _nested(ExchangeDefinition)},
    PutQueue: {"queue": _nested(QueueDefinition), "must": Must},
    PutBinding: {"binding": _nested(BindingDefinition)},
    DeleteBinding: {"binding": _nested(BindingDefinition)},
    PutMember: {"member": _nested(Member)},
    PutCluster: {"cluster": lambda plain: plain and _record(ClusterRecord, plain)},
    Batch: {"commands": lambda lines: tuple(map(_command, lines))},
}


class Line(NamedTuple):
    """A line of the log, read back. refusal: why it had no effect; command is an empty batch then.
    number: 0 where the place of the line says it."""

    command: Command
    proposal: str = ""
    refusal: MqdError | None = None
    number: int = 0


NOTHING = Batch(())


def encode(command: Command, proposal: str = "") -> str:
    """One line of JSON. proposal: the id by which its proposer knows it again."""
    entry = _entry(command)
    if proposal:
        entry.append(proposal)
    return json.dumps(entry, separators=(",", ":"))


def encode_outcome(proposal: str, refusal: MqdError | None, number: int = 0) -> str:
    """A line that changes nothing and tells what became of a proposal."""
    why = refusal and [refusal.code.value, refusal.detail]
    return json.dumps([*_entry(NOTHING), proposal, why, number], separators=(",", ":"))


def decode_line(line: str) -> Line:
    """Inverse of both. Raises MqdError for what this mqd does not know."""
    try:
        entry = json.loads(line)
        if len(entry) == 3:
            return Line(_command(entry))
        proposal, why, number = entry[3:6] if len(entry) > 4 else (entry[3], None, 0)
        refusal = MqdError(ErrorCode(why[0]), why[1]) if why else None
        return Line(_command(entry[:3]), proposal, refusal, number)
    except (ValueError, TypeError, LookupError) as error:
        raise _no_command(line) from error


def _entry(command: Command) -> list[Any]:
    return [_KIND_OF[type(command)], VERSION, _plain(command)]


def _plain(value: Any) -> dict[str, Any]:
    plain = {}
    for name in _FIELDS[type(value)]:
        part = getattr(value, name)
        if type(part) in _FIELDS:
            part = _plain(part)
        elif name == "arguments":
            part = to_json(part)
        elif isinstance(part, bytes):
            part = base64.b64encode(part).decode()
        elif isinstance(part, Must):
            part = part.value
        elif name == "commands":
            part = list(map(_entry, part))
        plain[name] = part
    return plain


def decode(line: str) -> Command:
    """Inverse of `encode` without a proposal. Raises MqdError for what this mqd does not know."""
    try:
        return _command(json.loads(line))
    except (ValueError, TypeError, LookupError) as error:
        raise _no_command(line) from error


def _no_command(line: str) -> MqdError:
    kind = line.partition(",")[0][:40]  # what follows may be of a user
    text = f"the metadata log holds what is no command: {kind}"
    return MqdError(ErrorCode.UNAVAILABLE, text)


def _command(entry: list[Any]) -> Command:
    kind, version, plain = entry
    command = _KINDS.get(kind)
    if command is None or version > VERSION:
        raise MqdError(
            ErrorCode.PRECONDITION_FAILED,
            f"the metadata log holds '{kind}' version {version}, which this mqd does not "
            "know: start the newer mqd that wrote it",
        )
    decoded: Command = _record(command, plain)
    return decoded


def _record(kind: type[Any], plain: dict[str, Any]) -> Any:
    values = {name: plain[name] for name in _FIELDS[kind] if name in plain}
    for name, read in _READERS.get(kind, {}).items():
        if name in values:
            values[name] = read(values[name])
    return kind(**values)
