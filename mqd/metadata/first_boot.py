"""What a virgin node starts with: one vhost and one user who may do everything in it, and a name of
its own for the cluster.

Decides the defaults (RabbitMQ 3.10: default_vhost, default_user, default_pass,
default_user_tags, default_permissions). Never touches a node that has any vhost or user.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from mqd.auth.passwords import DEFAULT_ALGORITHM, hash_password
from mqd.auth.permissions import Permission
from mqd.auth.users import ADMINISTRATOR, User
from mqd.metadata.commands import (
    PutGlobalParameter,
    PutPermission,
    PutUser,
    PutVhost,
    VhostRecord,
)
from mqd.metadata.store import MetadataStore

CLUSTER_ID: Final = "internal_cluster_id"  # the global parameter that holds it


@dataclass(frozen=True, slots=True)
class Seeds:
    """The configuration's values; permissions are configure, write, read."""

    vhost: str = "/"
    user: str = "guest"
    password: str = "guest"  # noqa: S105 - RabbitMQ's default, and loopback_users guards it
    user_tags: tuple[str, ...] = (ADMINISTRATOR,)
    permissions: tuple[str, str, str] = (".*", ".*", ".*")
    algorithm: str = DEFAULT_ALGORITHM  # of the password's hash


async def seed(store: MetadataStore, seeds: Seeds) -> bool:
    """Seed a virgin store; returns whether it was one. Permanent on return."""
    if not store.state.is_virgin:
        return False
    password_hash = hash_password(seeds.password, seeds.algorithm)
    user = User(seeds.user, password_hash, seeds.algorithm, seeds.user_tags)
    await store.propose_async(PutVhost(VhostRecord(seeds.vhost, "Default virtual host")))
    await store.propose_async(PutUser(user))
    await store.propose_async(
        PutPermission(seeds.user, seeds.vhost, Permission(*seeds.permissions))
    )
    return True


async def identify(store: MetadataStore) -> None:
    """Give the cluster an identity that outlives its name, unless it has one (RabbitMQ: clients of
    its management tell clusters apart by it)."""
    if CLUSTER_ID not in store.state.global_parameters:
        value = f"rabbitmq-cluster-id-{secrets.token_urlsafe(16)}"
        await store.propose_async(PutGlobalParameter(CLUSTER_ID, value))
