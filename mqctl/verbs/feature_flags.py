"""Verbs on feature flags that differ from the common behaviour."""

from __future__ import annotations

from mqctl.behaviour import Behaviour


class EnableFeatureFlag(Behaviour):
    """all is a word of its own."""

    def banner(self) -> str:
        """One flag or all of them."""
        name = self.invocation.request.name
        which = "all feature flags" if name == "all" else f'feature flag "{name}"'
        return self.invocation.fill(self.verb.spec.banner, {"which": which})
