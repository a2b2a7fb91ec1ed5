"""Permissions and topic permissions: reading, giving, taking.

Decides their JSON and the words for what is missing. What is changed is changed by
`mqd.admin.permissions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from mqd.admin import permissions
from mqd.auth.patterns import InvalidPattern
from mqd.auth.permissions import check_pattern
from mqd.management import fields, lists, users
from mqd.management.calls import Answer, Call, Refused, bad_request, created, done, not_found
from mqd.rpc.v1 import permissions_pb2 as pb

Json = Any
Key = tuple[str, ...]


def _row(call: Call, key: tuple[str, str]) -> dict[str, Json]:
    user, vhost = key
    granted = call.state.permissions[key]
    return {
        "user": user,
        "vhost": vhost,
        "configure": granted.configure,
        "write": granted.write,
        "read": granted.read,
    }


def _topic_row(call: Call, key: tuple[str, str, str]) -> dict[str, Json]:
    user, vhost, exchange = key
    granted = call.state.topic_permissions[key]
    return {
        "user": user,
        "vhost": vhost,
        "exchange": exchange,
        "write": granted.write,
        "read": granted.read,
    }


async def _listed(call: Call, keys: Iterable[tuple[str, str]]) -> Answer:
    return await lists.of(call, sorted(keys), lambda key: _row(call, key))


async def _topics_listed(call: Call, keys: Iterable[tuple[str, str, str]]) -> Answer:
    return await lists.of(call, sorted(keys), lambda key: _topic_row(call, key))


async def listing(call: Call) -> Answer:
    return await _listed(call, call.state.permissions)


async def topics(call: Call) -> Answer:
    return await _topics_listed(call, call.state.topic_permissions)


async def of_vhost(call: Call) -> Answer:
    name = call.vhost.name
    return await _listed(call, (key for key in call.state.permissions if key[1] == name))


async def topics_of_vhost(call: Call) -> Answer:
    name = call.vhost.name
    keys = (key for key in call.state.topic_permissions if key[1] == name)
    return await _topics_listed(call, keys)


async def of_user(call: Call) -> Answer:
    name = users.found(call).name
    return await _listed(call, (key for key in call.state.permissions if key[0] == name))


async def topics_of_user(call: Call) -> Answer:
    name = users.found(call).name
    keys = (key for key in call.state.topic_permissions if key[0] == name)
    return await _topics_listed(call, keys)


def _key(call: Call) -> tuple[str, str]:
    return call.names["user"], call.names["vhost"]


async def show(call: Call) -> Answer:
    if _key(call) not in call.state.permissions:
        raise not_found()
    return lists.one(call, _row(call, _key(call)))


async def show_topics(call: Call) -> Answer:
    """A list: one for each exchange."""
    return await _topics_listed(call, _topic_keys(call))


def _topic_keys(call: Call) -> list[tuple[str, str, str]]:
    keys = [key for key in call.state.topic_permissions if key[:2] == _key(call)]
    if not keys:
        raise not_found()
    return keys


def _check_place(call: Call) -> None:
    user, vhost = _key(call)
    if user not in call.state.users or vhost not in call.state.vhosts:
        raise bad_request("vhost_or_user_not_found")


def _check_patterns(*patterns: str, charlist: bool) -> None:
    for pattern in patterns:
        try:
            check_pattern(pattern)
        except InvalidPattern as error:
            _refuse(error, charlist=charlist)


def _refuse(error: InvalidPattern, *, charlist: bool) -> NoReturn:
    """Erlang's strings are lists of numbers (observed: 3.10.8)."""
    shown: Json = list(map(ord, error.pattern)) if charlist else error.pattern
    fault = [list(map(ord, error.reason)), error.offset]
    raise Refused(400, "bad_request", ["invalid_regexp", shown, fault]) from None


async def put(call: Call) -> Answer:
    body = call.required("configure", "write", "read")
    user, vhost = _key(call)
    _check_place(call)
    configure, write, read = (fields.text(body, key) for key in ("configure", "write", "read"))
    _check_patterns(configure, write, read, charlist=True)
    is_new = (user, vhost) not in call.state.permissions
    request = pb.SetPermissions(
        username=user, vhost=vhost, configure=configure, write=write, read=read
    )
    await permissions.set_(call.ctx, request)
    return created(is_new)


async def put_topic(call: Call) -> Answer:
    body = call.required("exchange", "write", "read")
    user, vhost = _key(call)
    _check_place(call)
    exchange, write, read = (fields.text(body, key) for key in ("exchange", "write", "read"))
    _check_patterns(write, read, charlist=False)
    is_new = not any(key[:2] == (user, vhost) for key in call.state.topic_permissions)
    request = pb.SetTopicPermissions(
        username=user, vhost=vhost, exchange=exchange, write=write, read=read
    )
    await permissions.set_topic(call.ctx, request)
    return created(is_new)


async def delete(call: Call) -> Answer:
    user, vhost = _key(call)
    if (user, vhost) not in call.state.permissions:
        raise not_found()
    await permissions.clear(call.ctx, pb.ClearPermissions(username=user, vhost=vhost))
    return done()


async def delete_topics(call: Call) -> Answer:
    """Those on one exchange, when the path names it; there may be none on it."""
    _topic_keys(call)
    user, vhost = _key(call)
    request = pb.ClearTopicPermissions(username=user, vhost=vhost)
    if "exchange" in call.names:
        request.exchange = call.names["exchange"]
    await permissions.clear_topic(call.ctx, request)
    return done()
