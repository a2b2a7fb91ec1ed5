"""mqd.admin.membership and mqd.admin.mirroring: a node that is alone, and says so."""

from __future__ import annotations

import pytest

from mqd.admin import membership, mirroring, policies
from mqd.admin.context import AppState
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import membership_pb2 as pb
from mqd.rpc.v1 import mirroring_pb2, policies_pb2
from tests.unit.admin.stand import NODE, Stand, rows

pytestmark = pytest.mark.asyncio


async def refusal(awaitable: object) -> tuple[ErrorCode, str]:
    with pytest.raises(MqdError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code, caught.value.detail


async def test_a_node_does_not_join_itself() -> None:
    ctx = Stand().ctx
    itself = await refusal(membership.join(ctx, pb.JoinCluster(target=NODE)))
    assert itself == (
        ErrorCode.PRECONDITION_FAILED,
        f"Error: cannot cluster node with itself: {NODE}",
    )
    again = await refusal(membership.update_nodes(ctx, pb.UpdateClusterNodes(target=NODE)))
    assert again == itself


@pytest.mark.parametrize(("ram", "kind"), [(False, "disc"), (True, "ram")])
async def test_what_it_joins_as_goes_to_the_node(ram: bool, kind: str) -> None:
    stand = Stand()
    reply = await membership.join(stand.ctx, pb.JoinCluster(target="other@host", ram=ram))
    assert not reply.already_member
    stand.node.joins = False
    reply = await membership.join(stand.ctx, pb.JoinCluster(target="other@host", ram=ram))
    assert reply.already_member
    assert stand.node.calls == [("join", "other@host", kind)] * 2


async def test_disk_is_a_word_for_disc() -> None:
    stand = Stand()
    for kind in ("disc", "disk", "ram"):
        await membership.change_type(stand.ctx, pb.ChangeClusterNodeType(kind=kind))
    assert stand.node.calls == [("change_type", kind) for kind in ("disc", "disc", "ram")]


@pytest.mark.parametrize(
    ("target", "state", "others", "text"),
    [
        ("x@host", AppState.RUNNING, (), "{:not_a_cluster_node, 'The node selected is not in the"),
        ("x@host", AppState.STOPPED, (), "{:not_a_cluster_node, 'The node selected is not in the"),
        (
            NODE,
            AppState.RUNNING,
            (),
            "{:failed_to_remove_node, :rabbit@unit, {:combine_error, :sch",
        ),
        (NODE, AppState.STOPPED, (), "{:offline_node_no_offline_flag, 'You are trying to remove a"),
        ("o@h", AppState.STOPPED, ("o@h",), "{:offline_node_no_offline_flag, 'You are trying to"),
    ],
)
async def test_whom_nobody_forgets(
    target: str, state: AppState, others: tuple[str, ...], text: str
) -> None:
    stand = Stand()
    stand.node.app_state = state
    stand.node.membership.others = list(others)
    _, found = await refusal(membership.forget(stand.ctx, pb.ForgetClusterNode(target=target)))
    assert found.startswith(text)
    assert stand.node.calls == []


async def test_a_member_is_forgotten_by_a_node_that_runs() -> None:
    stand = Stand()
    stand.node.app_state = AppState.RUNNING
    stand.node.membership.others = ["o@h"]
    await membership.forget(stand.ctx, pb.ForgetClusterNode(target="o@h"))
    assert stand.node.calls == [("forget", "o@h")]


@pytest.mark.parametrize(
    ("queue", "word"),
    [("cq", "not_mirrored"), ("qq", "quorum_queue_not_supported"), ("nosuch", "not_found")],
)
async def test_no_queue_has_mirrors(queue: str, word: str) -> None:
    stand = Stand()
    stand.queue("cq")
    stand.queue("qq", kind="quorum")
    request = mirroring_pb2.SyncQueue(vhost="/", queue=queue)
    assert (await refusal(mirroring.sync(stand.ctx, request)))[1] == word


async def test_policies_that_ask_for_mirrors_are_found_and_cured() -> None:
    stand = Stand()
    stand.add_vhost("v")
    for vhost, name, definition in (
        ("/", "both", '{"ha-mode":"all","ha-sync-mode":"automatic","max-length":5}'),
        ("v", "only", '{"ha-mode":"exactly","ha-params":2}'),
        ("v", "other", '{"max-length":5}'),
    ):
        request = policies_pb2.SetPolicy(
            vhost=vhost, name=name, pattern="^q", definition=definition, apply_to="all"
        )
        await policies.set_(stand.ctx, request)
    listing = mirroring_pb2.ListMirroringPolicies()
    found = await rows(mirroring.list_policies(stand.ctx, listing))
    assert [(row.vhost, row.name) for row in found] == [("/", "both"), ("v", "only")]
    assert await rows(mirroring.list_operator_policies(stand.ctx, listing)) == []
    cured = await mirroring.remove_from_policies(stand.ctx, mirroring_pb2.RemoveMirroring())
    assert len(cured.policies) == 2
    checked = await mirroring.check(stand.ctx, mirroring_pb2.CheckMirroringPolicies())
    assert not checked.policies
    parameters = stand.metadata.state.parameters
    assert parameters["/", "policy", "both"]["definition"] == {"max-length": 5}
    assert ("v", "policy", "only") not in parameters
