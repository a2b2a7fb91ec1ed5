"""Users as whole records: what the management API does in one request, and no verb does.

Decides what the log says of it. Never hashes a password.
"""

from __future__ import annotations

import logging

from mqd.admin.context import AdminContext
from mqd.auth.users import User
from mqd.metadata.commands import PutUser

_log = logging.getLogger(__name__)


async def put(ctx: AdminContext, user: User) -> None:
    """A user as a whole, new or in the place of one: what the HTTP API does in one request."""
    is_new = user.name not in ctx.metadata.state.users
    await ctx.metadata.propose_async(PutUser(user))
    _log.info("%s user '%s'", "Created" if is_new else "Changed", user.name)
    tags = ",".join(user.tags)
    _log.info("Successfully set user tags for user '%s' to [%s]", user.name, tags)
