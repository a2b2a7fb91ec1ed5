"""Whether a member may start now, and under whom.

Decides from what the node knows of itself and what the others answer; no I/O, no clock.

Theory. At every number of the metadata there is one *authority*: one node that orders commands,
or "" for the engine, which needs a majority of the disc members. Who it is stands in the metadata
itself, so it changes at one number for everybody, and of two members the one with the higher
(generation, number) knows it better. Hence:

- A member that runs and knows us says under whom we start: nothing else is looked at.
- Without one, who has the latest metadata of those that answer says who the authority is. Is it
  this node, it starts alone: it stopped last. Is it another one, we wait for that one. Is it the
  engine, we wait until a majority of the disc members is there: whatever was promised to a client
  is known to one of them.
- Who is named may know less than another one: its disc was restored from a backup, or lost its tail
  with the power. While it does not run nobody orders, so whatever the other one has was ordered and
  may have been promised: it is taken over before anything is ordered anew. (Who cannot be asked may
  have more, too; that cannot be known, and who is named is not to wait for all.)
- force_boot makes this node the authority of the next generation. Members that come back find
  that their incarnation is over, and join again with an empty table. A node whose own metadata is
  gone cannot be forced: it has nothing to go on with.
- Generations that were forced on two members, each without the other, are *apart*
  (`mqd.metadata.generations`): each was promised things that the other never had. Nobody gives
  that up by itself. Who runs goes on; who starts beside one that runs does not, keeps what it has
  and remembers that, until an operator says which of the two parts goes on. Of two that start at
  once the one with the greater generation and fork does. A third member, older than both, chooses
  neither.
- A ram member has no table: it starts from a disc member that runs, or not at all.

A running member of our cluster that does not know us has forgotten us: we must not start (RabbitMQ:
inconsistent_cluster), unless another one that runs still knows us.

One that answers and is in no cluster, or in another, has left ours, and its copy of the metadata is
gone with that: it is nobody to wait for, nor one that a disc member yields to, whose data may be
the last. Have all other disc members left, who stays goes on alone, in a new generation. (A ram
member has nothing to go on with, and refuses as RabbitMQ does.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations

from mqd.cluster.membership.record import DISC, RAM, Record
from mqd.metadata.commands import ClusterRecord
from mqd.metadata.generations import Relation, precedence, relation

RUNNING = "running"
STARTING = "starting"  # waits for others, or is past that
STOPPED = "stopped"  # the process answers, its app is stopped


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node that answers says of itself. cluster None: it is in none. members: incarnation by
    name, "" for one that must join again."""

    node: str
    state: str
    cluster: ClusterRecord | None = None
    kind: str = DISC
    incarnation: str = ""
    members: Mapping[str, str] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Serve:
    """Start. authority: as in ClusterRecord. via: a running member that has the metadata, when
    there is one. fresh: what this node has on disc of it counts no more. cluster: as another one
    knows it that does not run, and better than this node; None: there is none such."""

    authority: str
    via: str | None = None
    fresh: bool = False
    cluster: ClusterRecord | None = None


@dataclass(frozen=True, slots=True)
class Force:
    """Start as the authority of a new generation. left: because these have left the cluster."""

    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejoin:
    """Become a member anew, through this running member, then decide again."""

    via: str


@dataclass(frozen=True, slots=True)
class Take:
    """This node orders, or has no metadata, and that one knows more: have its metadata first, then
    decide again."""

    of: str


@dataclass(frozen=True, slots=True)
class Wait:
    """For all of these, or, when enough is not 0, for that many of them."""

    nodes: tuple[str, ...]
    enough: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """This running node says that we are no member."""

    by: str


@dataclass(frozen=True, slots=True)
class Apart:
    """Neither of two parts is given up by itself. nodes: of another part than this node; or, when
    between is set, of two parts between which this node would have to choose."""

    nodes: tuple[str, ...]
    between: bool = False


Verdict = Serve | Force | Rejoin | Take | Wait | Refuse | Apart


def decide(me: Record, seen: Mapping[str, Seen], forced: bool) -> Verdict:
    """seen: the other members that answered."""
    knowing = [each for each in seen.values() if _knows(each, me)]
    running = [
        each
        for each in knowing
        if each.state == RUNNING and _relation(each, me) is not Relation.EARLIER
    ]
    if rivals := _rivals(running):
        return Apart(rivals, between=True)
    if running:
        return _under(me, running)
    if forced and can_force(me):
        return Force()
    left = {each.node for each in seen.values() if _has_left(each, me)}
    if others := _other_part(me, seen, left):
        return Apart(others)
    strangers = [
        each
        for each in seen.values()
        if each.state == RUNNING
        and _relation(each, me) not in (Relation.EARLIER, Relation.APART)
        and not (me.kind == DISC and _has_left(each, me))
    ]
    if strangers:
        return Refuse(max(each.node for each in strangers))  # whom 3.10.8 asks last and names
    if me.kind == RAM:
        return Wait(me.disc, enough=1)
    return _among_stopped(me, knowing, left)


def can_force(me: Record) -> bool:
    """Whether force_boot is anything to go by. A generation begins with the metadata of the member
    that was forced, and one that runs from memory, or whose metadata is gone, has none."""
    return me.kind == DISC and me.number > 0


def majority(count: int) -> int:
    """The least number of so many that two such groups always share a member."""
    return count // 2 + 1


def _relation(other: Seen, me: Record) -> Relation | None:
    """None: it is of no generation of our cluster."""
    if other.cluster is None or other.cluster.id != me.cluster.id:
        return None
    return relation(me.cluster, other.cluster)


def _knows(other: Seen, me: Record) -> bool:
    """Of our cluster with us in it, and not of one of its pasts: but for a past that only struck
    out a third member since."""
    if me.node not in other.members:
        return False
    match _relation(other, me):
        case Relation.SAME | Relation.LATER:
            return True
        case Relation.EARLIER:
            there = me.members.get(other.node)
            is_same = there is not None and there.incarnation == other.incarnation
            return is_same and other.members[me.node] == me.incarnation
        case _:
            return False


def _rivals(running: Sequence[Seen]) -> tuple[str, ...]:
    """Names, when they are not of one part."""
    clusters = [each.cluster for each in running if each.cluster is not None]
    if any(relation(*pair) is Relation.APART for pair in combinations(clusters, 2)):
        return tuple(sorted(each.node for each in running))
    return ()


def _other_part(me: Record, seen: Mapping[str, Seen], left: Set[str]) -> tuple[str, ...]:
    """Members that this one does not start beside."""
    if me.yields_to and not left >= {*me.yields_to}:
        return tuple(name for name in me.yields_to if name not in left)
    found = []
    for each in seen.values():
        if _relation(each, me) is Relation.APART:
            assert each.cluster is not None
            is_first = precedence(each.cluster) > precedence(me.cluster)
            if each.state == RUNNING or (each.state == STARTING and is_first):
                found.append(each.node)
    return tuple(sorted(found))


def _has_left(other: Seen, me: Record) -> bool:
    """What it had of our cluster is gone."""
    return other.cluster is None or other.cluster.id != me.cluster.id


def _rank(cluster: ClusterRecord, number: int) -> tuple[int, int]:
    return cluster.generation, number


def _under(me: Record, running: list[Seen]) -> Verdict:
    best = max(running, key=lambda each: (_rank_of(each), each.kind == DISC, each.node))
    assert best.cluster is not None
    authority = best.cluster.authority
    if best.members[me.node] != me.incarnation:
        return Rejoin(best.node)
    ahead = _rank(me.cluster, me.number) > _rank_of(best)
    if authority == me.node:
        if _rank_of(best) > _rank(me.cluster, me.number):
            return Take(best.node)
        return Serve(authority, best.node)  # they follow us, and we were away
    disc = [each for each in running if each.kind == DISC]
    if authority:
        there = [each for each in disc if each.node == authority]
        if not there:
            return Wait((authority,))
        return Serve(authority, authority, fresh=ahead)
    if not disc and me.kind == RAM:
        return Wait(me.disc, enough=1)
    via = max(disc, key=lambda each: (_rank_of(each), each.node)).node if disc else best.node
    return Serve("", via)


def _rank_of(other: Seen) -> tuple[int, int]:
    assert other.cluster is not None
    return _rank(other.cluster, other.number)


def _learns_from(me: Record, ahead: Seen) -> Verdict:
    """ahead: who knows more."""
    is_same = ahead.members[me.node] == me.incarnation
    return Take(ahead.node) if is_same else Wait((ahead.node,))


def _who_orders(me: Record, ahead: Seen | None) -> Verdict:
    """This node does."""
    if ahead is not None:
        return _learns_from(me, ahead)
    others = tuple(name for name in me.disc if name != me.node)
    if me.number == 0 and others:  # its metadata is lost: it had ordered something
        return Wait(others)
    return Serve(me.node)


def _among_stopped(me: Record, knowing: list[Seen], left: Set[str]) -> Verdict:
    """Nobody runs; some of the others' processes may."""
    cluster, best, ahead = me.cluster, _rank(me.cluster, me.number), None
    for each in knowing:
        assert each.cluster is not None
        if each.kind == DISC and _rank_of(each) > best:
            cluster, best, ahead = each.cluster, _rank_of(each), each
    newer = cluster if cluster != me.cluster else None
    if cluster.authority == me.node:
        return _who_orders(me, ahead)
    disc = me.disc
    others = {*disc} - {me.node}
    if others and others <= left:
        return Force(tuple(sorted(others)))
    if cluster.authority:
        return Wait((cluster.authority,))
    if me.number == 0 and others:  # its metadata is lost: it could not follow the engine's log
        return Wait(tuple(sorted(others)), 1) if ahead is None else _learns_from(me, ahead)
    there = {each.node for each in knowing if each.state != STOPPED and each.node in disc}
    enough = majority(len(disc))
    if len(there) + 1 >= enough:
        return Serve("", cluster=newer)
    return Wait(tuple(name for name in disc if name not in there and name != me.node), enough - 1)
