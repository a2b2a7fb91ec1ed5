"""Who may start, and under whom: whole histories of a cluster, without a process or a wire."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mqd.cluster.membership.record import DISC, Record
from mqd.cluster.membership.start import (
    RUNNING,
    STARTING,
    STOPPED,
    Apart,
    Force,
    Refuse,
    Rejoin,
    Seen,
    Serve,
    decide,
    majority,
)
from mqd.metadata.commands import ClusterRecord, Member
from mqd.metadata.generations import FORKS_MAX, Relation, begun, fork_of, put_over, relation

Part = tuple[int, str]  # (generation, fork)


@dataclass
class Node:
    record: Record
    state: str | None = RUNNING  # None: no process
    forced: bool = False
    kept_apart: bool = False  # its last start was refused: it is of another part than who runs


def part_of(record: Record) -> Part:
    return record.cluster.generation, fork_of(record.cluster)


class Cluster(RuleBasedStateMachine):
    """Disc members that write, stop in order, crash, start, are struck out, and are forced: also
    one that never heard that another one was, and one beside those that run.

    `promised`: by part, the number of the last command that somebody was answered for.
    """

    @initialize(count=st.integers(1, 4), engine=st.booleans())
    def begin(self, count: int, engine: bool) -> None:
        names = [f"n{i}@h" for i in range(count)]
        cluster = ClusterRecord("c", authority="" if engine and count > 1 else names[0])
        members = {name: Member(name, f"i{name}", at) for at, name in enumerate(names, 1)}
        self.nodes = {
            name: Node(Record(name, cluster, DISC, f"i{name}", members, 1)) for name in names
        }
        self.promised = {(1, ""): 1}
        self.forks = 0

    # -- what runs ---------------------------------------------------------------------------

    def parts(self) -> dict[Part, list[str]]:
        """Who runs, by what they are of."""
        found: dict[Part, list[str]] = {}
        for name, node in self.nodes.items():
            if node.state == RUNNING:
                found.setdefault(part_of(node.record), []).append(name)
        return found

    def beside(self, name: str) -> list[str]:
        """Those of its part that run."""
        return self.parts().get(part_of(self.nodes[name].record), [])

    def newest(self, running: list[str]) -> Record:
        return max((self.nodes[name].record for name in running), key=lambda each: each.number)

    def can_write(self, running: list[str]) -> bool:
        if not running:
            return False
        newest = self.newest(running)
        if newest.cluster.authority:
            return newest.cluster.authority in running
        return len(running) >= majority(len(newest.members))

    def writable(self) -> list[list[str]]:
        return [running for running in self.parts().values() if self.can_write(running)]

    def command(
        self,
        running: list[str],
        cluster: ClusterRecord | None = None,
        members: dict[str, Member] | None = None,
    ) -> None:
        """On all of a part that run, before anybody is answered."""
        newest = self.newest(running)
        for name in running:
            record = self.nodes[name].record
            self.nodes[name].record = replace(
                record,
                number=newest.number + 1,
                cluster=cluster or newest.cluster,
                members=members or newest.members,
            )
        self.promised[part_of(self.nodes[running[0]].record)] = newest.number + 1

    def settle(self) -> None:
        """Those that wait look again until nothing changes."""
        changed, rounds_left = True, 40
        while changed:
            changed, rounds_left = False, rounds_left - 1
            assert rounds_left, "they never come to rest"
            for name, node in self.nodes.items():
                if node.state == STARTING:
                    changed |= self.look(name, node)

    def look(self, name: str, node: Node) -> bool:
        seen = {other: self.seen(other) for other in node.record.members if other != name}
        verdict = decide(node.record, {k: v for k, v in seen.items() if v is not None}, node.forced)
        match verdict:
            case Refuse(by):  # only one that was struck out
                assert name not in self.nodes[by].record.members
                node.state = STOPPED
            case Apart(nodes, between):
                node.state, node.kept_apart = STOPPED, True
                if not between:
                    node.record = replace(node.record, yields_to=nodes)
            case Rejoin(via):
                return self.rejoin(name, via)
            case Force():
                self.begin_generation(name)
            case Serve():
                self.serve(name, verdict)
            case _:
                return False
        return True

    def rejoin(self, name: str, via: str) -> bool:
        """Nothing that this node was ever promised alone is given up for that."""
        node, running = self.nodes[name], self.beside(via)
        newest = self.newest(running)
        assert relation(node.record.cluster, newest.cluster) in (Relation.LATER, Relation.SAME)
        if not self.can_write(running):
            return False
        self.admit(name, running)
        return True

    def admit(self, name: str, running: list[str]) -> None:
        newest, node = self.newest(running), self.nodes[name]
        fresh = f"{name}{newest.number}{fork_of(newest.cluster)}"
        members = {**newest.members, name: Member(name, fresh, newest.number + 100)}
        self.command(running, members=members)
        node.record = Record(name, newest.cluster, DISC, fresh, members)

    def fork(self) -> str:
        self.forks += 1
        return f"{self.forks * 7919 % 1000:03}"

    def begin_generation(self, name: str) -> None:
        node = self.nodes[name]
        cluster = replace(begun(node.record.cluster, self.fork()), authority=name)
        members = {
            each.name: each if each.name == name else replace(each, incarnation="")
            for each in node.record.members.values()
        }
        node.state, node.forced, node.kept_apart = RUNNING, False, False
        node.record = replace(
            node.record,
            number=node.record.number + 1,
            cluster=cluster,
            members=members,
            yields_to=(),
        )
        self.promised[part_of(node.record)] = node.record.number

    def seen(self, name: str) -> Seen | None:
        node = self.nodes[name]
        if node.state is None:
            return None
        record = node.record
        incarnations = {each.name: each.incarnation for each in record.members.values()}
        return Seen(
            name, node.state, record.cluster, DISC, record.incarnation, incarnations, record.number
        )

    def serve(self, name: str, verdict: Serve) -> None:
        node = self.nodes[name]
        if verdict.via is not None:
            best = self.nodes[verdict.via].record
            assert relation(node.record.cluster, best.cluster) in (Relation.SAME, Relation.LATER)
        elif verdict.authority == name:
            best = node.record
        else:  # the engine's log is that of a majority
            there = [
                each.record
                for each in self.nodes.values()
                if each.state == STARTING
                and relation(node.record.cluster, each.record.cluster) is not Relation.APART
            ]
            assert len(there) >= majority(len(node.record.members))
            best = max(there, key=lambda each: each.number)
        node.record = replace(
            node.record, number=best.number, cluster=best.cluster, members=best.members
        )
        if verdict.authority == name and best.cluster.authority != name:
            self.command([name], replace(best.cluster, authority=name))
        node.state, node.forced, node.kept_apart = RUNNING, False, False

    # -- what happens ------------------------------------------------------------------------

    @precondition(lambda self: self.writable())
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        self.command(data.draw(st.sampled_from(self.writable())))

    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """In order: the authority is handed on where the rest could not go on without."""
        name = data.draw(st.sampled_from(list(self.nodes)))
        node = self.nodes[name]
        beside = self.beside(name)
        rest = [each for each in beside if each != name]
        if node.state == RUNNING and rest and self.can_write(beside):
            cluster = self.newest(beside).cluster
            lost = not cluster.authority and len(rest) < majority(len(node.record.members))
            if lost or cluster.authority == name:
                heir = data.draw(st.sampled_from(rest))
                self.command(beside, replace(cluster, authority=heir))
        node.state = data.draw(st.sampled_from([None, STOPPED]))
        self.settle()

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        self.nodes[data.draw(st.sampled_from(list(self.nodes)))].state = None
        self.settle()

    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        node = self.nodes[data.draw(st.sampled_from(list(self.nodes)))]
        if node.state != RUNNING:
            node.state = STARTING
        self.settle()

    @rule(data=st.data())
    def force(self, data: st.DataObject) -> None:
        """Whoever it is, whatever it heard of."""
        node = self.nodes[data.draw(st.sampled_from(list(self.nodes)))]
        if node.state != RUNNING:
            node.state, node.forced = STARTING, True
        self.settle()

    @precondition(lambda self: self.writable())
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """A member that is down; it comes back with what it has."""
        running = data.draw(st.sampled_from(self.writable()))
        newest = self.newest(running)
        down = [name for name in newest.members if self.nodes[name].state is None]
        if down:
            gone = data.draw(st.sampled_from(down))
            members = {name: each for name, each in newest.members.items() if name != gone}
            cluster = newest.cluster
            self.command(running, begun(cluster, self.fork()), members)
            self.settle()

    @precondition(lambda self: self.writable())
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        """The engine takes over as soon as a majority runs."""
        running = data.draw(st.sampled_from(self.writable()))
        newest = self.newest(running)
        if len(running) > 1 and len(running) >= majority(len(newest.members)):
            self.command(running, replace(newest.cluster, authority=""))

    @rule(data=st.data())
    def start_all(self, data: st.DataObject) -> None:
        """Then all run, whatever was before; but for those that were struck out, and of parts that
        are apart an operator has to choose one."""
        self.start_those_that_are_down()
        for name, node in self.nodes.items():
            if node.state != RUNNING:
                assert node.kept_apart or self.was_struck_out(name), f"{name} does not run"
        parts = list(self.parts().values())
        assert parts
        if len(parts) > 1 or any(node.kept_apart for node in self.nodes.values()):
            self.choose(data.draw(st.sampled_from(parts)))

    def start_those_that_are_down(self) -> None:
        for node in self.nodes.values():
            if node.state != RUNNING:
                node.state = STARTING
        self.settle()

    def was_struck_out(self, name: str) -> bool:
        return any(name not in each.record.members for each in self.nodes.values())

    def choose(self, running: list[str]) -> None:
        """What stays goes on; the others are reset and join it, as the error says."""
        assert self.can_write(running)
        for name, node in self.nodes.items():
            if node.state != RUNNING or name not in running:
                node.state = STOPPED
        for name, node in self.nodes.items():
            if node.state == STOPPED:
                self.admit(name, self.beside(running[0]))
                node.kept_apart, node.state = False, STARTING
                self.settle()
        assert self.parts() == {part_of(self.nodes[running[0]].record): list(self.nodes)}

    # -- what always holds -------------------------------------------------------------------

    @invariant()
    def one_authority(self) -> None:
        """Of each part."""
        clusters = {
            self.nodes[name].record.cluster for names in self.parts().values() for name in names
        }
        assert len({(each.generation, fork_of(each)) for each in clusters}) == len(clusters)

    @invariant()
    def nothing_promised_is_missing(self) -> None:
        for part, names in self.parts().items():
            for name in names:
                assert self.nodes[name].record.number == self.promised[part]


TestCluster = Cluster.TestCase


# -- generations -----------------------------------------------------------------------------------

forks = st.lists(st.sampled_from(["a", "b"]), max_size=4)


def reached(steps: list[str], legacy: int = 0) -> ClusterRecord:
    """legacy: generations that an mqd began which knew no forks."""
    cluster = ClusterRecord("c", 1 + legacy)
    for fork in steps:
        cluster = begun(cluster, fork)
    return cluster


@given(forks, forks, st.integers(0, 2))
def test_either_side_sees_the_same(mine: list[str], theirs: list[str], legacy: int) -> None:
    here, there = reached(mine, legacy), reached(theirs, legacy)
    shared = min(len(mine), len(theirs))
    if mine[:shared] != theirs[:shared] and mine[shared - 1] != theirs[shared - 1]:
        wanted = (Relation.APART, Relation.APART)
    elif mine[:shared] != theirs[:shared]:
        return  # random forks do not meet again
    elif len(mine) == len(theirs):
        wanted = (Relation.SAME, Relation.SAME)
    elif len(mine) < len(theirs):
        wanted = (Relation.LATER, Relation.EARLIER)
    else:
        wanted = (Relation.EARLIER, Relation.LATER)
    assert (relation(here, there), relation(there, here)) == wanted


def test_generations_without_forks_are_told_from_those_with_them() -> None:
    old, forced = reached([], legacy=1), reached(["a"])
    assert old.generation == forced.generation
    assert relation(old, forced) is relation(forced, old) is Relation.APART
    assert relation(old, reached(["a"], legacy=1)) is Relation.LATER


def test_what_is_not_remembered_any_more_is_an_ancestor() -> None:
    old = reached(["first"])
    new = reached(["first", *map(str, range(2 * FORKS_MAX))])
    assert len(new.forks) == FORKS_MAX
    assert relation(old, new) is Relation.LATER
    assert relation(new, old) is Relation.EARLIER


@given(forks, forks, st.integers(0, 9), st.integers(0, 9))
def test_a_put_takes_no_generation_back(
    before: list[str], more: list[str], numbers: int, others: int
) -> None:
    """Whoever names another authority may not have heard that a member was struck out meanwhile."""
    old = replace(reached(before), numbers=numbers)
    new = replace(reached(before + more), authority="", numbers=others)
    named = put_over(new, replace(old, authority="n"))
    assert named == replace(new, authority="n", numbers=max(numbers, others))
    assert put_over(old, new) == replace(new, numbers=max(numbers, others))
