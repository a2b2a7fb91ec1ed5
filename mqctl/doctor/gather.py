"""The facts of a node that does not answer: a process of the daemon's own code looks for them.

Decides how that process is started and how long it may take. Imports nothing of the daemon.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mqctl.failures import error

MODULE = "mqd.daemon.checkup"
WITHIN_S = 60.0


def facts_of_files(node: str, timeout_s: float | None) -> Any:
    """doctor_pb2.Facts. Raises Failure when the process does not tell them."""
    import subprocess  # only here: a node that answers needs none

    from mqd.rpc.v1 import doctor_pb2

    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, constant words
            [sys.executable, "-m", MODULE],
            env={**os.environ, "RABBITMQ_NODENAME": node, "MQD_NODENAME": node},
            capture_output=True,
            timeout=timeout_s or WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise error(
            f"the files of {node} took longer than {problem.timeout:g} s to look at; "
            "a longer -t waits"
        ) from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise error(f"the files of {node} could not be looked at: {last}; mqd --check says more")
    return doctor_pb2.Facts.FromString(done.stdout)
