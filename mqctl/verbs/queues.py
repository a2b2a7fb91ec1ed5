"""Verbs on queues that differ from the common behaviour."""

from __future__ import annotations

from mqctl.behaviour import Behaviour


class DeleteQueue(Behaviour):
    """Names its conditions."""

    def banner(self) -> str:
        """None, one or both conditions."""
        request = self.invocation.request
        conditions = ["if queue is empty "] * request.if_empty
        conditions += ["if queue is unused "] * request.if_unused
        return self.invocation.fill(self.verb.spec.banner, {"conditions": "and ".join(conditions)})
