"""What `mqctl cluster explain` says of each member."""

from __future__ import annotations

from mqd.admin.cluster_advice import advise
from mqd.rpc.v1 import membership_pb2 as pb

A, B, C = "rabbit@a", "rabbit@b", "rabbit@c"


def facts(node: str, state: str = "running", number: int = 9, **more: object) -> pb.MemberFacts:
    kinds = {A: "disc", B: "disc", C: "ram"}
    plain: dict[str, object] = {
        "cluster_id": "c",
        "generation": 1,
        "authority": A,
        "kind": kinds[node],
        "on_disc": kinds[node] == "disc",
        "members": [pb.MemberEntry(name=name, kind=kind) for name, kind in kinds.items()],
    }
    return pb.MemberFacts(node=node, state=state, number=number, **{**plain, **more})  # type: ignore[arg-type]


def test_a_node_alone_is_in_no_cluster() -> None:
    told = advise(A, {A: pb.MemberFacts(node=A, state="running")})
    assert (told.outcome, list(told.reasons)) == ("alone", [])


def test_all_is_well() -> None:
    told = advise(A, {A: facts(A), B: facts(B), C: facts(C)})
    assert told.outcome == "writable"
    assert told.says == (
        "2 of 2 disc nodes run, changes are ordered by rabbit@a: durable changes can be made"
    )
    assert [(each.kind, each.command) for each in told.reasons[:3]] == [("running", "")] * 3


def test_one_that_waits_names_whom_to_start() -> None:
    waits = facts(B, "starting", waits_for=[A])
    told = advise(B, {B: waits, A: facts(A, "stopped", number=12), C: None})
    assert told.outcome == "read_only"
    said = {each.kind: (each.says, each.command) for each in told.reasons}
    assert said["waiting"] == (
        "rabbit@b (disc) waits for rabbit@a, generation 1, metadata to change 9",
        "mqctl -n rabbit@a start_app",
    )
    assert said["stopped"] == (
        "rabbit@a (disc) answers, its app is stopped, generation 1, metadata to change 12, the "
        "newest of those that answer",
        "mqctl -n rabbit@a start_app",
    )
    assert said["down"][0].startswith("rabbit@c (ram) does not answer")


def test_one_that_ails_is_no_vote_to_count_on() -> None:
    why = "nats-server is not started: the disc is full"
    mine, other = facts(A, authority=""), facts(B, authority="", ails=why)
    told = advise(A, {A: mine, B: other})
    assert told.outcome == "read_only"
    assert told.reasons[1].kind == "ailing"
    assert told.reasons[1].says.endswith(f"messages do not count now: {why}")
    assert advise(A, {A: mine, B: facts(B, authority="")}).outcome == "writable"


def test_what_would_be_given_up_with_a_copy_that_is_not_whole() -> None:
    told = advise(A, {A: facts(A), B: facts(B, lacks=["Q0", "Q2"])})
    assert [each.kind for each in told.reasons] == ["running", "copying", "warning"]
    assert told.reasons[1].says.endswith(
        "it has no whole copy of these logs of quorum queues now (Q0, Q2): forced to go on alone "
        "it would give up messages that only others have"
    )
    waits = facts(B, "starting", waits_for=[A], lacks=["Q1"], ran_ms=1_000)
    told = advise(B, {A: None, B: waits})
    said = next(each for each in told.reasons if each.kind == "waiting")
    assert "when it ran last (Q1): forced to go on alone it would give" in said.says
    assert ", ran last at 1970-01-01 00:00:01 UTC; it had no whole copy of" in said.says


def test_one_that_was_forgotten_is_to_be_reset() -> None:
    told = advise(B, {B: facts(B, "stopped", forgotten=True)})
    assert told.reasons[0].kind == "forgotten"
    assert told.reasons[0].command == "mqctl -n rabbit@b reset && mqctl -n rabbit@b start_app"


def test_without_a_majority_the_way_out_is_named_last() -> None:
    told = advise(A, {A: facts(A, authority=""), B: None, C: facts(C, authority="")})
    assert told.outcome == "read_only"
    assert "force_boot" in told.reasons[-1].command


def test_one_disc_node_is_warned_of() -> None:
    members = [pb.MemberEntry(name=A, kind="disc"), pb.MemberEntry(name=C, kind="ram")]
    told = advise(A, {A: facts(A, members=members), C: facts(C, members=members)})
    assert any("the only disc node" in each.says for each in told.reasons)


def test_one_that_is_down_is_started_on_its_host() -> None:
    told = advise(A, {A: facts(A), B: None, C: facts(C)})
    assert told.reasons[1].kind == "down"
    assert told.reasons[1].command == "systemctl start mqd"


def test_one_that_another_member_sees_is_partitioned() -> None:
    told = advise(A, {A: facts(A), B: None, C: facts(C, running=[A, B])})
    assert told.reasons[1].kind == "partitioned"
    assert "as rabbit@c can tell" in told.reasons[1].says


def test_one_that_left_is_to_be_forgotten_and_nobody_is_to_be_reset() -> None:
    members = [pb.MemberEntry(name=A, kind="disc"), pb.MemberEntry(name=B, kind="ram")]
    alone = pb.MemberFacts(node=B, state="running", kind="disc")
    told = advise(A, {A: facts(A, members=members), B: alone})
    assert told.outcome == "writable"
    assert told.reasons[1].kind == "left"
    assert told.reasons[1].command == "mqctl -n rabbit@a forget_cluster_node rabbit@b"
    assert not any("reset" in each.command for each in told.reasons)


def test_the_only_disc_node_is_started_before_anything_else() -> None:
    members = [pb.MemberEntry(name=A, kind="disc"), pb.MemberEntry(name=C, kind="ram")]
    told = advise(C, {C: facts(C, members=members), A: None})
    warned = next(each for each in told.reasons if each.kind == "warning")
    assert "does not run" in warned.says
    assert warned.command == "systemctl start mqd"
