"""What a nats-server child is told: its configuration file, and who the others are to it.

Decides the text of the file out of values; never writes it and starts nothing. The rules it
follows were found by experiment:

- Acknowledged means on disc: `sync_interval: always` (the default acknowledges before).
- A server's name is `<node>~<incarnation>`: a name that was removed from the group of voters is
  barred for minutes, and a node that comes back empty must be somebody else.
- A fresh group of voters forms once a majority of (own + configured routes) is there. Founders
  list each other. A server that joins lists ROUTES_TO_NOBODY besides: alone, or among others as
  empty as itself, it can never be a majority and so never found a second, empty group; from the
  leader of the group that is there it learns the real number (tried: joined in 0.5 s).
- Clients come from this host only, with passwords of this start; there is no HTTP monitor.
- Routes are mutual TLS with the certificates of the cluster's generation: that is their
  authentication. `advertise` is the name the certificate carries, so that routes which servers
  make by hearsay hold too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mqd.cluster.identity import Identity
from mqd.metadata.commands import Member

ACCOUNT: Final = "MQD"  # whose logs these are
SYSTEM: Final = "SYS"
ANCHOR: Final = "ANCHOR"  # of the connection in `anchor`; nothing is ever sent there
MAX_PAYLOAD_BYTES: Final = 33_554_432  # one entry; definitions that come in whole are large
ROUTES_TO_NOBODY: Final = tuple(f"nats://127.0.0.1:{port}" for port in range(1, 16))

_STORE_BYTES: Final = 1 << 50  # none of its business: mqd watches the disc
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of the child's own clients, new at each start."""

    client: str
    system: str
    anchor: str


def server_name(node: str, incarnation: str) -> str:
    """Of the server of a member."""
    return f"{node}~{incarnation}"


def node_of(server: str) -> str:
    """The member whose server has that name."""
    return server.rpartition("~")[0] or server


def peer_id(server: str) -> str:
    """What the group of voters calls a server: a hash of its name, so it is known also of a server
    that was not seen since the start (nats-server: getHash)."""
    return "".join(_DIGITS[byte % 62] for byte in sha256(server.encode()).digest()[:8])


def config_text(
    *,
    store: Path,
    cluster: str,
    me: Member,
    others: Sequence[Member],
    listen: str,
    identity: Identity,
    secrets: Secrets,
    joins: bool,
) -> str:
    """joins: it must find a group, not form one. JSON, which nats-server reads as its own format.
    Ports that are -1 it chooses itself, and logs."""
    routes = [f"nats://{_at(member.host)}:{member.route_port}" for member in others]
    if joins:
        routes += ROUTES_TO_NOBODY
    if not routes:  # clustered streams want one; a server drops the route to itself
        routes = [f"nats://{_at(me.host)}:{me.route_port}"]
    config: Mapping[str, Any] = {
        "server_name": server_name(me.name, me.incarnation),
        "host": "127.0.0.1",
        "port": -1,
        "max_payload": MAX_PAYLOAD_BYTES,
        "max_pending": 4 * MAX_PAYLOAD_BYTES,
        "accounts": {
            SYSTEM: {"users": [_user("system", secrets.system)]},
            ACCOUNT: {"jetstream": "enabled", "users": [_user("client", secrets.client)]},
            ANCHOR: {"users": [_user("anchor", secrets.anchor)]},
        },
        "system_account": SYSTEM,
        "leafnodes": {"host": "127.0.0.1", "port": -1, "no_advertise": True},
        "cluster": {
            "name": cluster,
            "host": listen,
            "port": me.route_port,
            "advertise": f"{_at(me.host)}:{me.route_port}",
            "no_advertise": True,
            "pool_size": -1,
            "tls": {
                "cert_file": str(identity.certificate),
                "key_file": str(identity.key),
                "ca_file": str(identity.authority),
                "verify": True,
                "min_version": "1.3",
                "timeout": 5,
            },
            "routes": routes,
        },
        "jetstream": {
            "store_dir": str(store),
            "sync_interval": "always",
            "max_memory_store": 67_108_864,
            "max_file_store": _STORE_BYTES,
        },
    }
    return json.dumps(config, ensure_ascii=False, indent=1)


def _user(name: str, password: str) -> Mapping[str, str]:
    return {"user": name, "password": password}


def _at(host: str) -> str:
    return f"[{host}]" if ":" in host else host
