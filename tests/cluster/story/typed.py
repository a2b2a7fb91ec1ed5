"""Lines that several sections type.

Decides nothing but their wording.
"""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.story.stage import Stage, Wrong

ONLY_DISC = (
    "Error:\n{:resetting_only_disc_node, 'You cannot reset a node when it is the only disc node in "
    "a cluster. Please convert another node of the cluster to a disc node first.'}"
)


def status(stage: Stage, host: str) -> dict[str, Any]:
    said = stage.type(host, "rabbitmqctl -q cluster_status --formatter json")
    return dict(json.loads(said))


def stop_app(stage: Stage, host: str) -> None:
    stage.type(
        host, "rabbitmqctl stop_app", f"Stopping rabbit application on node rabbit@{host} ..."
    )


def start_app(stage: Stage, host: str) -> None:
    stage.type(host, "rabbitmqctl start_app", f"Starting node rabbit@{host} ...")


def check(true: object, what: str) -> None:
    if not true:
        raise Wrong(what)
