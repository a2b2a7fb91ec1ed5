"""mqd.admin.permissions."""

from __future__ import annotations

import pytest

from mqd.admin import permissions
from mqd.auth.permissions import Permission
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import permissions_pb2 as pb
from tests.unit.admin.stand import Stand, rows

pytestmark = pytest.mark.asyncio


def setting(user: str = "guest", vhost: str = "/", configure: str = "a") -> pb.SetPermissions:
    return pb.SetPermissions(username=user, vhost=vhost, configure=configure, write="b", read="c")


async def test_set_list_and_clear() -> None:
    stand = Stand()
    stand.add_vhost("v")
    await permissions.set_(stand.ctx, setting(vhost="v"))
    assert stand.metadata.state.permissions["guest", "v"] == Permission("a", "b", "c")
    (row,) = await rows(permissions.list_(stand.ctx, pb.ListPermissions(vhost="v")))
    assert (row.user, row.configure, row.write, row.read) == ("guest", "a", "b", "c")
    found = await rows(
        permissions.list_of_user(stand.ctx, pb.ListUserPermissions(username="guest"))
    )
    assert [(row.vhost, row.configure) for row in found] == [("/", ".*"), ("v", "a")]
    for _ in range(2):  # clearing what is clear is no failure
        await permissions.clear(stand.ctx, pb.ClearPermissions(username="guest", vhost="v"))
    assert await rows(permissions.list_(stand.ctx, pb.ListPermissions(vhost="v"))) == []


async def test_open_channels_feel_a_change() -> None:
    stand = Stand()
    before = stand.broker.vhosts["/"].version
    await permissions.set_(stand.ctx, setting())
    assert stand.broker.vhosts["/"].version > before


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "{:invalid_regexp, '(', {'missing )', 1}}"),
        ("*", "{:invalid_regexp, '*', {'nothing to repeat', 0}}"),
        (
            "[",
            "{:invalid_regexp, '[', {'missing terminating ] for character class', 1}}",
        ),
    ],
)
async def test_a_bad_expression_comes_before_everything_else(pattern: str, words: str) -> None:
    with pytest.raises(MqdError) as caught:
        await permissions.set_(Stand().ctx, setting("nosuch", "nosuch", pattern))
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_ARGUMENT, words)


@pytest.mark.parametrize(
    ("user", "vhost", "code"),
    [
        ("nosuch", "nosuch", ErrorCode.NO_SUCH_USER),
        ("guest", "nosuch", ErrorCode.NO_SUCH_VHOST),
    ],
)
async def test_the_user_is_looked_up_before_the_vhost(
    user: str, vhost: str, code: ErrorCode
) -> None:
    ctx = Stand().ctx
    for change in (
        permissions.set_(ctx, setting(user, vhost)),
        permissions.clear(ctx, pb.ClearPermissions(username=user, vhost=vhost)),
        permissions.set_topic(ctx, pb.SetTopicPermissions(username=user, vhost=vhost)),
        permissions.clear_topic(ctx, pb.ClearTopicPermissions(username=user, vhost=vhost)),
    ):
        with pytest.raises(MqdError) as caught:
            await change
        assert caught.value.code is code


async def test_listings_of_what_is_missing() -> None:
    ctx = Stand().ctx
    for listing in (
        permissions.list_(ctx, pb.ListPermissions(vhost="no")),
        permissions.list_topic(ctx, pb.ListTopicPermissions(vhost="no")),
    ):
        with pytest.raises(MqdError, match=r"^Virtual host 'no' does not exist$") as caught:
            await rows(listing)
        assert caught.value.code is ErrorCode.NO_SUCH_VHOST
    for listing in (
        permissions.list_of_user(ctx, pb.ListUserPermissions(username="no")),
        permissions.list_topic_of_user(ctx, pb.ListUserTopicPermissions(username="no")),
    ):
        with pytest.raises(MqdError, match=r'^{:no_such_user, "no"}$'):
            await rows(listing)


def topic(exchange: str, write: str = "^w") -> pb.SetTopicPermissions:
    return pb.SetTopicPermissions(
        username="guest", vhost="/", exchange=exchange, write=write, read="^r"
    )


async def test_topic_permissions_of_an_exchange_that_need_not_exist() -> None:
    stand = Stand()
    for exchange in ("x", "y"):
        await permissions.set_topic(stand.ctx, topic(exchange))
    found = await rows(permissions.list_topic(stand.ctx, pb.ListTopicPermissions(vhost="/")))
    assert [(row.user, row.exchange, row.write, row.read) for row in found] == [
        ("guest", "x", "^w", "^r"),
        ("guest", "y", "^w", "^r"),
    ]
    one = pb.ClearTopicPermissions(username="guest", vhost="/", exchange="x")
    await permissions.clear_topic(stand.ctx, one)
    by_user = pb.ListUserTopicPermissions(username="guest")
    (row,) = await rows(permissions.list_topic_of_user(stand.ctx, by_user))
    assert (row.vhost, row.exchange) == ("/", "y")
    every = pb.ClearTopicPermissions(username="guest", vhost="/")
    await permissions.clear_topic(stand.ctx, every)
    assert await rows(permissions.list_topic_of_user(stand.ctx, by_user)) == []


async def test_a_bad_topic_expression_is_shown_as_a_binary() -> None:
    with pytest.raises(MqdError) as caught:
        await permissions.set_topic(Stand().ctx, topic("x", "("))
    assert caught.value.detail == "{:invalid_regexp, \"(\", {'missing )', 1}}"
