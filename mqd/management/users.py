"""Users: reading, making, changing, deleting.

Decides the JSON of one and which fields a PUT must and may have, in 3.10.8's words. What is changed
is changed by `mqd.admin.users`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from mqd.admin import user_records, users
from mqd.auth.passwords import ALGORITHMS
from mqd.auth.users import User
from mqd.management import fields, lists
from mqd.management.calls import Answer, Call, bad_request, created, done, not_found
from mqd.management.fields import malformed
from mqd.rpc.v1 import users_pb2 as pb

Json = Any


def row(user: User) -> dict[str, Json]:
    """One as it is listed."""
    return {
        "name": user.name,
        "password_hash": base64.b64encode(user.password_hash).decode(),
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


def found(call: Call) -> User:
    """The user in the path. Raises Refused."""
    user = call.state.users.get(call.names["user"])
    if user is None:
        raise not_found()
    return user


async def listing(call: Call) -> Answer:
    return await _listed(call, call.state.users.values())


async def without_permissions(call: Call) -> Answer:
    """Those who may enter no vhost."""
    having = {user for user, _ in call.state.permissions}
    return await _listed(call, (u for u in call.state.users.values() if u.name not in having))


async def _listed(call: Call, listed: Iterable[User]) -> Answer:
    return await lists.of(call, listed, row, key=lambda user: user.name)


async def show(call: Call) -> Answer:
    return lists.one(call, row(found(call)))


async def put(call: Call) -> Answer:
    """A new one, or other tags and password; without a password nobody can log in by one."""
    body = call.json()
    name = fields.checked_name("name", call.names["user"])
    if not name:
        raise bad_request("name_not_present")
    tags = _tags(body)
    before = call.state.users.get(name)
    if "password" in body and "password_hash" in body:
        raise bad_request("both_password_and_password_hash_are_provided")
    rules = call.node.credentials
    if "password" in body:
        password = fields.text(body, "password")
        rules.check(password)
        hashed, algorithm = rules.hashed(password), rules.algorithm
    elif "password_hash" in body:
        hashed = fields.decoded(body["password_hash"])
        algorithm = fields.text(body, "hashing_algorithm", rules.algorithm)
        if algorithm not in ALGORITHMS:
            raise malformed("unknown_hashing_algorithm", algorithm)
    else:
        hashed, algorithm = b"", rules.algorithm
    limits = before.limits if before is not None else {}
    await user_records.put(call.ctx, User(name, hashed, algorithm, tags, limits))
    return created(before is None)


def _tags(body: Mapping[str, Json]) -> tuple[str, ...]:
    given = body.get("tags", body.get("administrator") and "administrator")
    if given is None:
        raise bad_request("tags_not_present")
    if isinstance(given, str):
        given = given.split(",")
    if not (isinstance(given, list) and all(isinstance(tag, str) for tag in given)):
        raise bad_request("tags_not_string_or_list")
    return tuple(dict.fromkeys(tag.strip() for tag in given if tag.strip()))


async def delete(call: Call) -> Answer:
    await users.delete(call.ctx, pb.DeleteUser(username=found(call).name))
    return done()


async def bulk_delete(call: Call) -> Answer:
    """All of these, or none when one of them is none."""
    names = call.required("users")["users"]
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise bad_request("users_not_list_of_strings")
    for name in names:
        if name not in call.state.users:
            raise malformed("no_such_user", name)
    for name in dict.fromkeys(names):
        await users.delete(call.ctx, pb.DeleteUser(username=name))
    return done()
