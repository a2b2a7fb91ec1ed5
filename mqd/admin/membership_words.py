"""RabbitMQ 3.10.8's own words about members, which scripts and people look for.

Decides texts only (observed: rabbitmqctl and the log of 3.10.8; Elixir's notation where the tool
prints a term). Never decides when one of them is true.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from mqd.admin.elixir import atom
from mqd.errors import ErrorCode, MqdError

_BARE: Final = re.compile(r"[a-z][A-Za-z0-9_@]*")
MNESIA_NOT_RUNNING: Final = "mnesia_not_running"
_ONLY_DISC = (
    "{:resetting_only_disc_node, 'You cannot reset a node when it is the only disc node in a "
    "cluster. Please convert another node of the cluster to a disc node first.'}"
)
_JOINING_ONLY_DISC = (
    "{:clustering_only_disc_node, 'You cannot cluster a node if it is the only disc node in its "
    "existing  cluster. If new nodes joined while this node was offline, use "
    "\\'update_cluster_nodes\\' to add them manually.'}"
)
_NOT_A_MEMBER = "{:not_a_cluster_node, 'The node selected is not in the cluster.'}"
_NOT_CLUSTERED = "{:not_clustered, 'Non-clustered nodes can only be disc nodes.'}"
_NOBODY_TO_LEAVE = (
    "{:no_running_cluster_nodes, 'You cannot leave a cluster if no online nodes are present.'}"
)
_STANDALONE_RAM = "cannot_create_standalone_ram_node"
_WITH_ITSELF = "cannot_cluster_node_with_itself"
_NOT_AMONG_THEM = (
    "{:inconsistent_cluster, 'The nodes provided do not have this node as part of the cluster.'}"
)
_OFFLINE_NODE = (
    "{:offline_node_no_offline_flag, 'You are trying to remove a node from an offline node. That "
    "is dangerous, but can be done with the --offline flag. Please consult the manual for "
    "rabbitmqctl for more information.'}"
)
_FROM_OFFLINE = (
    "{:removing_node_from_offline_node, 'To remove a node remotely from an offline node, the node "
    "you are removing from must be a disc node and all the other nodes must be offline.'}"
)
_TABLES = [
    "rabbit_user",
    "rabbit_user_permission",
    "rabbit_runtime_parameters",
    "rabbit_topic_permission",
    "rabbit_vhost",
    "rabbit_durable_exchange",
    "rabbit_durable_queue",
    "rabbit_durable_route",
]


def _unavailable(text: str) -> MqdError:
    return MqdError(ErrorCode.UNAVAILABLE, text)


def only_disc_node() -> MqdError:
    return _unavailable(_ONLY_DISC)


def joining_only_disc_node() -> MqdError:
    return _unavailable(_JOINING_ONLY_DISC)


def not_a_member() -> MqdError:
    return MqdError(ErrorCode.NOT_FOUND, _NOT_A_MEMBER)


def not_clustered() -> MqdError:
    return _unavailable(_NOT_CLUSTERED)


def nobody_to_leave(ram: bool) -> MqdError:
    """A ram node would have to start without anybody's tables first."""
    return _unavailable(_STANDALONE_RAM if ram else _NOBODY_TO_LEAVE)


def nobody_online(node: str, members: Collection[str], ram: bool, answered: bool) -> MqdError:
    """3.10.8 asks one member after the other, itself too, and tells how the last one failed.
    answered: the others' processes are up, their apps are stopped."""
    if ram or (answered and node == max(members)):
        return _unavailable(_WITH_ITSELF)
    if answered:
        return _unavailable(MNESIA_NOT_RUNNING)
    return MqdError(ErrorCode.NOT_FOUND, "no other member of its cluster answers it")


def offline_node() -> MqdError:
    return _unavailable(_OFFLINE_NODE)


def from_offline_node() -> MqdError:
    return _unavailable(_FROM_OFFLINE)


def last_replica(node: str) -> MqdError:
    """The only disc member cannot be forgotten, not even by itself."""
    reason = "{:combine_error, :schema, 'Last replica'}"
    return _unavailable(f"{{:failed_to_remove_node, {atom(node)}, {reason}}}")


def must_be_stopped(node: str) -> MqdError:
    return _unavailable(
        f"RabbitMQ on node {node} must be stopped with 'rabbitmqctl -n {node} stop_app' before it "
        "can be removed"
    )


def disagreement(node: str, other: str) -> str:
    """node takes itself for a member of other's cluster, other does not."""
    return (
        f"{{:inconsistent_cluster, 'Node {node} thinks it\\'s clustered with node {other}, but "
        f"{other} disagrees'}}"
    )


def apart(node: str, others: Sequence[str]) -> str:
    """Both parts of a cluster were forced to go on."""
    return (
        f"{{:inconsistent_cluster, 'Node {node} and {listed(others)} were each forced to go on "
        "without the other, and each may have changes that the other has not. To go on with "
        f"theirs: mqctl -n {node} reset, join_cluster {others[0]}, start_app. To go on with those "
        f"of {node}: stop_app on the other, then mqctl -n {node} force_boot, start_app, and reset "
        "the other'}"
    )


def between(node: str, others: Sequence[str]) -> str:
    """Those that run are of two parts, and this node is of neither."""
    return (
        f"{{:inconsistent_cluster, '{listed(others)} run and were each forced to go on without the "
        "other. stop_app on those whose changes shall be given up, then mqctl "
        f"-n {node} start_app'}}"
    )


def nothing_to_go_on_with(node: str, others: Sequence[str]) -> str:
    """A forced start of a member whose metadata is gone."""
    remedy = f"start {listed(others)}, or give up what the cluster had" if others else "to go on"
    return (
        f"node {node} has no metadata left that it could be forced to go on with; {remedy}: "
        f"mqctl -n {node} stop_app, force_reset, start_app"
    )


def inconsistent_update() -> MqdError:
    """The node whose members were to be learnt does not have us among them."""
    return _unavailable(_NOT_AMONG_THEM)


def inconsistent(node: str, other: str) -> MqdError:
    return _unavailable(disagreement(node, other))


def start_failed(reason: str) -> MqdError:
    """How start_app tells why."""
    return _unavailable(f"{{:rabbit, {{{reason}, {{:rabbit, :start, [:normal, []]}}}}}}")


def no_tables(nodes: Sequence[str]) -> str:
    """The others did not come."""
    named = ", ".join(atom(node) for node in nodes)
    tables = ", ".join(f":{table}" for table in _TABLES)
    return f"{{:timeout_waiting_for_tables, [{named}], [{tables}]}}"


def no_disc_node(nodes: Sequence[str]) -> str:
    """A ram node found nobody to start from."""
    named = ", ".join(atom(node) for node in nodes)
    return f"{{:failed_to_cluster_with, [{named}], 'Mnesia could not connect to any nodes.'}}"


def erlang_tables(nodes: Sequence[str]) -> str:
    """The same as `no_tables` in the log, where terms are Erlang's."""
    named = ",".join(quoted(node) for node in nodes)
    return f"{{timeout_waiting_for_tables,[{named}],[{','.join(_TABLES)}]}}"


def quoted(node: str) -> str:
    """A node's name as an Erlang atom."""
    return node if _BARE.fullmatch(node) else f"'{node}'"


def listed(nodes: Sequence[str]) -> str:
    """For sentences: a, b and c."""
    names = list(nodes)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
