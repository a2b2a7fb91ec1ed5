"""mqd.admin.users."""

from __future__ import annotations

import pytest

from mqd.admin import users
from mqd.auth.access import LoginRefused
from mqd.auth.credentials import MIN_LENGTH, CredentialRules
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import users_pb2 as pb
from tests.unit.admin.stand import Stand, closed_with, rows

pytestmark = pytest.mark.asyncio


async def add(stand: Stand, name: str = "bob", password: str = "pw") -> None:
    await users.add(stand.ctx, pb.AddUser(username=name, password=password))


async def authenticates(stand: Stand, name: str, password: str) -> bool:
    try:
        await users.authenticate(stand.ctx, pb.AuthenticateUser(username=name, password=password))
    except LoginRefused:
        return False
    return True


async def test_a_new_user_has_a_password_and_no_tags() -> None:
    stand = Stand()
    await add(stand)
    assert await authenticates(stand, "bob", "pw")
    assert not await authenticates(stand, "bob", "other")
    found = await rows(users.list_(stand.ctx, pb.ListUsers()))
    assert [(row.user, list(row.tags)) for row in found] == [
        ("bob", []),
        ("guest", ["administrator"]),
    ]


async def test_a_name_that_is_taken() -> None:
    stand = Stand()
    await add(stand)
    with pytest.raises(MqdError, match=r'^User "bob" already exists$') as caught:
        await add(stand, password="other")
    assert caught.value.code is ErrorCode.ALREADY_EXISTS
    assert await authenticates(stand, "bob", "pw")


async def test_a_blank_password_is_taken_and_lets_nobody_in() -> None:
    stand = Stand()
    await add(stand, password="")
    assert not await authenticates(stand, "bob", "")


async def test_why_a_login_is_refused() -> None:
    stand = Stand()
    request = pb.AuthenticateUser(username="nosuch", password="x")
    with pytest.raises(MqdError, match=r"^user 'nosuch' - invalid credentials$"):
        await users.authenticate(stand.ctx, request)


async def test_change_and_clear_password() -> None:
    stand = Stand()
    await add(stand)
    await users.change_password(stand.ctx, pb.ChangePasswordRequest(username="bob", password="new"))
    assert (await authenticates(stand, "bob", "new"), await authenticates(stand, "bob", "pw")) == (
        True,
        False,
    )
    await users.clear_password(stand.ctx, pb.ClearPasswordRequest(username="bob"))
    assert not await authenticates(stand, "bob", "new")


async def test_tags_are_replaced_and_kept_as_given() -> None:
    stand = Stand()
    request = pb.SetUserTags(username="guest", tags=["a", "b", "a"])
    await users.set_tags(stand.ctx, request)
    assert stand.metadata.state.users["guest"].tags == ("a", "b", "a")
    await users.set_tags(stand.ctx, pb.SetUserTags(username="guest"))
    assert stand.metadata.state.users["guest"].tags == ()
    assert await authenticates(stand, "guest", "guest")


async def test_a_deleted_users_connections_close() -> None:
    stand = Stand()
    stand.add_user("bob")
    gone, stays = stand.connect("bob"), stand.connect("guest")
    await users.delete(stand.ctx, pb.DeleteUser(username="bob"))
    assert closed_with(gone) == (320, "user 'bob' is deleted")
    assert closed_with(stays) is None
    assert "bob" not in stand.metadata.state.users


@pytest.mark.parametrize(
    "change",
    [
        lambda ctx: users.delete(ctx, pb.DeleteUser(username="nosuch")),
        lambda ctx: users.change_password(ctx, pb.ChangePasswordRequest(username="nosuch")),
        lambda ctx: users.clear_password(ctx, pb.ClearPasswordRequest(username="nosuch")),
        lambda ctx: users.set_tags(ctx, pb.SetUserTags(username="nosuch")),
    ],
)
async def test_a_user_that_is_missing(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MqdError) as caught:
        await change(Stand().ctx)
    assert caught.value.code is ErrorCode.NO_SUCH_USER


async def test_the_words_of_verbs_that_word_nothing_themselves() -> None:
    with pytest.raises(MqdError, match=r'^{:no_such_user, "n\\"s"}$'):
        await users.clear_password(Stand().ctx, pb.ClearPasswordRequest(username='n"s'))


async def test_a_password_that_the_rules_refuse_changes_nothing() -> None:
    stand = Stand()
    stand.node.credentials = CredentialRules(
        MIN_LENGTH, 5, algorithm="rabbit_password_hashing_sha512"
    )
    words = "minimum required password length is 5"
    with pytest.raises(MqdError, match=words):
        await users.add(stand.ctx, pb.AddUser(username="bob", password="abc"))
    await users.add(stand.ctx, pb.AddUser(username="bob", password="abcde"))
    assert users.find(stand.ctx, "bob").hashing_algorithm == "rabbit_password_hashing_sha512"
    with pytest.raises(MqdError, match=words):
        await users.change_password(
            stand.ctx, pb.ChangePasswordRequest(username="bob", password="abc")
        )
