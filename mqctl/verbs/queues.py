"""Verbs on queues that differ from the common behaviour."""

from __future__ import annotations

from typing import Any

from mqctl.behaviour import Behaviour
from mqctl.client import Refused
from mqctl.output.results import Result, Value


class DeleteQueue(Behaviour):
    """Names its conditions."""

    def banner(self) -> str:
        """None, one or both conditions."""
        request = self.invocation.request
        conditions = ["if queue is empty "] * request.if_empty
        conditions += ["if queue is unused "] * request.if_unused
        return self.invocation.fill(self.verb.spec.banner, {"conditions": "and ".join(conditions)})

    def result(self, reply: Any) -> Result:
        """3.10.8 succeeds with a term of its own when the queue knows no conditions."""
        try:
            return super().result(reply)
        except Refused as refused:
            if refused.code != "USAGE":
                raise
            request = self.invocation.request
            shown = f"queue '{request.name}' in vhost '{request.vhost}'"
            text = _charlist(refused.detail.replace(shown, "~s"))
            return Value(f"{{:protocol_error, :not_implemented, {text}, [{_charlist(shown)}]}}")


def _charlist(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
