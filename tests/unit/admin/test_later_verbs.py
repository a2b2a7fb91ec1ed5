"""Verbs of later versions: deprecated features, internals, protection, matching policies."""

from __future__ import annotations

import pytest

from mqd.admin import deprecated_features, internals, nodes, permissions, policies, vhosts
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutVhost, decode, encode
from mqd.rpc.v1 import (
    deprecated_features_pb2,
    internals_pb2,
    nodes_pb2,
    permissions_pb2,
    policies_pb2,
    vhosts_pb2,
)
from tests.unit.admin.stand import NODE, Stand, rows

pytestmark = pytest.mark.asyncio


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def refusal(awaitable: object) -> tuple[ErrorCode, str]:
    with pytest.raises(MqdError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code, caught.value.detail


# -- virtual hosts and permissions ----------------------------------------------------------------


async def test_permissions_for_every_vhost_there_is(stand: Stand) -> None:
    stand.add_vhost("v")
    stand.add_user("bob")
    request = permissions_pb2.SetPermissionsGlobally(
        username="bob", configure="a", write="b", read="c"
    )
    await permissions.set_globally(stand.ctx, request)
    granted = stand.metadata.state.permissions
    assert granted["bob", "/"] == granted["bob", "v"]
    request.username = "nobody"
    code, text = await refusal(permissions.set_globally(stand.ctx, request))
    assert (code, text) == (ErrorCode.NO_SUCH_USER, "User nobody does not exist")


async def test_what_is_not_given_stays(stand: Stand) -> None:
    await vhosts.update(
        stand.ctx, vhosts_pb2.UpdateVhost(name="/", tags="a, b", default_queue_type="quorum")
    )
    await vhosts.update(stand.ctx, vhosts_pb2.UpdateVhost(name="/", description="new"))
    record = stand.metadata.state.vhosts["/"]
    assert (record.description, record.tags) == ("new", ("a", "b"))
    assert record.default_queue_type == "quorum"
    assert stand.broker.vhosts["/"].default_queue_type == "quorum"
    request = vhosts_pb2.UpdateVhost(name="/", default_queue_type="bogus")
    assert (await refusal(vhosts.update(stand.ctx, request)))[0] is ErrorCode.INVALID_ARGUMENT


async def test_a_protected_vhost_stays(stand: Stand) -> None:
    stand.add_vhost("v")
    await vhosts.protect(stand.ctx, vhosts_pb2.ProtectVhost(name="v"))
    command = stand.metadata.proposed[-1]
    assert isinstance(command, PutVhost)
    assert decode(encode(command)) == command
    code, text = await refusal(vhosts.delete(stand.ctx, vhosts_pb2.DeleteVhost(name="v")))
    assert code is ErrorCode.PRECONDITION_FAILED
    assert "disable_vhost_deletion_protection v" in text
    await vhosts.unprotect(stand.ctx, vhosts_pb2.ProtectVhost(name="v"))
    await vhosts.delete(stand.ctx, vhosts_pb2.DeleteVhost(name="v"))
    assert "v" not in stand.metadata.state.vhosts


# -- policies -------------------------------------------------------------------------------------


async def test_policies_that_match_come_in_the_order_in_which_they_count(stand: Stand) -> None:
    stand.queue("q1")
    for name, pattern, priority, apply_to in (
        ("low", ".", 0, "all"),
        ("high", "^q", 5, "queues"),
        ("elsewhere", "^x", 9, "all"),
        ("exchanges", ".", 7, "exchanges"),
    ):
        definition = '{"alternate-exchange":"x"}' if apply_to == "exchanges" else '{"expires":9}'
        if apply_to == "all":
            definition = '{"message-ttl":5}'
        request = policies_pb2.SetPolicy(
            vhost="/", name=name, pattern=pattern, definition=definition
        )
        request.priority, request.apply_to = priority, apply_to
        await policies.set_(stand.ctx, request)

    async def matching(name: str, kind: str) -> list[str]:
        request = policies_pb2.ListMatchingPolicies(vhost="/", name=name, object_type=kind)
        return [row.name for row in await rows(policies.list_matching(stand.ctx, request))]

    assert await matching("q1", "queue") == ["high", "low"]
    assert await matching("amq.topic", "exchange") == ["exchanges", "low"]
    with pytest.raises(MqdError, match="no queue 'nosuch' in vhost '/'"):
        await matching("nosuch", "queue")
    with pytest.raises(MqdError, match="'binding' is no type of object"):
        await matching("q1", "binding")


# -- deprecated features --------------------------------------------------------------------------


async def used(stand: Stand) -> list[str]:
    request = deprecated_features_pb2.ListDeprecatedFeatures(used=True, columns=["name"])
    return [row.name for row in await rows(deprecated_features.list_(stand.ctx, request))]


async def test_features_are_used_where_something_has_them(stand: Stand) -> None:
    assert await used(stand) == []
    stand.queue("t", durable=False)
    stand.queue("l", arguments={"x-queue-master-locator": ("longstr", b"random")})
    channel = stand.channel(stand.connect())
    channel.global_prefetch_count = 5
    request = policies_pb2.SetPolicy(vhost="/", name="ha", pattern=".", apply_to="all")
    request.definition = '{"ha-mode":"all"}'
    await policies.set_(stand.ctx, request)
    assert await used(stand) == [
        "classic_queue_mirroring",
        "global_qos",
        "queue_master_locator",
        "transient_nonexcl_queues",
    ]


# -- inside ---------------------------------------------------------------------------------------


async def test_the_metadata_store_is_open_while_the_application_runs(stand: Stand) -> None:
    request = internals_pb2.MetadataStoreStateRequest()
    reply = await internals.metadata_store_state(stand.ctx, request)
    assert (reply.initialized, reply.has_data) == (True, True)
    stand.node.metadata = None
    reply = await internals.metadata_store_state(stand.ctx, request)
    assert (reply.initialized, reply.has_data) == (False, False)


async def test_sizes_of_messages_are_counted_by_class(stand: Stand) -> None:
    queue = stand.queue("q")
    for size in (0, 100, 101, 5000):
        stand.publish(queue, b"x" * size)
    listed = await rows(internals.message_sizes(stand.ctx, internals_pb2.MessageSizesRequest()))
    counts = {row.up_to: row.count for row in listed if row.count}
    assert counts == {"100": 2, "1000": 1, "10000": 1}
    assert sum(row.share for row in listed) == 100


async def test_there_are_no_interceptors(stand: Stand) -> None:
    listing = internals_pb2.ListChannelInterceptors()
    assert await rows(internals.list_interceptors(stand.ctx, listing)) == []
    request = internals_pb2.SetChannelInterceptorPriorities(words=["a", "1"])
    code, text = await refusal(internals.set_interceptor_priorities(stand.ctx, request))
    assert (code, text[:36]) == (ErrorCode.NOT_FOUND, "there is no channel interceptor 'a':")


async def test_the_node_is_told_whether_to_look_at_the_disc(stand: Stand) -> None:
    await nodes.deactivate_disk_monitoring(stand.ctx, nodes_pb2.DiskMonitoring())
    await nodes.activate_disk_monitoring(stand.ctx, nodes_pb2.DiskMonitoring())
    assert stand.node.calls == [("watch_disk", False), ("watch_disk", True)]
    assert stand.ctx.node.name == NODE
