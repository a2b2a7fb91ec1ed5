"""Which node a call is meant for: -n, environment, default; short and long host names.

Decides the full node name or why there is none. Never looks whether the node exists.
"""

from __future__ import annotations

import os
import re

from mqctl import exit_codes
from mqctl.failures import Failure
from mqctl.places import variable

_HEAD = re.compile(r"[0-9A-Za-z_\-]+\Z")
_HOST = re.compile(r"[!-ÿ]*\Z")


def short_host() -> str:
    """The machine's name up to the first dot, without importing socket for it."""
    return os.uname().nodename.partition(".")[0]


def domain() -> str:
    """The machine's domain, as far as it is known locally."""
    _, _, known = os.uname().nodename.partition(".")
    if known:
        return known
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                words = line.split()
                if len(words) > 1 and words[0] in ("domain", "search"):
                    return words[1]
    except OSError:
        pass
    return "localdomain"


def default_name() -> str:
    """From the environment, rabbitmq-env.conf, else rabbit."""
    given = os.environ.get("RABBITMQ_NODENAME") or os.environ.get("MQD_NODENAME")
    return given or variable("NODENAME") or "rabbit"


def wants_long(option: object) -> bool:
    """--longnames, else RABBITMQ_USE_LONGNAME."""
    if option is not None:
        return bool(option)
    return variable("USE_LONGNAME") == "true"


def resolve(name: str | None, long_names: bool, verb: str) -> str:
    """Full node name; raises Failure (65) for one that cannot be."""
    given = default_name() if name is None else name
    head, at, host = given.partition("@")
    if at and not head:
        head = "rabbit"
    if not host:
        host = short_host() + ("." + domain() if long_names else "")
    elif long_names and "." not in host:
        host = f"{host}.{domain()}"
    elif not long_names and "." in host:
        raise Failure(
            exit_codes.DATA,
            f"Error: operation {verb} failed due to invalid node name (node: {given}, "
            "reason: short).\nIf using FQDN node names, use the -l / --longnames argument",
        )
    if not _HOST.match(host):
        raise Failure(
            exit_codes.DATA,
            "Unsupported node name: hostname is invalid (possibly contains unsupported characters)."
            "\nIf using FQDN node names, use the -l / --longnames argument.",
        )
    if not _HEAD.match(head):
        raise Failure(
            exit_codes.DATA,
            "Unsupported node name: node name head (the part before the @) is invalid. Only "
            "alphanumerics, _ and - characters are allowed.\n"
            "If using FQDN node names, use the -l / --longnames argument",
        )
    return f"{head}@{host}"
