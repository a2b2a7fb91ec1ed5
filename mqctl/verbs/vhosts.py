"""Verbs on virtual hosts that differ from the common behaviour."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused
from mqctl.failures import error
from mqctl.output.results import Result, Value


class Trace(Behaviour):
    """Whatever else is typed is ignored (observed: 3.10.8)."""

    def check_arity(self) -> None:
        """Nothing to refuse."""
        self.invocation.arguments.clear()


class RestartVhost(Behaviour):
    """Says whether there was anything to restart."""

    def output(self, message: Any) -> Result:
        """Both outcomes are success."""
        where = f"vhost '{self.invocation.vhost}'"
        node = f"node '{self.invocation.node}'"
        if message.restarted:
            return Value(f"Successfully restarted {where} on {node}")
        return Value(f"V{where[1:]} is already running on {node}")

    def explain(self, refused: Refused) -> Exception:
        """The node's words, under an exit code of their own (observed: 3.10.8)."""
        if refused.code not in ("NO_SUCH_VHOST", "NOT_FOUND"):
            return super().explain(refused)
        return error(refused.detail, exit_codes.SOFTWARE)
