"""What applies to one queue or exchange: a policy, an operator policy, and the two as one.

Decides the shape only. Which policies match and how they are merged is decided by whoever makes
one; what a key means, by the queue or exchange that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Applied:
    """Names are None where there is no policy of that kind. definition: both, merged."""

    name: str | None = None
    operator_name: str | None = None
    definition: Mapping[str, object] = field(default_factory=dict)
