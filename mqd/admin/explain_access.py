"""What refuses a user beside permissions: where it may log in from, limits, queues of others.

Decides by the live broker; reads, and changes nothing. Each reason is one that a client would be
told of with a code: 530 for limits, 405 and 403 for what belongs to another connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from mqd.admin.explain_queue import owned
from mqd.admin.explaining import Reason, at
from mqd.auth.permissions import Kind
from mqd.broker.broker import Broker
from mqd.metadata.machine import State
from mqd.policies.limits import MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES, limit_reached


def beside(
    broker: Broker, state: State, user: str, vhost: str, kind: Kind, name: str, config: str
) -> Iterator[Reason]:
    """config: the file to write a setting into."""
    yield from _login(broker, state, user, config)
    yield from _limits(broker, user, vhost, kind)
    found = broker.vhosts.get(vhost)
    queue = found.queues.get(name) if found is not None else None
    if queue is not None:
        yield from owned(queue)


def _login(broker: Broker, state: State, user: str, config: str) -> Iterator[Reason]:
    found = state.users.get(user)
    if found is None:
        return
    if not found.password_hash:
        yield Reason(
            "no_password",
            "the user has no password, and cannot log in with one",
            f"mqctl change_password {quote(user)}",
        )
    if broker.auth.is_loopback_only(user):
        yield Reason(
            "loopback_only",
            "the user can log in from the node's own machine only",
            f"echo 'loopback_users.{user} = false' >>{quote(config)} && systemctl reload mqd",
        )


def _limits(broker: Broker, user: str, vhost: str, kind: Kind) -> Iterator[Reason]:
    connections = broker.connections.values()
    node_limit = broker.settings.connection_max
    if node_limit and len(connections) >= node_limit:
        yield Reason(
            "node_connection_limit",
            f"the node has as many connections as it may, {node_limit} (connection_max)",
            "mqctl list_connections user peer_host state",
        )
    of_user = [entry for entry in connections if entry.user.name == user]
    counts = {
        MAX_CONNECTIONS: len(of_user),
        MAX_CHANNELS: sum(len(entry.channels) for entry in of_user),
    }
    for key, count in counts.items():
        limit = limit_reached(broker.auth.limits_of(user), key, count)
        if limit is not None:
            yield Reason(
                "user_limit",
                f"the user's limit {key} is reached: {count} of {limit}",
                f"mqctl clear_user_limits {quote(user)} {key}",
            )
    found = broker.vhosts.get(vhost)
    if found is None:
        return
    counts = {MAX_CONNECTIONS: sum(1 for _ in found.connections())}
    if kind == "configure":
        counts[MAX_QUEUES] = len(found.queues)
    for key, count in counts.items():
        limit = limit_reached(found.limits, key, count)
        if limit is not None:
            yield Reason(
                "vhost_limit",
                f"the virtual host's limit {key} is reached: {count} of {limit}",
                f"mqctl clear_vhost_limits {at(vhost)}",
            )
