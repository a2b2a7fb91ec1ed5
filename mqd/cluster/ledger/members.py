"""What the metadata says about who is who in the cluster.

Decides from the state alone who orders commands, who can be asked for entries, and which members
are missing. Never asks a node.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mqd.metadata.machine import State


def history_of(state: State) -> str:
    """Equal where entry numbers mean the same entries."""
    cluster = state.cluster
    if cluster is None:
        return ""
    return ":".join((cluster.id, str(cluster.generation), *cluster.forks[-1:]))


def disc_members(state: State, but: str) -> list[str]:
    """By name."""
    return sorted(
        name for name, member in state.members.items() if member.kind == "disc" and name != but
    )


def sources_of(state: State, node: str) -> list[str]:
    """Where this node's proposals can go and its entries can come from."""
    cluster = state.cluster
    if cluster is not None and cluster.authority not in ("", node):
        return [cluster.authority]
    return disc_members(state, node)


def listed(names: Sequence[str]) -> str:
    """As the subject of a sentence that ends in "do(es) not answer"."""
    return f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not answer"


def missing(state: State, node: str, up: Collection[str]) -> list[str]:
    """Disc members that are not linked."""
    return [name for name in disc_members(state, node) if name not in up]
