"""Limits of vhosts and of users: which there are, what they may be, when one is reached.

Decides the words in which others are refused (observed: 3.10.8), and what a value means: one below
zero is no limit, 0 lets nothing through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mqd.policies.terms import format_json, format_pairs

Json = Any

VHOST_LIMITS: Final = "vhost-limits"  # component among the runtime parameters
LIMITS: Final = "limits"  # name of the one parameter in it that counts
MAX_CONNECTIONS: Final = "max-connections"
MAX_QUEUES: Final = "max-queues"
MAX_CHANNELS: Final = "max-channels"
OF_VHOST: Final = (MAX_QUEUES, MAX_CONNECTIONS)  # in the order in which faults are named
OF_USER: Final = (MAX_CHANNELS, MAX_CONNECTIONS)


def faults(name: str, limits: Mapping[str, Json], known: tuple[str, ...]) -> list[str]:
    """Everything that is wrong, a line each; empty when nothing is. name: of what is set."""
    unknown = [(key, limits[key]) for key in sorted(limits) if key not in known]
    found = [f"Unrecognised terms {format_pairs(unknown)} in {name}"] if unknown else []
    return found + [
        f"{key} should be a number, actually was {format_json(limits[key])}"
        for key in known
        if key in limits and type(limits[key]) is not int
    ]


def limit_reached(limits: Mapping[str, int], key: str, count: int) -> int | None:
    """The limit when count things are there already and it allows no further one, else None."""
    limit = limits.get(key)
    return limit if limit is not None and 0 <= limit <= count else None
