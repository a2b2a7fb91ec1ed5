"""Whether every member has all there is in quorum queues, as an operator can see it.

Whoever forces a lone survivor gives up what that one has not got; a copy that is still being made
has less than what was confirmed. So an operator looks first, and so does the fault `survivor`.
Decides by what the tools print. Never waits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.cluster.trio import Trio

_WITHIN_S = 40.0


def why_not_whole(trio: Trio, queues: Sequence[str]) -> str:
    """Empty when it is."""
    try:
        return (_explained(trio) if trio.target == "mqd" else "") or _status(trio, queues)
    except RuntimeError as error:
        return str(error)


def _explained(trio: Trio) -> str:
    told = _json(trio, "rabbitmqctl", "explain_cluster")
    unlike = [each["says"] for each in told["reasons"] if each["kind"] != "running"]
    by_all = "by a majority of the disc nodes" in told["says"]
    return "; ".join(unlike) or ("" if by_all else told["says"])


def _status(trio: Trio, queues: Sequence[str]) -> str:
    for queue in queues:
        rows = _json(trio, "rabbitmq-queues", "quorum_status", queue)
        states = sorted(row["Raft State"] for row in rows)
        indexes = {row["Log Index"] for row in rows}
        if states != ["follower", "follower", "leader"] or len(indexes) != 1:
            return f"{queue}: {rows}"
    return ""


def _json(trio: Trio, tool: str, *words: str) -> Any:
    done = trio.members[0].run(tool, "-q", *words, "--formatter", "json", within_s=_WITHIN_S)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)
