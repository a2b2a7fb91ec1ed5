"""mqd.admin.quorum_queues: what is said of queues that have their only replica here."""

from __future__ import annotations

import pytest

from mqd.admin import quorum_queues
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import quorum_queues_pb2 as pb
from tests.unit.admin.stand import NODE, Stand, rows

pytestmark = pytest.mark.asyncio


def quorum(stand: Stand, name: str, vhost: str = "/", messages: int = 0) -> None:
    queue = stand.queue(name, vhost, kind="quorum")
    for number in range(messages):
        stand.publish(queue, f"m{number}".encode())


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    stand.add_vhost("other")
    quorum(stand, "qq", messages=3)
    quorum(stand, "far", "other")
    stand.queue("cq")
    return stand


async def test_every_message_is_an_entry_of_the_log(stand: Stand) -> None:
    request = pb.QuorumStatus(vhost="/", queue="qq")
    (row,) = await rows(quorum_queues.status(stand.ctx, request))
    state = row.raft_state.atom
    assert (row.node, state, row.log_index, row.commit_index) == (NODE, "leader", 6, 6)


@pytest.mark.parametrize(
    ("vhost", "queue", "code", "text"),
    [
        ("/", "nosuch", ErrorCode.NOT_FOUND, "not_found"),
        ("nosuch", "qq", ErrorCode.NOT_FOUND, "not_found"),
        ("/", "cq", ErrorCode.PRECONDITION_FAILED, "Cannot add members to a classic queue"),
        ("/", "qq", ErrorCode.UNAVAILABLE, "node_not_running"),
    ],
)
async def test_a_replica_elsewhere(
    stand: Stand, vhost: str, queue: str, code: ErrorCode, text: str
) -> None:
    request = pb.AddQuorumMember(vhost=vhost, queue=queue, target="other@host")
    with pytest.raises(MqdError, match=f"^{text}$") as caught:
        await quorum_queues.add_member(stand.ctx, request)
    assert caught.value.code is code


async def test_the_last_replica_stays(stand: Stand) -> None:
    request = pb.DeleteQuorumMember(vhost="/", queue="qq", target=NODE)
    with pytest.raises(MqdError, match=r"^last_node$"):
        await quorum_queues.delete_member(stand.ctx, request)
    shrunk = await rows(quorum_queues.shrink(stand.ctx, pb.ShrinkQuorumQueues(target=NODE)))
    assert {(row.vhost, row.name, row.result) for row in shrunk} == {
        ("/", "qq", "error: the last node cannot be removed"),
        ("other", "far", "error: the last node cannot be removed"),
    }
    elsewhere = pb.ShrinkQuorumQueues(target="other@host")
    assert await rows(quorum_queues.shrink(stand.ctx, elsewhere)) == []


async def test_growing_beyond_the_cluster_says_what_is_missing(stand: Stand) -> None:
    request = pb.GrowQuorumQueuesToCount(count=3, strategy="all", vhost_pattern="^/$")
    (row,) = await rows(quorum_queues.grow_to_count(stand.ctx, request))
    assert (row.name, row.result) == ("qq", "error: the cluster has 1 node, 3 are needed")


async def test_leaders_are_counted_by_patterns(stand: Stand) -> None:
    async def count(kind: str, vhosts: str = ".*", queues: str = ".*") -> list[int]:
        request = pb.RebalanceQueues(kind=kind, vhost_pattern=vhosts, queue_pattern=queues)
        reply = await quorum_queues.rebalance(stand.ctx, request)
        return [entry.quorum_queues for entry in reply.nodes]

    assert await count("all") == [2]
    assert await count("quorum", vhosts="other") == [1]
    assert await count("quorum", queues="nosuch") == []
    assert await count("classic") == []
    with pytest.raises(MqdError, match=r"'\(\[' is no regular expression"):
        await count("all", vhosts="([")


async def test_peeking_leaves_the_message(stand: Stand) -> None:
    request = pb.PeekQuorumQueue(vhost="/", queue="qq", position=2)
    for _ in range(2):
        assert (await quorum_queues.peek(stand.ctx, request)).payload == b"m1"
    request.position = 4
    with pytest.raises(MqdError, match="does not have a message at that position"):
        await quorum_queues.peek(stand.ctx, request)


async def test_nothing_is_behind_or_without_a_leader(stand: Stand) -> None:
    assert not (await quorum_queues.list_unsynced(stand.ctx, pb.ListUnsyncedReplicas())).queues
    request = pb.ListLeaderlessQueues(vhost="/", pattern=".*")
    assert not (await quorum_queues.list_leaderless(stand.ctx, request)).queues
    request.vhost = "nosuch"
    with pytest.raises(MqdError, match="Virtual host 'nosuch' does not exist"):
        await quorum_queues.list_leaderless(stand.ctx, request)


async def test_a_checkpoint_is_always_there(stand: Stand) -> None:
    request = pb.ForceQuorumCheckpoint(vhost_pattern="other")
    (row,) = await rows(quorum_queues.force_checkpoint(stand.ctx, request))
    assert (row.vhost, row.name, row.result) == ("other", "far", "ok")
