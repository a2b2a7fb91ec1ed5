"""How often clients tried to log in, and from where.

Decides what is counted: all attempts, and each source apart once someone asks for it. Never
refuses anybody.
"""

from __future__ import annotations

from typing import Final

_SOURCES_MAX: Final = 10_000  # whoever comes from more addresses is counted in total alone


class Attempts:
    """by_source: (address, user) -> [refused, admitted]; None when sources are not told apart."""

    def __init__(self) -> None:
        self.refused_count = 0
        self.admitted_count = 0
        self.by_source: dict[tuple[str, str], list[int]] | None = None

    def record(self, address: str, user: str, admitted: bool) -> None:
        """One attempt that has been decided."""
        if admitted:
            self.admitted_count += 1
        else:
            self.refused_count += 1
        if self.by_source is None:
            return
        key = (address, user)
        if key in self.by_source or len(self.by_source) < _SOURCES_MAX:
            self.by_source.setdefault(key, [0, 0])[admitted] += 1

    def reset(self) -> None:
        """Start from nothing; whether sources are told apart stays."""
        self.refused_count = self.admitted_count = 0
        if self.by_source is not None:
            self.by_source = {}
