"""Whether an answer of mqd's is RabbitMQ's.

Decides what counts: status, the headers that say something, error bodies word for word, values
without what no two runs share. Never asks anybody.
"""

from __future__ import annotations

import json
from typing import Any

from tests.management.asked import Ask

Json = Any

HEADERS = ("allow", "content-type", "content-disposition", "location", "www-authenticate")
# what mqd leaves out (mqd-differences), by where it is looked for
LEFT_OUT = frozenset(
    (
        "backing_queue_status",
        "garbage_collection",
        "reductions",
        "reductions_details",
        "user_who_performed_action",
    )
)
_MASKED = ("password_hash",)


def masked(value: Json, node: str) -> Json:
    """Without what no two runs share."""
    if isinstance(value, dict):
        if value.keys() == {"name", "metadata"}:  # a vhost: 3.10.8 exports its name alone
            value = {"name": value["name"]}
        return {
            name.replace(node, "{node}"): "***" if name in _MASKED else masked(one, node)
            for name, one in value.items()
            if name not in LEFT_OUT
        }
    if isinstance(value, list):
        return [masked(one, node) for one in value if not _is_internal(one)]
    return value.replace(node, "{node}") if isinstance(value, str) else value


def _is_internal(value: Json) -> bool:
    """A global parameter that is the cluster's own; a connection of RabbitMQ's to itself, which is
    sometimes seen."""
    name = value.get("name") if isinstance(value, dict) else None
    return isinstance(name, str) and (name == "internal_cluster_id" or name.startswith("<"))


def _sorted(value: Json) -> Json:
    """Lists of objects in an order of their own: RabbitMQ promises none."""
    if isinstance(value, dict):
        return {name: _sorted(one) for name, one in value.items()}
    if isinstance(value, list):
        found = [_sorted(one) for one in value]
        if all(isinstance(one, dict) for one in found):
            found.sort(key=lambda one: json.dumps(one, sort_keys=True))
        return found
    return value


def told(status: int, headers: dict[str, str], body: bytes, node: str) -> Json:
    """What is kept of an answer."""
    kept = {name: headers[name] for name in HEADERS if name in headers}
    found: dict[str, Json] = {"status": status, "headers": kept}
    if body and kept.get("content-type", "").startswith("application/json"):
        found["json"] = masked(json.loads(body), node)
    return found


def differences(ask: Ask, theirs: Json, ours: Json) -> list[str]:
    """What is not the same; empty when nothing is."""
    found = []
    if theirs["status"] != ours["status"]:
        found.append(f"status {ours['status']}, not {theirs['status']}")
    if theirs["status"] != 500 and theirs["headers"] != ours["headers"]:
        found.append(f"headers {ours['headers']}, not {theirs['headers']}")
    if theirs["status"] != 500:
        mine, other = _sorted(ours.get("json")), _sorted(theirs.get("json"))
        if mine != other:
            found.append(f"\n  {json.dumps(mine)[:900]}, not\n  {json.dumps(other)[:900]}")
    return [f"{ask.key}: {one}" for one in found]
