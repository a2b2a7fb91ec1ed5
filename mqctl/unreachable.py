"""The report on a node that does not answer: what was tried, and what usually helps."""

from __future__ import annotations

import os

from mqctl.invocation import Invocation
from mqd.rpc.socket_path import run_directory, socket_path

_HEAD = """Error: unable to perform an operation on node '{node}'. Please see diagnostics information and suggestions below.

Most common reasons for this are:

 * Target node is unreachable (e.g. due to hostname resolution, TCP connection or firewall issues)
 * CLI tool fails to authenticate with the server (e.g. due to CLI tool's Erlang cookie not matching that of the server)
 * Target node is not running

In addition to the diagnostics info below:

 * See the CLI, clustering and networking guides on https://rabbitmq.com/documentation.html to learn more
 * Consult server logs on node {node}
 * If target node is configured to use long node names, don't forget to use --longnames with CLI tools

DIAGNOSTICS
===========

attempted to contact: [{node}]

{node}:
"""  # noqa: E501 - the mirrored tool's lines


def _others(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name[:-5] for name in names if name.endswith(".sock"))


def _findings(node: str, reason: str) -> list[str]:
    path = socket_path(node)
    lines = [f"control socket: {path}"]
    if not os.path.exists(path):
        others = _others(run_directory())
        lines.append("the socket does not exist: the node does not run on this machine")
        lines.append(reason)
        lines.append(f"nodes that have one here: {', '.join(others) or 'none'}")
        lines.append("suggestion: start the node, or check its name (-n) and MQD_RUN_DIR")
    elif not os.access(path, os.W_OK):
        lines.append("this user may not use the socket")
        lines.append("suggestion: use sudo, or join the group that owns the directory")
    else:
        lines.append(f"the socket exists, but: {reason}")
        lines.append("suggestion: compare the cookies, look whether the node's process runs")
    return lines


def cookie_hash(invocation: Invocation) -> str:
    """Base64 of the MD5 of the cookie in use, as the mirrored tool shows it; never the cookie."""
    import base64
    import hashlib

    from mqctl.client import find_cookie

    option = invocation.options.get("erlang_cookie")
    given = None if option is None else str(option)
    cookie = find_cookie(given, invocation.node) or ""  # the one that the call was made with
    digest = hashlib.md5(cookie.encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def report(invocation: Invocation, reason: str, node: str = "") -> str:
    """The whole text. node: when it is not the one that the call was meant for."""
    node = node or invocation.node
    lines = [f"  * {line}\n" for line in _findings(node, reason)]
    home = os.environ.get("HOME") or os.path.expanduser("~")
    details = (
        f"\nCurrent node details:\n * node name: 'mqctl-{os.getpid()}-{node}'\n"
        f" * effective user's home directory: {home}\n"
        f" * Erlang cookie hash: {cookie_hash(invocation)}\n"
    )
    return _HEAD.format(node=node) + "".join(lines) + details
