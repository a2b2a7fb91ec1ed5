"""Names that a shell may complete: vhosts, users, queues and the like, asked of the node.

Decides which listing answers for which argument. A node that does not answer within two seconds
has no names: completion never prints a failure.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from mqctl import catalogue

# what an argument is called in usage -> (scope, listing and its columns, key of the name)
LISTINGS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "vhost": (catalogue.CTL, ("list_vhosts", "name"), "name"),
    "username": (catalogue.CTL, ("list_users",), "user"),
    "user": (catalogue.CTL, ("list_users",), "user"),
    "queue": (catalogue.CTL, ("list_queues", "name"), "name"),
    "queue_name": (catalogue.CTL, ("list_queues", "name"), "name"),
    "stream": (catalogue.CTL, ("list_queues", "name"), "name"),
    "exchange": (catalogue.CTL, ("list_exchanges", "name"), "name"),
    "feature_flag": (catalogue.CTL, ("list_feature_flags", "name"), "name"),
    "policy": (catalogue.CTL, ("list_policies",), "name"),
    "operator policy": (catalogue.CTL, ("list_operator_policies",), "name"),
    "connection pid": (catalogue.CTL, ("list_connections", "pid"), "pid"),
}
# arguments whose name in usage does not tell
OF_VERBS = {
    ("clear_policy", "name"): "policy",
    ("set_policy", "name"): "policy",
    ("clear_operator_policy", "name"): "operator policy",
    ("set_operator_policy", "name"): "operator policy",
}
_IN_A_VHOST = frozenset(
    ("list_queues", "list_exchanges", "list_policies", "list_operator_policies")
)
_NEW = frozenset(("add_user", "add_vhost"))  # of what is to be made there is no name yet
_WAIT_S = "2"


def kind_of(verb: str, shown: str) -> str | None:
    """Key of LISTINGS for an argument; None when its words are not names of what there is."""
    if verb in _NEW:
        return None
    kind = OF_VERBS.get((verb, shown), shown)
    return kind if kind in LISTINGS else None


def names(kind: str, options: Mapping[str, Any]) -> list[str]:
    """All names of that kind. options: node and vhost as typed so far."""
    from mqctl.pipeline import Pipeline

    scope, listing, key = LISTINGS[kind]
    words = [*listing, "--formatter", "json", "-q", "-t", _WAIT_S]
    if options.get("node"):
        words += ["-n", str(options["node"])]
    if options.get("vhost") and listing[0] in _IN_A_VHOST:
        words += ["-p", str(options["vhost"])]
    out = io.StringIO()
    if Pipeline("mqctl", scope, out, io.StringIO()).run(words):
        return []
    try:
        found = json.loads(out.getvalue())
    except ValueError:
        return []
    return [str(row[key]) for row in found if row.get(key)]
