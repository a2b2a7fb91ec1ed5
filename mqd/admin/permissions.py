"""Permissions and topic permissions.

Decides the order of the checks: expressions first, then the user, then the virtual host
(observed: 3.10.8). Never decides what a permission allows: `mqd.auth` does.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable

from mqd.admin import users, vhosts
from mqd.admin.context import AdminContext
from mqd.admin.elixir import charlist, inspect
from mqd.admin.listing import batches
from mqd.admin.values import text
from mqd.auth.patterns import InvalidPattern
from mqd.auth.permissions import Permission, TopicPermission, check_pattern
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import (
    DeletePermission,
    DeleteTopicPermission,
    PutPermission,
    PutTopicPermission,
)
from mqd.rpc.v1 import permissions_pb2 as pb
from mqd.rpc.v1.values_pb2 import Done

_log = logging.getLogger(__name__)


def _check(patterns: Iterable[str], what: str) -> None:
    for pattern in patterns:
        try:
            check_pattern(pattern)
        except InvalidPattern:
            _log.warning("Failed to set %s: regular expression '%s' is invalid", what, pattern)
            raise


async def set_(ctx: AdminContext, request: pb.SetPermissions) -> Done:
    """Replace a user's permissions in a vhost.

    Raises INVALID_ARGUMENT (expression), NO_SUCH_USER, NO_SUCH_VHOST.
    """
    name, vhost = request.username, request.vhost
    granted = Permission(request.configure, request.write, request.read)
    _check(
        (granted.configure, granted.write, granted.read),
        f"permissions for '{name}' in virtual host '{vhost}'",
    )
    await ctx.metadata.propose_async(PutPermission(name, vhost, granted))
    _log.info(
        "Successfully set permissions for '%s' in virtual host '%s' to '%s', '%s', '%s'",
        name,
        vhost,
        granted.configure,
        granted.write,
        granted.read,
    )
    return Done()


async def set_globally(ctx: AdminContext, request: pb.SetPermissionsGlobally) -> Done:
    """The same in every vhost there is now. Raises INVALID_ARGUMENT (expression), NO_SUCH_USER."""
    name = request.username
    granted = Permission(request.configure, request.write, request.read)
    _check(
        (granted.configure, granted.write, granted.read),
        f"permissions for '{name}' in all virtual hosts",
    )
    if name not in ctx.metadata.state.users:
        raise MqdError(ErrorCode.NO_SUCH_USER, f"User {name} does not exist")
    for vhost in sorted(ctx.metadata.state.vhosts):
        await ctx.metadata.propose_async(PutPermission(name, vhost, granted))
    _log.info("Successfully set permissions for '%s' in all virtual hosts", name)
    return Done()


async def clear(ctx: AdminContext, request: pb.ClearPermissions) -> Done:
    """A user without permissions in a vhost may stay so. Raises NO_SUCH_USER, NO_SUCH_VHOST."""
    await ctx.metadata.propose_async(DeletePermission(request.username, request.vhost))
    _log.info(
        "Successfully cleared permissions for '%s' in virtual host '%s'",
        request.username,
        request.vhost,
    )
    return Done()


async def list_(ctx: AdminContext, request: pb.ListPermissions) -> AsyncIterator[pb.PermissionRows]:
    """Rows of a vhost, by user. Raises NO_SUCH_VHOST."""
    vhosts.find(ctx, request.vhost)
    rows = (
        pb.PermissionRow(user=text(user), configure=p.configure, write=p.write, read=p.read)
        for (user, vhost), p in sorted(ctx.metadata.state.permissions.items(), key=_first)
        if vhost == request.vhost
    )
    for batch in batches(rows, lambda chunk: pb.PermissionRows(rows=chunk)):
        yield batch


async def list_of_user(
    ctx: AdminContext, request: pb.ListUserPermissions
) -> AsyncIterator[pb.UserPermissionRows]:
    """Rows of a user, by vhost. Raises NO_SUCH_USER."""
    users.find(ctx, request.username)
    rows = (
        pb.UserPermissionRow(vhost=text(vhost), configure=p.configure, write=p.write, read=p.read)
        for (user, vhost), p in sorted(ctx.metadata.state.permissions.items(), key=_first)
        if user == request.username
    )
    for batch in batches(rows, lambda chunk: pb.UserPermissionRows(rows=chunk)):
        yield batch


async def set_topic(ctx: AdminContext, request: pb.SetTopicPermissions) -> Done:
    """Replace a user's permissions on an exchange's routing keys.

    The exchange need not exist (observed: 3.10.8). Raises as `set_`.
    """
    name, vhost = request.username, request.vhost
    granted = TopicPermission(request.write, request.read)
    try:
        _check(
            (granted.write, granted.read),
            f"topic permissions on exchange '{request.exchange}' for '{name}' in virtual host "
            f"'{vhost}'",
        )
    except InvalidPattern as error:
        # the expression is a binary here, where set_permissions shows a charlist (observed: 3.10.8)
        fault = f"{{{charlist(error.reason)}, {error.offset}}}"
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT, f"{{:invalid_regexp, {inspect(error.pattern)}, {fault}}}"
        ) from None
    await ctx.metadata.propose_async(PutTopicPermission(name, vhost, request.exchange, granted))
    return Done()


async def clear_topic(ctx: AdminContext, request: pb.ClearTopicPermissions) -> Done:
    """All of the user's in the vhost, or those on one exchange. Raises as `clear`."""
    exchange = request.exchange if request.HasField("exchange") else None
    await ctx.metadata.propose_async(
        DeleteTopicPermission(request.username, request.vhost, exchange)
    )
    return Done()


async def list_topic(
    ctx: AdminContext, request: pb.ListTopicPermissions
) -> AsyncIterator[pb.TopicPermissionRows]:
    """Rows of a vhost, by user. Raises NO_SUCH_VHOST."""
    vhosts.find(ctx, request.vhost)
    rows = (
        pb.TopicPermissionRow(user=text(user), exchange=text(exchange), write=p.write, read=p.read)
        for (user, vhost, exchange), p in sorted(
            ctx.metadata.state.topic_permissions.items(), key=_first
        )
        if vhost == request.vhost
    )
    for batch in batches(rows, lambda chunk: pb.TopicPermissionRows(rows=chunk)):
        yield batch


async def list_topic_of_user(
    ctx: AdminContext, request: pb.ListUserTopicPermissions
) -> AsyncIterator[pb.UserTopicPermissionRows]:
    """Rows of a user, by vhost. Raises NO_SUCH_USER."""
    users.find(ctx, request.username)
    rows = (
        pb.UserTopicPermissionRow(
            vhost=text(vhost), exchange=text(exchange), write=p.write, read=p.read
        )
        for (user, vhost, exchange), p in sorted(
            ctx.metadata.state.topic_permissions.items(), key=_first
        )
        if user == request.username
    )
    for batch in batches(rows, lambda chunk: pb.UserTopicPermissionRows(rows=chunk)):
        yield batch


def _first(item: tuple[tuple[str, ...], object]) -> tuple[str, ...]:
    return item[0]
