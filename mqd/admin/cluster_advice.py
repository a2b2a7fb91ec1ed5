"""What is true of each member of a cluster, and the command to type next.

Decides the sentences of `explain cluster` from what the members answered. Never asks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mqd.admin.membership_words import listed
from mqd.cluster.membership.record import DISC, RAM
from mqd.cluster.membership.start import RUNNING, STARTING
from mqd.rpc.v1 import explain_pb2
from mqd.rpc.v1 import membership_pb2 as pb


def advise(node: str, answers: Mapping[str, pb.MemberFacts | None]) -> explain_pb2.Explanation:
    """answers: by member, this one included; None of those that do not answer."""
    told = explain_pb2.Explanation(subject="cluster", name=node)
    mine = answers.get(node)
    if mine is None or not mine.cluster_id:
        told.outcome = "alone"
        told.says = f"no cluster: {node} has never joined one, or left it"
        return told
    kinds = {each.name: each.kind or DISC for facts in answers.values() if facts is not None
             for each in facts.members}  # fmt: skip
    newest = _newest(answers)
    for name in answers:
        _of_member(told, name, answers[name], kinds.get(name, DISC), newest)
    _sum_up(told, mine, answers, kinds)
    return told


def _newest(answers: Mapping[str, pb.MemberFacts | None]) -> pb.MemberFacts | None:
    """Of those that keep the metadata on disc."""
    there = [facts for facts in answers.values() if facts is not None and facts.on_disc]
    return max(there, key=lambda facts: (facts.generation, facts.number), default=None)


def _of_member(
    told: explain_pb2.Explanation,
    name: str,
    facts: pb.MemberFacts | None,
    kind: str,
    newest: pb.MemberFacts | None,
) -> None:
    if facts is None:
        told.reasons.add(
            kind="down",
            says=f"{name} ({kind}) does not answer: its process is down, or the network is cut",
            command=f"mqctl -n {name} await_startup",
        )
        return
    says = f"{name} ({kind}) {_state(facts)}, generation {facts.generation}"
    if facts.on_disc:
        says += f", metadata to change {facts.number}"
        if newest is not None and newest.node == name and facts.state != RUNNING:
            says += ", the newest of those that answer"
    if facts.ails:
        says += f"; its vote and its copies of messages do not count now: {facts.ails}"
    told.reasons.add(kind=_kind(facts), says=says, command=_command(facts))


def _kind(facts: pb.MemberFacts) -> str:
    if facts.forgotten:
        return "forgotten"
    if facts.ails:
        return "ailing"
    return "waiting" if facts.waits_for else str(facts.state)


def _state(facts: pb.MemberFacts) -> str:
    if facts.forgotten:
        return "is no member any more"
    if facts.waits_for:
        return f"waits for {listed(list(facts.waits_for))}"
    return {RUNNING: "runs", STARTING: "starts"}.get(facts.state, "answers, its app is stopped")


def _command(facts: pb.MemberFacts) -> str:
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
    discs = sorted(name for name in answers if kinds.get(name, DISC) != RAM)
    running = [name for name in discs if _runs(answers[name])]
    if mine.authority:
        keeps = f"changes are ordered by {mine.authority}"
        can = mine.authority in running
    else:
        keeps = "changes are ordered by a majority of the disc nodes"
        can = sum(_votes(answers[name]) for name in discs) > len(discs) // 2
    told.outcome = "writable" if can else "read_only"
    state = "durable changes can be made" if can else "no durable change can be made now"
    told.says = f"{len(running)} of {_count(discs)} run, {keeps}: {state}"
    rams = sorted(name for name in answers if kinds.get(name, DISC) == RAM)
    if len(discs) == 1 and rams:
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
