"""Verbs on limits of virtual hosts and users that differ from the common behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.output.results import Result, Rows, Value


class ClearUserLimits(Behaviour):
    """Names the limit, unless all go."""

    def banner(self) -> str:
        """Both wordings."""
        kind = self.invocation.request.limit_type
        which = "all limits" if kind == "all" else f'"{kind}" limit'
        return self.invocation.fill(self.verb.spec.banner, {"which": which})


class _ListLimits(Behaviour):
    """The limits of one owner are a text by themselves; those of all are a table."""

    everyone: str  # in the banner

    def one(self) -> str:
        """The owner, in the banner."""
        raise NotImplementedError

    @property
    def is_global(self) -> bool:
        """--global."""
        return bool(getattr(self.invocation.request, "global"))

    def banner(self) -> str:
        """Both wordings."""
        whose = self.everyone if self.is_global else self.one()
        return self.invocation.fill(self.verb.spec.banner, {"whose": whose})

    def rows(self, messages: Iterable[Any]) -> Result:
        """A table, or the one text."""
        if self.is_global:
            return super().rows(messages)
        found = [row.limits for batch in messages for row in batch.rows]
        return self.single(found[0]) if found else Rows([], collected=True)

    def single(self, limits: str) -> Result:
        """How the one text is printed."""
        return Value(limits)


class ListVhostLimits(_ListLimits):
    """json puts the text beside the status."""

    everyone = "all vhosts"

    def one(self) -> str:
        """A vhost."""
        return f'vhost "{self.invocation.vhost}"'

    def single(self, limits: str) -> Result:
        """As the value of an object (observed: 3.10.8)."""
        return Value(limits, wrapped=True)


class ListUserLimits(_ListLimits):
    """json makes a message of the text."""

    everyone = "all users"

    def one(self) -> str:
        """A user."""
        return f'user "{self.invocation.request.user}"'
