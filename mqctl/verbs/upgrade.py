"""Verbs around upgrades that differ from the common behaviour."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import TimedOut
from mqctl.failures import Failure, error
from mqctl.output.results import OK, Result, Silence, Value
from mqctl.verbs.replicas import Rebalance


class AwaitReplicas(Behaviour):
    """Says so when there is nobody to wait for."""

    def build_request(self) -> Any:
        """Which of the two verbs it is."""
        request = super().build_request()
        request.mirrors = self.verb.name == "await_online_synchronized_mirror"
        return request

    def output(self, message: Any) -> Result:
        """-q silences the answer too, and json words it as a check (observed: 3.10.8)."""
        text = (
            "Target node seems to be the only one in a single node cluster, the {} does not apply"
        )
        if self.invocation.is_json and not message.alone:
            return OK
        if self.invocation.is_json:
            return Value({"result": "ok", "message": text.format("check")})
        if not message.alone or self.invocation.is_quiet:
            return Silence()
        return Value(text.format("command"))

    def explain_timeout(self, problem: TimedOut) -> Exception:
        """That they did not come is an answer."""
        if self.invocation.timeout_s == 0:
            return problem
        missing = "quorum + 1 online replicas came online for at least some quorum queues"
        if self.invocation.request.mirrors:
            missing = "synchronised mirror came online for at least some classic mirrored queues"
        text = f"time is up, no {missing}"
        if self.invocation.is_json:
            from mqctl.output.json import encode

            body = {"result": "error", "node": self.invocation.node, "message": text}
            return Failure(exit_codes.UNAVAILABLE, encode(body))
        return error(text)


class PostUpgrade(Rebalance):
    """Shows where leaders are afterwards."""

    def validate(self) -> None:
        """It has no kind."""
        Behaviour.validate(self)


class TargetClusterSize(Behaviour):
    """A check: exit 69 while members are missing."""

    def output(self, message: Any) -> Result:
        """How many there are of how many."""
        reached = message.members >= message.target
        node = self.invocation.node
        counts = f"{message.members} of {message.target} members"
        if self.invocation.is_json:
            body = {"result": "ok" if reached else "error", "message": counts}
            if reached:
                return Value(body)
            from mqctl.output.json import encode

            raise Failure(exit_codes.UNAVAILABLE, encode(body))
        if not reached:
            raise error(f"Target cluster size is not reached on node {node}: {counts}")
        if self.options.get("silent"):
            return Silence()
        return Value(f"Target cluster size is reached on node {node}: {counts}")
