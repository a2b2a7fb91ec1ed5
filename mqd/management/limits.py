"""Limits of vhosts and users, one at a time: reading, setting, clearing.

Decides their JSON; how one of a vhost's is put among its others. What is set is checked and set by
`mqd.admin.limits`.
"""

from __future__ import annotations

import json
from typing import Any

from mqd.admin import limits
from mqd.management import lists, users
from mqd.management.access import is_monitor, visible_vhosts
from mqd.management.calls import Answer, Call, done, not_found
from mqd.management.fields import malformed
from mqd.policies.limits import LIMITS, VHOST_LIMITS
from mqd.rpc.v1 import limits_pb2 as pb

Json = Any


def _limits(call: Call, vhost: str) -> dict[str, Json] | None:
    """None: none were ever set. 3.10.8 shows those without any as a list."""
    found = call.state.parameters.get((vhost, VHOST_LIMITS, LIMITS))
    return None if found is None else dict(found)


async def of_vhosts(call: Call) -> Answer:
    """Those the user may see, or one."""
    names = [call.vhost.name] if "vhost" in call.names else visible_vhosts(call)
    rows = [(name, found) for name in names if (found := _limits(call, name)) is not None]
    return await lists.of(call, rows, lambda row: {"vhost": row[0], "value": row[1] or []})


async def put_vhost(call: Call) -> Answer:
    value = call.required("value")["value"]
    vhost, name = call.names["vhost"], call.names["name"]
    if vhost not in call.state.vhosts:
        raise not_found("vhost_not_found")
    await _set(call, vhost, {**(_limits(call, vhost) or {}), name: value})
    return done()


async def delete_vhost(call: Call) -> Answer:
    """One that is not set is cleared already."""
    vhost = call.vhost.name
    found = _limits(call, vhost) or {}
    if found.pop(call.names["name"], None) is not None:
        await _set(call, vhost, found)
    return done()


async def _set(call: Call, vhost: str, found: dict[str, Json]) -> None:
    request = pb.SetVhostLimits(vhost=vhost, definition=json.dumps(found))
    await limits.set_vhost(call.ctx, request)


async def of_users(call: Call) -> Answer:
    """All that have any, or one user's; whoever may not see other users sees their own."""
    if "user" in call.names:
        found = [users.found(call)]
    else:
        found = sorted(call.state.users.values(), key=lambda user: user.name)
    if not is_monitor(call.user):
        found = [user for user in found if user.name == call.user.name]
    rows = [user for user in found if user.limits]
    return await lists.of(call, rows, lambda user: {"user": user.name, "value": dict(user.limits)})


async def put_user(call: Call) -> Answer:
    value = call.required("value")["value"]
    user, name = call.names["user"], call.names["name"]
    if user not in call.state.users:
        raise malformed("no_such_user", user)
    request = pb.SetUserLimits(username=user, definition=json.dumps({name: value}))
    await limits.set_user(call.ctx, request)
    return done()


async def delete_user(call: Call) -> Answer:
    user = users.found(call)
    request = pb.ClearUserLimits(username=user.name, limit_type=call.names["name"])
    await limits.clear_user(call.ctx, request)
    return done()
