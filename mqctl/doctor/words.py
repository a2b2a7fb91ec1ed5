"""Words and commands that several checks share.

Decides how a node is started again and how sizes and days are shown.
"""

from __future__ import annotations

from shlex import quote
from typing import Any


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return (
        f"{amount:.0f} {unit}" if amount == int(amount) or amount >= 100 else f"{amount:.1f} {unit}"
    )


def day(when_ms: int) -> str:
    """Of the calendar, UTC."""
    import time

    return time.strftime("%Y-%m-%d", time.gmtime(when_ms / 1000))


def restart(facts: Any) -> str:
    if facts.service.is_ours:
        return f"systemctl restart {unit_name(facts)}"
    return f"mqctl -n {quote(facts.node)} shutdown && mqd -detached"


def start(facts: Any) -> str:
    return f"systemctl start {unit_name(facts)}" if facts.service.is_ours else "mqd -detached"


def unit_name(facts: Any) -> str:
    return str(facts.service.unit).removesuffix(".service")
