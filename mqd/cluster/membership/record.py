"""What a node that has met another one knows of itself and of its cluster while nothing runs.

Decides what stands in `cluster.json` and how it follows from the metadata. Never reads or writes
the file (`file` does) and never decides what a node does with it (`start` does).

For a disc member the metadata is the truth and this a copy of a part of it, for tools and for the
time before the metadata is open; for a ram member it is all there is between two starts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import DISC as DISC
from mqd.metadata.commands import RAM as RAM
from mqd.metadata.commands import ClusterRecord, Member

FILE_NAME: Final = "cluster.json"
_FORMAT: Final = 2  # 1: generations without forks; read as ones that have none


@dataclass(frozen=True, slots=True)
class Record:
    """cluster_id "": a node alone that only remembers `seeds`. number: of the last command that it
    had when this was written. ran: the members that ran beside it then. seeds: whom to ask for
    the members at the next start (update_cluster_nodes). boots: how often a ram member started.
    former: the name that the others know it by, after a rename that they have not heard of.
    gone: (name, incarnation) of disc members that are none any more; the engine may know them.
    yields_to: members of the cluster's other part, which was met after both had been forced to go
    on: this one does not start beside them unless it is told to."""

    node: str
    cluster: ClusterRecord
    kind: str
    incarnation: str
    members: Mapping[str, Member] = field(default_factory=dict)
    number: int = 0
    ran: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    boots: int = 0
    former: str = ""
    gone: tuple[tuple[str, str], ...] = ()
    yields_to: tuple[str, ...] = ()

    @property
    def disc(self) -> tuple[str, ...]:
        """Names of the disc members, this node included when it is one."""
        return tuple(name for name, each in self.members.items() if each.kind == DISC)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of all members but this one."""
        return tuple(name for name in self.members if name != self.node)

    @property
    def ports(self) -> Sequence[int]:
        """The control ports of the members, that of most of them first."""
        ports = Counter(each.control_port for each in self.members.values() if each.control_port)
        return [port for port, _ in ports.most_common()]

    def follow(
        self,
        cluster: ClusterRecord | None,
        members: Mapping[str, Member],
        number: int,
        ran: Iterable[str] | None = None,
    ) -> Record:
        """As the metadata has it now. Without this node among the members nothing changes: a
        removal that it hears of while it runs is told by the others at its next start."""
        mine = members.get(self.node)
        if cluster is None or mine is None:
            return self
        over = {
            (each.name, each.incarnation)
            for each in self.members.values()
            if each.kind == DISC and each.incarnation and _is_over(each, members)
        }
        return replace(
            self,
            gone=tuple(sorted({*self.gone, *over})),
            cluster=cluster,
            kind=mine.kind,
            incarnation=mine.incarnation or self.incarnation,
            members=dict(members),
            number=number,
            ran=self.ran if ran is None else tuple(sorted(ran)),
        )


def _is_over(member: Member, now: Mapping[str, Member]) -> bool:
    found = now.get(member.name)
    return found is None or found.incarnation != member.incarnation or found.kind != DISC


def renamed(record: Record, names: Mapping[str, str]) -> Record:
    """With every old name replaced; hosts and ports of those that get a new one are unknown."""

    def new(name: str) -> str:
        return names.get(name, name)

    members = {
        new(name): replace(each, name=new(name), host=host_of(new(name))) if name in names else each
        for name, each in record.members.items()
    }
    cluster = replace(record.cluster, authority=new(record.cluster.authority))
    return replace(
        record,
        node=new(record.node),
        cluster=cluster,
        members=members,
        ran=tuple(map(new, record.ran)),
        yields_to=tuple(map(new, record.yields_to)),
        seeds=tuple(map(new, record.seeds)),
        former=record.node if new(record.node) != record.node else record.former,
    )


def host_of(node: str) -> str:
    """The host that a node's name says."""
    return node.partition("@")[2]


def encode(record: Record) -> str:
    """The text of the file."""
    plain: dict[str, Any] = {
        "format": _FORMAT,
        "node": record.node,
        "cluster": asdict(record.cluster),
        "kind": record.kind,
        "incarnation": record.incarnation,
        "members": [asdict(each) for each in record.members.values()],
        "number": record.number,
        "ran": list(record.ran),
        "seeds": list(record.seeds),
        "boots": record.boots,
        "former": record.former,
        "gone": [list(each) for each in record.gone],
        "yields_to": list(record.yields_to),
    }
    return json.dumps(plain, indent=1) + "\n"


def decode(text: str) -> Record:
    """Inverse of `encode`. Raises MqdError for what is none."""
    try:
        plain = json.loads(text)
        if plain["format"] > _FORMAT:
            raise MqdError(
                ErrorCode.PRECONDITION_FAILED,
                f"{FILE_NAME} was written by a newer mqd: start that one",
            )
        members = [_known(Member, each) for each in plain["members"]]
        cluster = _known(ClusterRecord, plain["cluster"])
        return Record(
            node=plain["node"],
            cluster=replace(cluster, forks=tuple(map(str, cluster.forks))),
            kind=plain["kind"],
            incarnation=plain["incarnation"],
            members={each.name: each for each in members},
            number=int(plain["number"]),
            ran=tuple(plain["ran"]),
            seeds=tuple(plain["seeds"]),
            boots=int(plain.get("boots", 0)),
            former=plain.get("former", ""),
            gone=tuple((str(name), str(each)) for name, each in plain.get("gone", ())),
            yields_to=tuple(map(str, plain.get("yields_to", ()))),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            f"{FILE_NAME} cannot be read ({error}): restore it from a backup, or move it away and "
            "start the node: a disc node makes it again, a ram node has to join its cluster again",
        ) from error


def _known(kind: Any, plain: dict[str, Any]) -> Any:
    """Fields that a newer mqd added are left out."""
    names = kind.__dataclass_fields__
    return kind(**{name: value for name, value in plain.items() if name in names})
