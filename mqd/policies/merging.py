"""A policy and an operator policy taken together.

Decides what holds where both say something: of two numbers the lesser, otherwise the operator's
word (RabbitMQ: rabbit_policy, merge_operator_definitions; observed: 3.10.8). Never decides what an
argument does to the result: the queue or exchange does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mqd.policies.applied import Applied
from mqd.policies.model import Policy

Json = Any


def merge(user: Policy | None, operator: Policy | None) -> Applied | None:
    """What applies to an object that both match; None where neither does."""
    if user is None and operator is None:
        return None
    return Applied(
        user.name if user is not None else None,
        operator.name if operator is not None else None,
        merged(
            user.definition if user is not None else {},
            operator.definition if operator is not None else {},
        ),
    )


def merged(user: Mapping[str, Json], operator: Mapping[str, Json]) -> dict[str, Json]:
    """The effective definition, sorted by key."""
    both = dict(user)
    for key, value in operator.items():
        own = both.get(key)
        is_limit = _is_number(own) and _is_number(value)
        both[key] = min(own, value) if is_limit else value
    return dict(sorted(both.items()))


def _is_number(value: Json) -> bool:
    return type(value) in (int, float)
