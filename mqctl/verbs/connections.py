"""Verbs on connections that differ from the common behaviour."""

from __future__ import annotations

from mqctl.behaviour import Behaviour


class CloseAllConnections(Behaviour):
    """Names what will be closed."""

    def banner(self) -> str:
        """Of the node, of the vhost, or some of the vhost."""
        request = self.invocation.request
        reason = f"reason: {request.explanation}..."
        if getattr(request, "global"):
            node = self.invocation.node
            return f"Closing all connections to node {node} (across all vhosts), {reason}"
        which = f"{request.limit} connections" if request.limit else "all connections"
        return self.invocation.fill(self.verb.spec.banner, {"which": which})
