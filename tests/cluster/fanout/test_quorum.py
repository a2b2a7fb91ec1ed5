"""rabbitmq-queues in a cluster: members of queues, their quorum, their leaders."""

from __future__ import annotations

import pytest

from mqd.admin import mirroring, queues, quorum_queues, upgrade
from mqd.admin.context import AppState
from mqd.cluster.fanout.standings import Standing
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutParameter
from mqd.rpc.v1 import mirroring_pb2, queues_pb2, upgrade_pb2
from mqd.rpc.v1 import quorum_queues_pb2 as pb
from mqd.rpc.v1.membership_pb2 import MemberFacts
from mqd.rpc.v1.values_pb2 import Term
from tests.cluster.fanout.logs import Logs
from tests.cluster.fanout.stands import A, B, C, Stands

pytestmark = pytest.mark.asyncio


def three() -> tuple[Stands, Logs]:
    """Members a, b and c, all of them with copies of two logs; the queues "one" and "two"."""
    logs = Logs(A, B, C, leaders=[A, B])
    stands = Stands(A, B, C, queues=logs)
    stands.queue(A, "one", "quorum", shard=0)
    stands.queue(B, "two", "quorum", shard=1)
    return stands, logs


async def status(stands: Stands, name: str) -> list[tuple[str, str]]:
    request = pb.QuorumStatus(vhost="/", queue=name)
    rows = await stands.rows(quorum_queues.status(stands[C].ctx, request))
    return [(row.node, written(row.raft_state)) for row in rows]


def written(state: Term) -> str:
    """In the words of Erlang."""
    if state.WhichOneof("kind") == "atom":
        return str(state.atom)
    return f"{{{','.join(map(written, state.tuple.items))}}}"


async def changed(stands: Stands, listing: object) -> list[tuple[str, int, str]]:
    return [(row.name, row.size, row.result) for row in await stands.rows(listing)]


async def critical(stands: Stands, node: str) -> list[str]:
    reply = await quorum_queues.critical(stands[node].ctx, pb.CriticalRequest())
    assert not reply.alone
    return [queue.name for queue in reply.queues]


async def test_an_app_that_is_stopped_is_no_process_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stands, logs = three()
    logs.down.add(B)
    membership = stands[C].ctx.node.membership

    async def survey(state: AppState) -> dict[str, MemberFacts | None]:
        return {C: membership.facts(state), B: MemberFacts(node=B), A: None}

    monkeypatch.setattr(membership, "survey", survey)
    assert await status(stands, "one") == [(A, "leader"), (B, "noproc"), (C, "follower")]


async def test_errors_only() -> None:
    stands, _ = three()
    assert (
        await changed(
            stands,
            quorum_queues.shrink(stands[A].ctx, pb.ShrinkQuorumQueues(target=B, errors_only=True)),
        )
        == []
    )
    assert B not in [node for node, _ in await status(stands, "one")]
    assert (
        await changed(
            stands,
            quorum_queues.grow(
                stands[A].ctx, pb.GrowQuorumQueues(target=B, strategy="all", errors_only=True)
            ),
        )
        == []
    )
    assert B in [node for node, _ in await status(stands, "one")]


async def test_a_node_in_maintenance_is_not_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    stands, _ = three()
    ctx = stands[A].ctx
    cluster = ctx.node.cluster
    assert cluster is not None
    monkeypatch.setattr(cluster, "standing", lambda node: Standing(in_maintenance=node == A))
    assert (await quorum_queues.critical(ctx, pb.CriticalRequest())).in_maintenance
    assert not (await quorum_queues.critical(ctx, pb.CriticalRequest(mirrors=True))).in_maintenance


async def test_a_row_for_each_copy() -> None:
    stands, logs = three()
    logs.down.add(B)
    found = await status(stands, "one")
    assert found == [(A, "leader"), (B, f"{{nodedown,{B}}}"), (C, "follower")]
    request = pb.QuorumStatus(vhost="/", queue="one")
    rows = await stands.rows(quorum_queues.status(stands[A].ctx, request))
    assert [row.HasField("log_index") for row in rows] == [True, False, True]


async def test_a_queue_of_one_member_is_asked_of_there() -> None:
    stands = Stands(A, B)
    stands.queue(A, "one", "quorum")
    request = pb.QuorumStatus(vhost="/", queue="one")
    rows = await stands.rows(quorum_queues.status(stands[B].ctx, request))
    assert [(row.node, row.raft_state.atom) for row in rows] == [(A, "leader")]
    stands.stop(A)
    with pytest.raises(MqdError, match="not_found"):
        await stands.rows(quorum_queues.status(stands[B].ctx, request))


async def test_listings_show_the_copies() -> None:
    stands, logs = three()
    logs.down.add(C)
    request = queues_pb2.ListQueues(vhost="/", columns=["name", "leader", "members", "online"])
    rows = await stands.rows(queues.list_(stands[C].ctx, request))
    found = {row.name: (row.leader, [*row.members.items], [*row.online.items]) for row in rows}
    assert found == {"one": (A, [A, B, C], [A, B]), "two": (B, [A, B, C], [A, B])}


async def test_members_come_and_go() -> None:
    stands, _ = three()
    ctx = stands[A].ctx
    delete = pb.DeleteQuorumMember(vhost="/", queue="one", target=B)
    for _ in range(2):
        await stands.run(quorum_queues.delete_member(ctx, delete))
    assert await status(stands, "one") == [(A, "leader"), (C, "follower")]
    assert await critical(stands, C) == ["one"]
    assert await critical(stands, B) == []
    for _ in range(2):
        add = pb.AddQuorumMember(vhost="/", queue="one", target=B)
        await stands.run(quorum_queues.add_member(ctx, add))
    assert len(await status(stands, "one")) == 3
    assert set(stands[B].metadata.state.queues["/", "one"].members) == {A, B, C}


@pytest.mark.parametrize(
    ("queue", "target", "code", "text"),
    [
        ("nope", B, ErrorCode.NOT_FOUND, "not_found"),
        ("classic", B, ErrorCode.PRECONDITION_FAILED, "Cannot add members to a classic queue"),
        ("one", "rabbit@nope", ErrorCode.UNAVAILABLE, "node_not_running"),
    ],
)
async def test_refused_members(queue: str, target: str, code: ErrorCode, text: str) -> None:
    stands, _ = three()
    stands.queue(A, "classic")
    request = pb.AddQuorumMember(vhost="/", queue=queue, target=target)
    with pytest.raises(MqdError) as refused:
        await quorum_queues.add_member(stands[A].ctx, request)
    assert (refused.value.code, refused.value.detail) == (code, text)


async def test_shrinking_and_growing() -> None:
    stands, logs = three()
    ctx = stands[A].ctx
    shrink = pb.ShrinkQuorumQueues(target=A)
    assert await changed(stands, quorum_queues.shrink(ctx, shrink)) == [
        ("one", 2, "ok"),
        ("two", 2, "ok"),
    ]
    assert logs.leaders[0] == B
    assert await changed(stands, quorum_queues.shrink(ctx, shrink)) == []
    assert (
        len(await changed(stands, quorum_queues.shrink(ctx, pb.ShrinkQuorumQueues(target=B)))) == 2
    )
    last = await changed(stands, quorum_queues.shrink(ctx, pb.ShrinkQuorumQueues(target=C)))
    assert last[0] == ("one", 1, "error: the last node cannot be removed")
    grow = pb.GrowQuorumQueues(target=B, strategy="even", vhost_pattern=".*", queue_pattern=".*")
    assert await changed(stands, quorum_queues.grow(ctx, grow)) == []
    grow.strategy = "all"
    grow.queue_pattern = "two"
    assert await changed(stands, quorum_queues.grow(ctx, grow)) == [("two", 2, "ok")]
    grow = pb.GrowQuorumQueues(target=A, strategy="even", vhost_pattern=".*", queue_pattern=".*")
    assert await changed(stands, quorum_queues.grow(ctx, grow)) == [("two", 3, "ok")]
    grow.target = "rabbit@nope"
    assert await changed(stands, quorum_queues.grow(ctx, grow)) == []


async def test_growing_to_a_count() -> None:
    stands, _ = three()
    ctx = stands[A].ctx
    await changed(stands, quorum_queues.shrink(ctx, pb.ShrinkQuorumQueues(target=B)))
    request = pb.GrowQuorumQueuesToCount(
        count=3, strategy="all", vhost_pattern=".*", queue_pattern="one"
    )
    assert await changed(stands, quorum_queues.grow_to_count(ctx, request)) == [("one", 3, "ok")]
    request.count = 4
    ((_, size, result),) = await changed(stands, quorum_queues.grow_to_count(ctx, request))
    assert (size, result) == (3, "error: the cluster has 3 nodes, 4 are needed")


async def test_a_member_is_critical_once_one_is_down() -> None:
    stands, logs = three()
    assert await critical(stands, A) == []
    logs.down.add(B)
    assert await critical(stands, A) == ["one", "two"]
    assert await critical(stands, B) == []


async def test_leaders_are_counted_after_rebalancing() -> None:
    stands, logs = three()
    logs.leaders = [A, A]
    request = pb.RebalanceQueues(kind="all", vhost_pattern=".*", queue_pattern=".*")
    reply = await quorum_queues.rebalance(stands[A].ctx, request)
    assert [(each.node, each.quorum_queues) for each in reply.nodes] == [(A, 1), (B, 1)]


async def test_leaderless_queues_are_named() -> None:
    stands, logs = three()
    logs.leaders[1] = None
    request = pb.ListLeaderlessQueues(vhost="/", pattern=".*")
    reply = await quorum_queues.list_leaderless(stands[A].ctx, request)
    assert [queue.name for queue in reply.queues] == ["two"]


async def test_maintenance_hands_leadership_over() -> None:
    stands, logs = three()
    await stands.run(upgrade.drain(stands[A].ctx, upgrade_pb2.DrainRequest()))
    await stands.run(upgrade.revive(stands[A].ctx, upgrade_pb2.ReviveRequest()))
    assert logs.calls == ["hand_over", "take_back"]


async def test_who_waits_for_a_quorum_and_one_more() -> None:
    stands, _ = three()
    request = upgrade_pb2.AwaitReplicasRequest()
    assert not (await upgrade.await_replicas(stands[A].ctx, request)).alone


async def test_a_classic_queue_in_a_shared_log_has_mirrors() -> None:
    stands, logs = three()
    stands.queue(A, "ha", shard=0)
    stands.queue(A, "plain")
    policy = {"pattern": "^ha$", "definition": {"ha-mode": "all"}, "priority": 0}
    stands[A].metadata.propose_now(PutParameter("/", "policy", "ha", policy))
    ctx = stands[A].ctx
    columns = ["name", "slave_pids", "synchronised_slave_pids"]
    rows = await stands.rows(queues.list_(ctx, queues_pb2.ListQueues(vhost="/", columns=columns)))
    found = {row.name: row for row in rows}
    assert [pid.rsplit(".", 3)[0] for pid in found["ha"].slave_pids.items] == [f"<{B}", f"<{C}"]
    assert not found["plain"].HasField("slave_pids")
    assert await mirroring.sync(ctx, mirroring_pb2.SyncQueue(vhost="/", queue="ha"))
    with pytest.raises(MqdError, match="not_mirrored"):
        await mirroring.sync(ctx, mirroring_pb2.SyncQueue(vhost="/", queue="plain"))
    request = pb.CriticalRequest(mirrors=True)
    assert not (await quorum_queues.critical(ctx, request)).queues
    logs.down |= {B, C}
    assert [queue.name for queue in (await quorum_queues.critical(ctx, request)).queues] == ["ha"]
