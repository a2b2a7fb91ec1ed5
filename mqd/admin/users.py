"""Users of the internal database.

Decides what a change of a user is and what follows from it (a deleted user's connections close).
Never checks a login itself: `mqd.auth` does.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from mqd.admin import values
from mqd.admin.connections import close_all_of_user
from mqd.admin.context import AdminContext
from mqd.admin.elixir import inspect
from mqd.admin.listing import batches
from mqd.auth.sasl import Credentials
from mqd.auth.users import User
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import DeleteUser, Must, PutUser
from mqd.rpc.v1 import users_pb2 as pb
from mqd.rpc.v1.connections_pb2 import CloseAllUserConnections
from mqd.rpc.v1.values_pb2 import Done

_log = logging.getLogger(__name__)


def find(ctx: AdminContext, name: str) -> User:
    """The user. Raises NO_SUCH_USER, worded as 3.10.8 words it where no tool does."""
    user = ctx.metadata.state.users.get(name)
    if user is None:
        raise MqdError(ErrorCode.NO_SUCH_USER, f"{{:no_such_user, {inspect(name)}}}")
    return user


async def add(ctx: AdminContext, request: pb.AddUser) -> Done:
    """A new user without tags and permissions. Raises ALREADY_EXISTS.

    A blank password is taken, and never lets anyone in (observed: 3.10.8).
    """
    rules = ctx.node.credentials
    rules.check(request.password)
    user = User(request.username, rules.hashed(request.password), rules.algorithm)
    await ctx.metadata.propose_async(PutUser(user, Must.BE_NEW))
    _log.info("Created user '%s'", request.username)
    return Done()


async def delete(ctx: AdminContext, request: pb.DeleteUser) -> Done:
    """Forget the user and its permissions, close its connections. Raises NO_SUCH_USER."""
    await ctx.metadata.propose_async(DeleteUser(request.username))
    _log.info("Deleted user '%s'", request.username)
    text = f"user '{request.username}' is deleted"
    gone = CloseAllUserConnections(username=request.username, explanation=text)
    await close_all_of_user(ctx, gone)
    return Done()


async def change_password(ctx: AdminContext, request: pb.ChangePasswordRequest) -> Done:
    """Connections stay; the next login needs the new one. Raises NO_SUCH_USER."""
    rules = ctx.node.credentials
    rules.check(request.password)
    password_hash = rules.hashed(request.password)
    await _change(
        ctx, request.username, password_hash=password_hash, hashing_algorithm=rules.algorithm
    )
    _log.info("Successfully changed password for user '%s'", request.username)
    return Done()


async def clear_password(ctx: AdminContext, request: pb.ClearPasswordRequest) -> Done:
    """No password fits from now on. Raises NO_SUCH_USER."""
    await _change(ctx, request.username, password_hash=b"")
    _log.info("Successfully cleared password for user '%s'", request.username)
    return Done()


async def set_tags(ctx: AdminContext, request: pb.SetUserTags) -> Done:
    """Replace the tags; any word is one, twice if given twice. Raises NO_SUCH_USER."""
    await _change(ctx, request.username, tags=tuple(request.tags))
    _log.info(
        "Successfully set user tags for user '%s' to [%s]",
        request.username,
        ",".join(request.tags),
    )
    return Done()


async def _change(ctx: AdminContext, name: str, **changes: object) -> None:
    user = replace(find(ctx, name), **changes)  # type: ignore[arg-type]
    await ctx.metadata.propose_async(PutUser(user, Must.EXIST))


async def authenticate(ctx: AdminContext, request: pb.AuthenticateUser) -> Done:
    """Whether the password is the user's. Raises CREDENTIALS with the reason that a log has."""
    ctx.broker.auth.verify(Credentials(request.username, request.password.encode()))
    return Done()


async def list_(ctx: AdminContext, request: pb.ListUsers) -> AsyncIterator[pb.UserRows]:
    """Rows of all users, by name."""
    users = sorted(ctx.metadata.state.users.values(), key=lambda user: user.name)
    rows = (
        pb.UserRow(user=values.text(user.name), tags=map(values.text, user.tags)) for user in users
    )
    for batch in batches(rows, lambda chunk: pb.UserRows(rows=chunk)):
        yield batch
