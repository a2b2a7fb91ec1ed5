"""Verbs on permissions that differ from the common behaviour."""

from __future__ import annotations

from mqctl.behaviour import Behaviour


class ClearTopicPermissions(Behaviour):
    """Names the exchange only when one was given."""

    def banner(self) -> str:
        """Both wordings."""
        request = self.invocation.request
        on_exchange = f' on "{request.exchange}"' if request.HasField("exchange") else ""
        return self.invocation.fill(self.verb.spec.banner, {"on_exchange": on_exchange})
