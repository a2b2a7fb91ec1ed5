"""The node and the cluster as such: who asks, names, flags, logins, statistics.

Decides the JSON of these. What is changed is changed by `mqd.admin`.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

from mqd.admin import cluster, diagnostics, feature_flags, quorum_queues
from mqd.admin.everywhere import others
from mqd.auth.sasl import Credentials
from mqd.management import access
from mqd.management.calls import Answer, Call, bad_request, done, encoded, not_found, reply
from mqd.management.query import columns_of, cut
from mqd.rpc.v1 import cluster_pb2, diagnostics_pb2, feature_flags_pb2, quorum_queues_pb2

Json = Any

_COOKIE = "auth"


async def whoami(call: Call) -> Answer:
    """Name and tags."""
    return reply({"name": call.user.name, "tags": list(call.user.tags)})


async def auth(call: Call) -> Answer:
    """Passwords are the only way in."""
    return reply({"enable_uaa": False, "uaa_client_id": "", "uaa_location": ""})


async def login(call: Call) -> Answer:
    """A form with username and password, for pages: the cookie is what a page sends as Basic."""
    form = parse_qs(call.body.decode("utf-8", "surrogateescape"), max_num_fields=20)
    name = form.get("username", [""])[0]
    password = form.get("password", [""])[0].encode("utf-8", "surrogateescape")
    loopback = access.is_loopback(call.address)
    access.log_in(call.broker, Credentials(name, password), call.address, loopback=loopback)
    raw = name.encode("utf-8", "surrogateescape") + b":" + password
    age = call.node.management.session_min * 60
    value = base64.b64encode(raw).decode()
    cookie = f"{_COOKIE}={value}; Version=1; Max-Age={age}; SameSite=Strict"
    return Answer(200, encoded("ok"), {"set-cookie": cookie})


async def extensions(call: Call) -> Answer:
    """No pages, no scripts of theirs."""
    return reply([])


def name_of_cluster(call: Call) -> str:
    """As it was set, or the default."""
    found = call.state.global_parameters.get(cluster.CLUSTER_NAME)
    return str(found if found is not None else call.node.cluster_name_default)


async def cluster_name(call: Call) -> Answer:
    return reply({"name": name_of_cluster(call)})


async def set_cluster_name(call: Call) -> Answer:
    name = call.required("name")["name"]
    if not isinstance(name, str) or not name:
        raise bad_request("name_not_string")
    await cluster.set_name(call.ctx, cluster_pb2.SetClusterName(name=name))
    return done()


async def list_feature_flags(call: Call) -> Answer:
    """All are enabled."""
    flags = [
        {
            "name": flag.name,
            "desc": flag.desc,
            "doc_url": flag.doc_url,
            "state": "enabled",
            "stability": "stable",
            "provided_by": "rabbit",
        }
        for flag in feature_flags.FLAGS
    ]
    return reply(cut(flags, columns_of(call.query)))


async def enable_feature_flag(call: Call) -> Answer:
    """It is; or there is none."""
    name = call.names["name"]
    if name != "all" and name not in {flag.name for flag in feature_flags.FLAGS}:
        raise bad_request("unsupported")
    request = feature_flags_pb2.EnableFeatureFlag(name=name)
    await feature_flags.enable(call.ctx, request)
    return done()


def check_node(call: Call) -> None:
    """Raises Refused unless the node in the path, if there is one, is this one."""
    if call.names.get("node", call.node.name) != call.node.name:
        raise not_found()


async def auth_attempts(call: Call) -> Answer:
    """Of this node."""
    return reply(await _attempts(call, by_source=False))


async def auth_attempts_by_source(call: Call) -> Answer:
    """The same by address and user; empty until sources are told apart."""
    return reply(await _attempts(call, by_source=True))


async def _attempts(call: Call, *, by_source: bool) -> list[Json]:
    check_node(call)
    request = diagnostics_pb2.AuthAttemptsRequest(by_source=by_source)
    found = []
    async for batch in diagnostics.auth_attempts(call.ctx, request):
        for row in batch.rows:
            shown = {
                "protocol": row.protocol,
                "auth_attempts": row.auth_attempts,
                "auth_attempts_failed": row.auth_attempts_failed,
                "auth_attempts_succeeded": row.auth_attempts_succeeded,
            }
            if by_source:
                shown = {
                    "remote_address": row.remote_address,
                    "username": row.username,
                    **shown,
                }
            found.append(shown)
    return found


async def reset_auth_attempts(call: Call) -> Answer:
    """Count from nothing."""
    check_node(call)
    call.broker.auth.attempts.reset()
    return done()


async def reset(call: Call) -> Answer:
    """Forget all samples of this node."""
    check_node(call)
    call.samples.reset()
    return done()


async def rebalance(call: Call) -> Answer:
    """Spread the leaders of quorum queues over the members; nothing to do on a node alone."""
    if others(call.ctx):
        everything = quorum_queues_pb2.RebalanceQueues(
            kind="all", vhost_pattern=".*", queue_pattern=".*"
        )
        await quorum_queues.rebalance(call.ctx, everything)
    return done()
