"""mqd.admin.vhosts."""

from __future__ import annotations

import pytest

from mqd.admin import vhosts
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import vhosts_pb2 as pb
from tests.unit.admin.stand import NODE, Stand, closed_with, rows

pytestmark = pytest.mark.asyncio


async def listed(stand: Stand, *columns: str) -> list[pb.VhostRow]:
    return await rows(vhosts.list_(stand.ctx, pb.ListVhosts(columns=columns)))


async def test_a_new_vhost_has_the_predeclared_exchanges() -> None:
    stand = Stand()
    await vhosts.add(stand.ctx, pb.AddVhost(name="v"))
    assert {"", "amq.direct", "amq.topic"} <= set(stand.broker.vhosts["v"].exchanges)
    assert [row.name for row in await listed(stand, "name")] == ["/", "v"]


async def test_adding_one_that_exists_changes_nothing() -> None:
    stand = Stand()
    await vhosts.add(stand.ctx, pb.AddVhost(name="v", description="one"))
    await vhosts.add(stand.ctx, pb.AddVhost(name="v", description="two"))
    assert stand.metadata.state.vhosts["v"].description == "one"


async def test_an_unknown_queue_type() -> None:
    stand = Stand()
    with pytest.raises(MqdError, match=r"^invalid_queue_type$") as caught:
        await vhosts.add(stand.ctx, pb.AddVhost(name="v", default_queue_type="bogus"))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert "v" not in stand.metadata.state.vhosts


async def test_every_column() -> None:
    stand = Stand()
    await vhosts.add(
        stand.ctx,
        pb.AddVhost(name="v", description="d", tags="a, b", default_queue_type="quorum"),
    )
    _, row = await listed(stand)
    assert (row.name, row.description, row.default_queue_type) == ("v", "d", "quorum")
    assert (row.HasField("tracing"), row.tracing) == (True, False)
    assert [term.atom for term in row.tags.list.items] == ["a", "b"]
    (pair,) = row.cluster_state.proplist.pairs
    assert (pair.key.atom, pair.value.atom) == (NODE, "running")


async def test_tags_are_shown_as_typed_until_some_are_set() -> None:
    stand = Stand()
    await vhosts.add(stand.ctx, pb.AddVhost(name="v", tags="a,b"))
    assert stand.metadata.state.vhosts["v"].tags == ("a", "b")
    _, row = await listed(stand, "tags")
    assert row.tags.binary == "a,b"
    await vhosts.set_tags(stand.ctx, pb.SetVhostTags(name="v", tags=["x", "y"]))
    _, row = await listed(stand, "tags")
    assert [term.atom for term in row.tags.list.items] == ["x", "y"]


async def test_a_vhost_without_a_queue_type_says_undefined() -> None:
    (row,) = await listed(Stand(), "default_queue_type")
    assert row.default_queue_type == "undefined"


async def test_deleting_takes_connections_queues_and_permissions() -> None:
    stand = Stand()
    gone = stand.connect()
    queue = stand.queue("q")
    await vhosts.delete(stand.ctx, pb.DeleteVhost(name="/"))
    assert closed_with(gone) == (320, "vhost '/' is deleted")
    assert queue.deleted
    assert (stand.broker.vhosts, stand.metadata.state.permissions) == ({}, {})
    assert await listed(stand) == []


async def test_what_is_missing() -> None:
    ctx = Stand().ctx
    for change in (
        vhosts.delete(ctx, pb.DeleteVhost(name="no")),
        vhosts.set_tags(ctx, pb.SetVhostTags(name="no")),
    ):
        with pytest.raises(MqdError, match=r"^Virtual host 'no' does not exist$") as caught:
            await change
        assert caught.value.code is ErrorCode.NO_SUCH_VHOST


async def test_restart_of_one_that_runs_and_of_one_that_does_not_exist() -> None:
    stand = Stand()
    reply = await vhosts.restart(stand.ctx, pb.RestartVhost(vhost="/"))
    assert not reply.restarted
    with pytest.raises(MqdError, match="Failed to start vhost 'no' on node 'rabbit@unit'Reason"):
        await vhosts.restart(stand.ctx, pb.RestartVhost(vhost="no"))


async def test_tracing_is_felt_by_open_channels_and_shown() -> None:
    stand = Stand()
    before = stand.broker.vhosts["/"].version
    await vhosts.trace_on(stand.ctx, pb.TraceVhost(vhost="/"))
    (row,) = await listed(stand, "tracing")
    assert (row.tracing, stand.broker.vhosts["/"].version > before) == (True, True)
    await vhosts.trace_off(stand.ctx, pb.TraceVhost(vhost="/"))
    (row,) = await listed(stand, "tracing")
    assert not row.tracing
    await vhosts.trace_on(stand.ctx, pb.TraceVhost(vhost="nosuch"))
