"""Verbs on streams that differ from the common behaviour."""

from __future__ import annotations

from mqctl.behaviour import Behaviour

TRACKING = ("type", "reference", "value")


class StreamStatus(Behaviour):
    """Replicas, or what names have reached."""

    def check_columns(self) -> None:
        """Which columns there are depends on --tracking."""
        tracked = set(TRACKING)
        wanted = bool(self.options.get("tracking"))
        keys = self.verb.default_columns
        self.invocation.columns = [key for key in keys if (key in tracked) is wanted]
