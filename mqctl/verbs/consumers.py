"""Verbs on consumers that differ from the common behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.output.results import Result, Rows

NESTED = frozenset(("erlang", "string", "inspect"))


class ListConsumers(Behaviour):
    """Columns stand in their own order, whatever order they were asked for in; rows come in a
    list of their own, which the formats of terms show (observed: 3.10.8)."""

    def rows(self, messages: Iterable[Any]) -> Result:
        """As the class says."""
        asked = set(self.invocation.columns)
        self.invocation.columns = [key for key in self.verb.columns if key in asked]
        listing = super().rows(messages)
        if isinstance(listing, Rows) and self.invocation.formatter in NESTED:
            rows: Any = list(listing.rows)
            return Rows([rows] if rows else [])
        return listing
