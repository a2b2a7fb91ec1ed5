"""Where a node's control socket lies, so that a tool finds it from the node's name alone.

Decides the run directory and the file name. Never opens or creates anything, and imports nothing
that a short-lived tool would have to wait for; the daemon uses the same rule.
"""

from __future__ import annotations

import os

SYSTEM_RUN_DIR = "/run/mqd"


def run_directory(environ: dict[str, str] | os._Environ[str] | None = None) -> str:
    """MQD_RUN_DIR, else /run/mqd for root or when usable, else the user's runtime directory."""
    env = os.environ if environ is None else environ
    chosen = env.get("MQD_RUN_DIR")
    if chosen:
        return chosen
    if os.geteuid() == 0 or os.access(SYSTEM_RUN_DIR, os.W_OK | os.X_OK):
        return SYSTEM_RUN_DIR
    runtime = env.get("XDG_RUNTIME_DIR")
    if runtime:  # what platformdirs answers on Linux, without the price of importing it
        return f"{runtime}/mqd"
    import warnings

    import platformdirs

    with warnings.catch_warnings():  # its remark on a missing XDG_RUNTIME_DIR is not for operators
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_dir("mqd")


def socket_path(node: str, environ: dict[str, str] | os._Environ[str] | None = None) -> str:
    """Path of the control socket of `node` (rabbit@host).

    A slash in the name cannot leave the directory: it is replaced.
    """
    return f"{run_directory(environ)}/{node.replace('/', '%2F')}.sock"
