"""Verbs on feature flags that differ from the common behaviour."""

from __future__ import annotations

from mqctl.behaviour import Behaviour
from mqctl.client import TimedOut, Unreachable
from mqctl.failures import BadEnvironment
from mqctl.output.results import Result


class ListFeatureFlags(Behaviour):
    """What keeps the node from telling its flags is a matter of the environment (observed)."""

    def execute(self) -> Result:
        """A node that is down, and no time."""
        try:
            return super().execute()
        except Unreachable:
            raise BadEnvironment("{:badrpc, :nodedown}") from None
        except TimedOut:
            if self.invocation.timeout_s == 0:
                raise BadEnvironment("{:badrpc, :timeout}") from None
            raise


class EnableFeatureFlag(Behaviour):
    """all is a word of its own."""

    def banner(self) -> str:
        """One flag or all of them."""
        name = self.invocation.request.name
        which = "all feature flags" if name == "all" else f'feature flag "{name}"'
        return self.invocation.fill(self.verb.spec.banner, {"which": which})
