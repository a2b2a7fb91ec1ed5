"""What is true of each member of a cluster, and the command to type next.

Decides the sentences of `explain cluster` from what the members answered. Never asks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mqd.admin.membership_words import listed
from mqd.cluster.membership.record import DISC, RAM
from mqd.cluster.membership.start import RUNNING, STARTING
from mqd.metadata.commands import ClusterRecord
from mqd.metadata.generations import Relation, relation
from mqd.rpc.v1 import explain_pb2
from mqd.rpc.v1 import membership_pb2 as pb

_START = "systemctl start mqd"


def advise(node: str, answers: Mapping[str, pb.MemberFacts | None]) -> explain_pb2.Explanation:
    """answers: by member, this one included; None of those that do not answer."""
    told = explain_pb2.Explanation(subject="cluster", name=node)
    mine = answers.get(node)
    if mine is None or not mine.cluster_id:
        told.outcome = "alone"
        told.says = f"no cluster: {node} has never joined one, or left it"
        return told
    apart = {
        name for name, facts in answers.items() if facts is not None and _is_apart(facts, mine)
    }
    ours = {
        name: facts
        for name, facts in answers.items()
        if name not in apart and not _has_left(facts, mine)
    }
    kinds = {each.name: each.kind or DISC for facts in ours.values() if facts is not None
             for each in facts.members}  # fmt: skip
    newest = _newest(ours)
    for name, facts in answers.items():
        kind = kinds.get(name, DISC)
        if facts is None:
            _of_silent(told, name, kind, ours)
        elif name in ours:
            _of_member(told, facts, kind, newest, waits_for_choice=bool(apart))
        elif name in apart:
            _of_one_apart(told, mine, facts, kind)
        else:
            _of_one_that_left(told, mine, facts, kind)
    _sum_up(told, mine, ours, {name: kinds.get(name, DISC) for name in answers})
    return told


def _is_apart(facts: pb.MemberFacts, mine: pb.MemberFacts) -> bool:
    if facts.cluster_id != mine.cluster_id:
        return False
    return relation(_generation(mine), _generation(facts)) is Relation.APART


def _generation(facts: pb.MemberFacts) -> ClusterRecord:
    return ClusterRecord(facts.cluster_id, facts.generation, forks=tuple(facts.forks))


def _has_left(facts: pb.MemberFacts | None, mine: pb.MemberFacts) -> bool:
    return facts is not None and facts.cluster_id != mine.cluster_id


def _newest(answers: Mapping[str, pb.MemberFacts | None]) -> pb.MemberFacts | None:
    """Of those that keep the metadata on disc."""
    there = [facts for facts in answers.values() if facts is not None and facts.on_disc]
    return max(there, key=lambda facts: (facts.generation, facts.number), default=None)


def _of_silent(
    told: explain_pb2.Explanation,
    name: str,
    kind: str,
    ours: Mapping[str, pb.MemberFacts | None],
) -> None:
    seers = [seer for seer, facts in ours.items() if facts is not None and name in facts.running]
    if seers and seers != [told.name]:
        told.reasons.add(
            kind="partitioned",
            says=f"{name} ({kind}) runs, as {listed(seers)} can tell, and is not reached from "
            f"{told.name}: the network between the two is cut",
        )
        return
    told.reasons.add(
        kind="down",
        says=f"{name} ({kind}) does not answer: its process is down, and is to be started on its "
        "host, or the network is cut",
        command=_START,
    )


def _of_one_that_left(
    told: explain_pb2.Explanation, mine: pb.MemberFacts, facts: pb.MemberFacts, kind: str
) -> None:
    where = "in another cluster" if facts.cluster_id else "in no cluster"
    told.reasons.add(
        kind="left",
        says=f"{facts.node} ({kind}) answers and is {where}: it left this one without a word; "
        "strike it out, then it can join again",
        command=f"mqctl -n {mine.node} forget_cluster_node {facts.node}",
    )


def _of_one_apart(
    told: explain_pb2.Explanation, mine: pb.MemberFacts, facts: pb.MemberFacts, kind: str
) -> None:
    """Either side's command is named on either side; which one, nobody but an operator can tell."""
    name = facts.node
    told.reasons.add(
        kind="apart",
        says=f"{name} ({kind}) {_state(facts)}, generation {facts.generation}, metadata to change "
        f"{facts.number}, and was forced to go on without {mine.node} (generation "
        f"{mine.generation}, to change {mine.number}) as {mine.node} was without it: each may have "
        f"changes that the other has not. To go on with those of {mine.node}, do this, then join "
        f"{name} again; to go on with those of {name}, the same the other way round",
        command=f"mqctl -n {name} stop_app && mqctl -n {name} reset && "
        f"mqctl -n {name} join_cluster {mine.node} && mqctl -n {name} start_app",
    )


def _of_member(
    told: explain_pb2.Explanation,
    facts: pb.MemberFacts,
    kind: str,
    newest: pb.MemberFacts | None,
    waits_for_choice: bool,
) -> None:
    """waits_for_choice: whether a stopped one may go on is not said by the next command alone."""
    name = facts.node
    says = f"{name} ({kind}) {_state(facts)}, generation {facts.generation}"
    if facts.on_disc:
        says += f", metadata to change {facts.number}"
        if newest is not None and newest.node == name and facts.state != RUNNING:
            says += ", the newest of those that answer"
    if facts.ails:
        says += f"; its vote and its copies of messages do not count now: {facts.ails}"
    if facts.ran_ms:
        ran = datetime.fromtimestamp(facts.ran_ms // 1000, UTC)
        says += f", ran last at {ran:%Y-%m-%d %H:%M:%S} UTC"
    if facts.lacks:
        says += "; " + _of_copies(facts)
    command = "" if waits_for_choice and facts.state != RUNNING else _command(facts)
    told.reasons.add(kind=_kind(facts), says=says, command=command)


def _of_copies(facts: pb.MemberFacts) -> str:
    """What whoever chooses a member to go on alone has to know."""
    logs = ", ".join(facts.lacks)
    if facts.state == RUNNING:
        return (
            f"it has no whole copy of these logs of quorum queues now ({logs}): forced to go on "
            "alone it would give up messages that only others have"
        )
    return (
        f"it had no whole copy of these logs of quorum queues when it ran last ({logs}): forced to "
        "go on alone it would give up messages that only others have"
    )


def _kind(facts: pb.MemberFacts) -> str:
    if facts.forgotten:
        return "forgotten"
    if facts.ails:
        return "ailing"
    if facts.lacks and facts.state == RUNNING:
        return "copying"
    return "waiting" if facts.waits_for else str(facts.state)


def _state(facts: pb.MemberFacts) -> str:
    if facts.forgotten:
        return "is no member any more"
    if facts.waits_for:
        return f"waits for {listed(list(facts.waits_for))}"
    return {RUNNING: "runs", STARTING: "starts"}.get(facts.state, "answers, its app is stopped")


def _command(facts: pb.MemberFacts | None) -> str:
    if facts is None:
        return _START
    on = f"mqctl -n {facts.node}"
    if facts.forgotten:
        return f"{on} reset && {on} start_app"
    if facts.waits_for:
        return f"mqctl -n {facts.waits_for[0]} start_app"
    return "" if facts.state in (RUNNING, STARTING) else f"{on} start_app"


def _sum_up(
    told: explain_pb2.Explanation,
    mine: pb.MemberFacts,
    answers: Mapping[str, pb.MemberFacts | None],
    kinds: Mapping[str, str],
) -> None:
    discs = sorted(name for name, kind in kinds.items() if kind != RAM)
    running = [name for name in discs if _runs(answers.get(name))]
    if mine.authority:
        keeps = f"changes are ordered by {mine.authority}"
        can = mine.authority in running
    else:
        keeps = "changes are ordered by a majority of the disc nodes"
        can = sum(_votes(answers.get(name)) for name in discs) > len(discs) // 2
    told.outcome = "writable" if can else "read_only"
    state = "durable changes can be made" if can else "no durable change can be made now"
    told.says = f"{len(running)} of {_count(discs)} run, {keeps}: {state}"
    rams = sorted(name for name, kind in kinds.items() if kind == RAM)
    if len(discs) == 1 and rams and discs != running:
        told.reasons.add(
            kind="warning",
            says=f"{discs[0]} is the only disc node and does not run: nothing can be changed and "
            "no ram node started before it runs; if it waits for one that is lost for good, "
            "force_boot it",
            command=_command(answers.get(discs[0])),
        )
    elif len(discs) == 1 and rams:
        told.reasons.add(
            kind="warning",
            says=f"{discs[0]} is the only disc node: without its disc the cluster is lost",
            command=" && ".join(
                f"mqctl -n {rams[0]} {verb}"
                for verb in ("stop_app", "change_cluster_node_type disc", "start_app")
            ),
        )
    elif len(discs) == 2:
        told.reasons.add(
            kind="warning",
            says="with two disc nodes both are needed after a crash of one; a third one helps",
        )
    if not can and not mine.authority and mine.node in running:
        told.reasons.add(
            kind="remedy",
            says="when the others are lost for good, and only then: this node can go on alone",
            command="mqctl stop_app && mqctl force_boot && mqctl start_app",
        )


def _runs(facts: pb.MemberFacts | None) -> bool:
    return facts is not None and bool(facts.state == RUNNING)


def _votes(facts: pb.MemberFacts | None) -> bool:
    return facts is not None and _runs(facts) and not facts.ails


def _count(discs: Sequence[str]) -> str:
    return f"{len(discs)} disc node{'' if len(discs) == 1 else 's'}"
