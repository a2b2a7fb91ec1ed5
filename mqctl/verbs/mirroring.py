"""Verbs on mirrored queues that differ from the common behaviour."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import Failure, error
from mqctl.output.results import OK, Result, Silence, Value
from mqctl.output.terms import Atom


class CancelSync(Behaviour):
    """Says when there was nothing to cancel, which is no failure (observed: 3.10.8)."""

    def output(self, message: Any) -> Result:
        """An atom."""
        return OK if message.cancelled else Value(Atom("not_syncing"), wrapped=True)


def _lines(message: Any) -> list[str]:
    kinds = {False: "policy", True: "operator policy"}
    return [
        f"{kinds[entry.operator]} {entry.name} in virtual host {entry.vhost}"
        for entry in message.policies
    ]


class CheckMirroringPolicies(Behaviour):
    """Exit 69 when a policy asks for mirrored queues."""

    def output(self, message: Any) -> Result:
        """Names them."""
        lines = _lines(message)
        if not lines:
            text = "Cluster reported no policies that enable classic queue mirroring"
            if self.invocation.is_json:
                return Value({"result": "ok", "message": text})
            return Silence() if self.options.get("silent") else Value(text)
        text = "Cluster reported some policies that enable classic queue mirroring"
        if self.invocation.is_json:
            from mqctl.output.json import encode

            body = {"result": "error", "policies": lines, "message": text}
            raise Failure(exit_codes.UNAVAILABLE, encode(body))
        raise error("\n".join([f"{text}:", *lines]))
