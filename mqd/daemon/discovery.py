"""Whom a node joins at its first start by itself: the peers that its configuration names.

Decides which of them is asked, in which order and how often. All nodes of a cluster are usually
started at once with one list: the one whose name comes first begins by itself, the others look for
one that runs, and begin by themselves too when none comes (as 3.10.8 does). Never looks again once
a node has data.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

from mqd.cluster.handshake import Unreachable
from mqd.cluster.membership.start import RUNNING
from mqd.config.settings import ClusterSettings
from mqd.daemon.membership import Membership
from mqd.errors import MqdError

_log = logging.getLogger(__name__)


async def join_peers(
    membership: Membership, settings: ClusterSettings, wipe: Callable[[str], Awaitable[None]]
) -> None:
    """Returns when the node has joined one, or shall begin by itself."""
    backend = "dns" if settings.hostname else "classic_config"
    _log.info(
        "Node database directory is empty. Assuming we need to join an existing cluster or "
        "initialise from scratch..."
    )
    _log.info("Configured peer discovery backend: rabbit_peer_discovery_%s", backend)
    peers: list[str] = []
    for left in range(max(settings.discovery_limit, 1), 0, -1):
        named = await _named(settings, membership.node)
        peers = [name for name in named if name != membership.node]
        if left == settings.discovery_limit:
            _log.info("All discovered existing cluster peers: %s", ", ".join(peers))
        if await _join_one(membership, peers, settings.kind, wipe):
            return
        if not peers or membership.node == min([*peers, membership.node]):
            break
        _log.info("no peer runs yet; %d attempts left", left - 1)
        await asyncio.sleep(settings.discovery_interval_ms / 1000)
    _log.warning(
        "Could not successfully contact any node of: %s. Starting as a blank standalone node...",
        ",".join(peers),
    )


async def _join_one(
    membership: Membership, peers: Sequence[str], kind: str, wipe: Callable[[str], Awaitable[None]]
) -> bool:
    for peer in peers:
        try:
            facts = await membership.peers.ask(peer)
            if facts.state != RUNNING:
                continue
            _log.info("Node '%s' selected for auto-clustering", peer)
            await membership.join(peer, kind, wipe)
        except Unreachable as error:
            _log.debug("%s", error)
        except MqdError as error:
            _log.warning("node %s cannot be joined: %s", peer, error.detail)
        else:
            return True
    return False


async def _named(settings: ClusterSettings, node: str) -> Sequence[str]:
    """Names of nodes, this one maybe among them."""
    if settings.hostname is None:
        return settings.peers
    loop = asyncio.get_running_loop()
    prefix, _, own = node.partition("@")
    try:
        found = await loop.getaddrinfo(settings.hostname, None, type=socket.SOCK_STREAM)
    except OSError as error:
        _log.warning("the name %s has no addresses: %s", settings.hostname, error.strerror)
        return ()
    hosts = []
    for _, _, _, _, address in found:
        try:
            host, _ = await loop.getnameinfo((str(address[0]), 0), socket.NI_NAMEREQD)
        except OSError:
            _log.warning("the address %s has no name", address[0])
            continue
        hosts.append(host if "." in own else host.partition(".")[0])
    return [f"{prefix}@{host}" for host in dict.fromkeys(hosts)]
