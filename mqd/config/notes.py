"""What was given and changes nothing.

Decides its form: what, why, where.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """what: key, flag or variable. origin: file:line, or the name of a variable."""

    what: str
    reason: str
    origin: str
