"""What is asked of one member and done on another: closing, purging, deleting, limits, alarms."""

from __future__ import annotations

import pytest

from mqd.admin import connections, queues, reports, upgrade, users, vhosts
from mqd.amqp.replies import ConnectionError_
from mqd.auth.users import User
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutParameter
from mqd.policies.limits import LIMITS, VHOST_LIMITS
from mqd.rpc.v1 import connections_pb2, queues_pb2, upgrade_pb2, users_pb2, vhosts_pb2
from tests.cluster.fanout.stands import A, B, C, Stands
from tests.unit.admin.stand import Peer, closed_with

pytestmark = pytest.mark.asyncio

CLOSE_ALL = connections_pb2.CloseAllConnections


async def test_a_connection_is_closed_on_any_member() -> None:
    stands = Stands(A, B)
    entry = stands[B].connect()
    ctx = stands[A].ctx
    for pid in (entry.pid, "<rabbit@nope.1.2.3>", f"<{B}.1.2.3>"):
        request = connections_pb2.CloseConnection(pid=pid, explanation="bye")
        await stands.run(connections.close(ctx, request))
    assert closed_with(entry) == (320, "bye")


@pytest.mark.parametrize("delay", [0, 1])
async def test_connections_of_a_vhost_are_closed_everywhere_up_to_a_limit(delay: int) -> None:
    stands = Stands(A, B, C)
    entries = [stands[name].connect() for name in (A, B, B, C)]
    request = CLOSE_ALL(vhost="/", limit=3, explanation="go", per_connection_delay=delay)
    reply = await stands.run(connections.close_all(stands[A].ctx, request))
    assert reply.closed_count == 3
    assert [closed_with(entry) is not None for entry in entries] == [True, True, True, False]


async def test_global_means_the_node_that_is_asked() -> None:
    stands = Stands(A, B)
    here, there = stands[A].connect(), stands[B].connect()
    request = CLOSE_ALL(explanation="go", **{"global": True})
    reply = await stands.run(connections.close_all(stands[A].ctx, request))
    assert reply.closed_count == 1
    assert (closed_with(here), closed_with(there)) == ((320, "go"), None)


async def test_a_deleted_users_connections_close_everywhere() -> None:
    stands = Stands(A, B)
    entry = stands[B].connect()
    await stands.run(users.delete(stands[A].ctx, users_pb2.DeleteUser(username="guest")))
    assert closed_with(entry) == (320, "user 'guest' is deleted")


async def test_queues_are_purged_and_deleted_where_they_live() -> None:
    stands = Stands(A, B)
    queue = stands.queue(B, "q2")
    stands[B].publish(queue)  # type: ignore[arg-type]
    ctx = stands[A].ctx
    purged = await stands.run(queues.purge(ctx, queues_pb2.PurgeQueue(vhost="/", name="q2")))
    assert purged.message_count == 1
    stands[B].publish(queue)  # type: ignore[arg-type]
    request = queues_pb2.DeleteQueue(vhost="/", name="q2", if_empty=True)
    with pytest.raises(MqdError) as refused:
        await stands.run(queues.delete(ctx, request))
    assert refused.value.code is ErrorCode.PRECONDITION_FAILED
    request.if_empty = False
    assert (await stands.run(queues.delete(ctx, request))).message_count == 1


async def test_a_queue_that_is_down_is_not_found() -> None:
    stands = Stands(A, B)
    stands.queue(B, "q2")
    stands.stop(B)
    ctx = stands[A].ctx
    for call in (
        queues.purge(ctx, queues_pb2.PurgeQueue(vhost="/", name="q2")),
        queues.delete(ctx, queues_pb2.DeleteQueue(vhost="/", name="q2")),
    ):
        with pytest.raises(MqdError) as refused:
            await stands.run(call)  # type: ignore[arg-type]
        assert (refused.value.code, refused.value.detail) == (ErrorCode.NOT_FOUND, "not_found")


async def test_a_vhost_runs_on_every_member() -> None:
    stands = Stands(A, B)
    request = vhosts_pb2.ListVhosts(columns=["cluster_state"])
    (row,) = await stands.rows(vhosts.list_(stands[A].ctx, request))
    assert {pair.key.atom for pair in row.cluster_state.proplist.pairs} == {A, B}


# -- limits -----------------------------------------------------------------------------------


async def told(stands: Stands) -> None:
    """The members have told each other how many clients they have."""
    for view in stands.views.values():
        view._tell_clients()
    await stands.meshes.settle()


async def test_limits_of_connections_are_the_clusters() -> None:
    stands = Stands(A, B)
    user = stands[A].metadata.state.users["guest"]
    command = PutParameter("/", VHOST_LIMITS, LIMITS, {"max-connections": 1})
    stands[A].metadata.propose_now(command)
    entry = stands[A].connect()
    await told(stands)
    with pytest.raises(ConnectionError_, match=r"connection limit \(1\) is reached"):
        stands[B].broker.open_vhost("/", user)
    stands[A].broker.remove_connection(entry)
    await told(stands)
    assert stands[B].broker.open_vhost("/", user)
    stands[A].connect()
    await told(stands)
    stands.stop(A)
    assert stands[B].broker.open_vhost("/", user)


async def test_limits_of_a_users_channels_are_the_clusters() -> None:
    stands = Stands(A, B)
    stands[A].channel(stands[A].connect())
    await told(stands)
    for stand in (stands[A], stands[B]):
        guest = stand.metadata.state.users["guest"]
        limits = {"max-channels": 1}
        stand.metadata.state.users["guest"] = User(
            guest.name, guest.password_hash, tags=guest.tags, limits=limits
        )
        stand.broker.apply_access_changed()
    entry = stands[B].connect()
    with pytest.raises(ConnectionError_, match=r"maximum allowed user limit of \(1\)"):
        stands[B].channel(entry)


# -- alarms and maintenance -------------------------------------------------------------------


def raise_alarm(stands: Stands, name: str, alarm: str, on: bool) -> None:
    stands[name].broker.set_alarm(alarm, on)
    stands.meshes.run()


async def test_an_alarm_holds_publishers_on_every_member() -> None:
    stands = Stands(A, B)
    entry = stands[A].connect()
    raise_alarm(stands, B, "memory", True)
    raise_alarm(stands, B, "disk", True)
    assert stands[A].broker.alarms == {"memory", "disk"}
    assert entry.state == "blocking"
    found = [(alarm.resource, alarm.node) for alarm in reports.alarms(stands[A].ctx)]
    assert found == [("disk", B), ("memory", B)]
    assert not reports.own_alarms(stands[A].ctx)
    raise_alarm(stands, B, "disk", False)
    assert stands[A].broker.alarms == {"memory"}
    raise_alarm(stands, B, "memory", False)
    assert entry.state == "running"


async def test_an_alarm_of_two_members_ends_with_the_last() -> None:
    stands = Stands(A, B)
    raise_alarm(stands, A, "memory", True)
    raise_alarm(stands, B, "memory", True)
    raise_alarm(stands, B, "memory", False)
    assert stands[A].broker.alarms == stands[B].broker.alarms == {"memory"}
    raise_alarm(stands, A, "memory", False)
    assert stands[A].broker.alarms == stands[B].broker.alarms == set()


async def test_a_member_takes_its_alarms_along_when_it_goes() -> None:
    stands = Stands(A, B)
    entry = stands[A].connect()
    assert isinstance(entry.peer, Peer)
    raise_alarm(stands, B, "memory", True)
    assert entry.state == "blocking"
    stands.stop(B)
    assert entry.state == "running"
    assert not reports.alarms(stands[A].ctx)


async def test_one_that_starts_hears_of_alarms_that_are_on() -> None:
    stands = Stands(A, B)
    raise_alarm(stands, B, "memory", True)
    stands.views[A].stop()
    assert stands[A].broker.alarms == set()
    stands.views[A].start()
    await stands.meshes.settle()
    assert stands[A].broker.alarms == {"memory"}


async def test_maintenance_is_known_to_all() -> None:
    stands = Stands(A, B)
    stands[B].node.in_maintenance = True
    await stands.run(upgrade.drain(stands[B].ctx, upgrade_pb2.DrainRequest()))
    assert stands.views[A].standing(B).in_maintenance
    stands[B].node.in_maintenance = False
    await stands.run(upgrade.revive(stands[B].ctx, upgrade_pb2.ReviveRequest()))
    assert not stands.views[A].standing(B).in_maintenance
