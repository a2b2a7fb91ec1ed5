"""Who may start, and under whom: whole histories of a cluster, without a process or a wire."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mqd.cluster.membership.record import DISC, Record
from mqd.cluster.membership.start import (
    RUNNING,
    STARTING,
    STOPPED,
    Force,
    Refuse,
    Rejoin,
    Seen,
    Serve,
    decide,
    majority,
)
from mqd.metadata.commands import ClusterRecord, Member


@dataclass
class Node:
    record: Record
    state: str | None = RUNNING  # None: no process
    forced: bool = False


class Cluster(RuleBasedStateMachine):
    """Disc members that write, stop in order, crash, start and are forced.

    `promised`: by generation, the number of the last command that somebody was answered for.
    """

    @initialize(count=st.integers(1, 4), engine=st.booleans())
    def begin(self, count: int, engine: bool) -> None:
        names = [f"n{i}@h" for i in range(count)]
        cluster = ClusterRecord("c", authority="" if engine and count > 1 else names[0])
        members = {name: Member(name, f"i{name}", at) for at, name in enumerate(names, 1)}
        self.nodes = {
            name: Node(Record(name, cluster, DISC, f"i{name}", members, 1)) for name in names
        }
        self.promised = {1: 1}

    # -- what runs ---------------------------------------------------------------------------

    def running(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.state == RUNNING]

    def newest(self) -> Record:
        """Of those that run."""
        records = [self.nodes[name].record for name in self.running()]
        return max(records, key=lambda each: (each.cluster.generation, each.number))

    def can_write(self) -> bool:
        running = self.running()
        if not running:
            return False
        authority = self.newest().cluster.authority
        if authority:
            return authority in running
        return len(running) >= majority(len(self.nodes))

    def command(self, cluster: ClusterRecord | None = None) -> None:
        """On all that run, before anybody is answered."""
        newest = self.newest()
        for name in self.running():
            record = self.nodes[name].record
            self.nodes[name].record = replace(
                record, number=newest.number + 1, cluster=cluster or newest.cluster
            )
        generation = (cluster or newest.cluster).generation
        self.promised[generation] = newest.number + 1

    def settle(self) -> None:
        """Those that wait look again until nothing changes."""
        changed = True
        while changed:
            changed = False
            for name, node in self.nodes.items():
                if node.state == STARTING:
                    changed |= self.look(name, node)

    def look(self, name: str, node: Node) -> bool:
        seen = {other: self.seen(other) for other in self.nodes if other != name}
        verdict = decide(node.record, {k: v for k, v in seen.items() if v is not None}, node.forced)
        assert not isinstance(verdict, Refuse)
        if isinstance(verdict, Rejoin):
            via = self.nodes[verdict.via]
            if not self.can_write():
                return False
            fresh = f"{name}{via.record.number}"
            self.rename_incarnation(name, fresh)
            self.command()
            record = self.nodes[name].record
            node.record = replace(
                record, incarnation=fresh, number=0, cluster=via.record.cluster,
                members=via.record.members,
            )  # fmt: skip
            return True
        if isinstance(verdict, Force):
            cluster = replace(
                node.record.cluster, generation=node.record.cluster.generation + 1, authority=name
            )
            node.state, node.forced = RUNNING, False
            node.record = replace(node.record, number=node.record.number + 1, cluster=cluster)
            self.promised[cluster.generation] = node.record.number
            for other in self.nodes:
                if other != name:
                    self.rename_incarnation(other, "", only=name)
            return True
        if not isinstance(verdict, Serve):
            return False
        self.serve(name, verdict)
        return True

    def rename_incarnation(self, name: str, incarnation: str, only: str | None = None) -> None:
        for each in [only] if only else self.running():
            record = self.nodes[each].record
            members = dict(record.members)
            members[name] = replace(members[name], incarnation=incarnation)
            self.nodes[each].record = replace(record, members=members)

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
        elif verdict.authority == name:
            best = node.record
        else:  # the engine's log is that of a majority
            there = [each for each in self.nodes.values() if each.state == STARTING]
            assert len(there) >= majority(len(self.nodes))
            best = max((each.record for each in there), key=lambda each: each.number)
        node.record = replace(
            node.record, number=best.number, cluster=best.cluster, members=best.members
        )
        node.state, node.forced = RUNNING, False

    # -- what happens ------------------------------------------------------------------------

    @precondition(lambda self: self.can_write())
    @rule()
    def write(self) -> None:
        self.command()

    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """In order: the authority is handed on where the rest could not go on without."""
        name = data.draw(st.sampled_from(list(self.nodes)))
        node = self.nodes[name]
        rest = [each for each in self.running() if each != name]
        if node.state == RUNNING and rest and self.can_write():
            cluster = self.newest().cluster
            lost = not cluster.authority and len(rest) < majority(len(self.nodes))
            if lost or cluster.authority == name:
                self.command(replace(cluster, authority=data.draw(st.sampled_from(rest))))
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

    @precondition(lambda self: not self.running())
    @rule(data=st.data())
    def force(self, data: st.DataObject) -> None:
        """LIMIT: not one that never heard of a later generation: that begins another of the same
        number, and which of the two goes on is chance."""
        latest = max(node.record.cluster.generation for node in self.nodes.values())
        heard = [n for n, node in self.nodes.items() if node.record.cluster.generation == latest]
        node = self.nodes[data.draw(st.sampled_from(heard))]
        node.state, node.forced = STARTING, True
        self.settle()

    @precondition(lambda self: self.running() and self.can_write())
    @rule()
    def share(self) -> None:
        """The engine takes over as soon as a majority runs."""
        running = self.running()
        if len(running) > 1 and len(running) >= majority(len(self.nodes)):
            self.command(replace(self.newest().cluster, authority=""))

    @rule()
    def start_all(self) -> None:
        """Then all run, whatever was before."""
        for node in self.nodes.values():
            if node.state != RUNNING:
                node.state = STARTING
        self.settle()
        assert self.running() == list(self.nodes)

    # -- what always holds -------------------------------------------------------------------

    @invariant()
    def one_authority(self) -> None:
        if not self.running():
            return
        clusters = {self.nodes[name].record.cluster for name in self.running()}
        assert len({each.generation for each in clusters}) == len(clusters)

    @invariant()
    def nothing_promised_is_missing(self) -> None:
        for name in self.running():
            record = self.nodes[name].record
            assert record.number == self.promised[record.cluster.generation]


TestCluster = Cluster.TestCase
