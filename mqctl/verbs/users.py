"""Verbs on users that differ from the common behaviour."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.output.results import OK, Result, Silence, Value


class AddUser(Behaviour):
    """Its closing words are advice, which -q drops and json puts beside the status."""

    password_missing_exit = exit_codes.DATA

    def output(self, message: Any) -> Result:
        """Observed: 3.10.8."""
        text = self.done_text(self.verb.spec.done, message)
        if self.invocation.is_json:
            return Value({"status": "ok", "node": self.invocation.node, "message": text})
        return Silence() if self.invocation.is_quiet else Value(text)


class AuthenticateUser(Behaviour):
    """A refused user is told as data, not as a failure of the node."""

    def output(self, message: Any) -> Result:
        """Success is a message in every format."""
        return Value("Success") if message is not None else OK
