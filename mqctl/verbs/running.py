"""ping and the checks whether a node, its application and its vhosts run."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused, TimedOut, Unreachable
from mqctl.failures import check_failed, error
from mqctl.output.results import Result, Silence, Value


class Ping(Behaviour):
    """Whatever is wrong, it is that the node cannot be reached."""

    def run(self) -> Result:
        """One call, one sentence."""
        try:
            return super().run()
        except (Unreachable, Refused, TimedOut) as problem:
            raise self._failure() from problem

    def check_timeout(self) -> None:
        """Not even a timeout of 0 has another wording."""
        if self.invocation.timeout_s == 0:
            raise self._failure()

    def _failure(self) -> Exception:
        return error(
            f"Failed to connect and authenticate to {self.invocation.node} "
            f"in {self.invocation.timeout_ms_text} ms",
            exit_codes.UNAVAILABLE,
        )


class _State(Behaviour):
    def finding(self, state: bool, yes: str, no: str) -> Result:
        """A sentence; json also says it as a truth value."""
        text = f"RabbitMQ on node {self.invocation.node} {yes if state else no}"
        if self.invocation.is_json:
            return Value({"result": state, "message": text})
        return Value(text)


BOOTED = "is fully booted and running"
NOT_BOOTED = "is not running or has not fully booted yet (check with is_booting)"


class IsRunning(_State):
    """Answers on standard output, whatever the answer is."""

    def output(self, message: Any) -> Result:
        """Exit 0 in both cases."""
        return self.finding(message.running, BOOTED, NOT_BOOTED)


class IsBooting(_State):
    """Answers on standard output, whatever the answer is."""

    def output(self, message: Any) -> Result:
        """Exit 0 in both cases."""
        idle = "is fully booted (check with is_running), stopped or has not started booting yet"
        return self.finding(message.booting, "is booting", idle)


class CheckRunning(Behaviour):
    """The health check."""

    def output(self, message: Any) -> Result:
        """Exit 69 unless the application runs."""
        node = self.invocation.node
        if not message.running:
            raise error(f"RabbitMQ on node {node} {NOT_BOOTED}")
        return Value(f"RabbitMQ on node {node} {BOOTED}")


class CheckVirtualHosts(Behaviour):
    """The health check of vhosts."""

    def output(self, message: Any) -> Result:
        """Exit 69 when one is down."""
        node = self.invocation.node
        if not message.down:
            if self.invocation.is_json:
                return Value({"result": "ok"})
            if self.options.get("silent") or self.invocation.formatter == "erlang":
                return Silence()
            return Value(f"Node {node} reported all vhosts as running")
        if self.invocation.is_json:
            from mqctl.output.json import encode

            raise check_failed(encode({"result": "error", "down_vhosts": list(message.down)}))
        if self.options.get("silent"):
            raise check_failed(None)
        lines = "\n".join(message.down)
        raise error(f"Some virtual hosts on node {node} are down:\n{lines}")
