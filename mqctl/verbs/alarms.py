"""Resource alarms: listed, and judged by health checks."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import check_failed, error
from mqctl.output.results import Result, Silence, Value

_WORDS = {
    "memory": "Memory alarm on node",
    "disk": "Free disk space alarm on node",
    "file_descriptor": "File descriptor limit alarm on node",
}


def alarm_lines(alarms: Any) -> list[str]:
    """One sentence for each alarm."""
    return [f"{_WORDS.get(a.resource, a.resource + ' alarm on node')} {a.node}" for a in alarms]


def alarm_terms(alarms: Any) -> list[dict[str, str]]:
    """As JSON reports carry them."""
    return [
        {"type": "resource_limit", "resource": alarm.resource, "node": alarm.node}
        for alarm in alarms
    ]


class _OfAlarms(Behaviour):
    def split(self, message: Any) -> tuple[list[Any], list[Any]]:
        """Alarms of the target node and of the others."""
        node = self.invocation.node
        local = [alarm for alarm in message.alarms if alarm.node == node]
        return local, [alarm for alarm in message.alarms if alarm.node != node]

    def json_report(self, message: Any, result: str) -> dict[str, object]:
        """What json shows of alarms."""
        local, others = self.split(message)
        return {
            "result": result,
            "local": alarm_lines(local),
            "global": alarm_lines(others),
            "message": f"Node {self.invocation.node} reported alarms",
        }


class Alarms(_OfAlarms):
    """Lists, never fails."""

    def output(self, message: Any) -> Result:
        """All alarms known to the node."""
        node = self.invocation.node
        if self.invocation.is_json:
            if not message.alarms:
                return Value({"result": "ok", "node": node, "alarms": []})
            return Value(self.json_report(message, "ok"))
        if not message.alarms:
            return Value(f"Node {node} reported no alarms, local or clusterwide")
        return Value("\n".join(alarm_lines(message.alarms)))


class _AlarmCheck(_OfAlarms):
    passed = ""

    def considered(self, message: Any) -> list[Any]:
        """The alarms that make the check fail."""
        return list(message.alarms)

    def fail(self, alarms: list[Any], message: Any) -> Exception:
        """The failure, unless it is json or silent."""
        raise NotImplementedError

    def failed_json(self, alarms: list[Any], message: Any) -> dict[str, object]:
        """The report in json, on standard error."""
        raise NotImplementedError

    def output(self, message: Any) -> Result:
        """Exit 69 on any alarm considered."""
        alarms = self.considered(message)
        if not alarms:
            if self.invocation.is_json:
                return Value({"result": "ok"})
            if self.options.get("silent"):
                return Silence()
            return Value(f"Node {self.invocation.node} {self.passed}")
        if self.invocation.is_json:
            from mqctl.output.json import encode

            raise check_failed(encode(self.failed_json(alarms, message)))
        if self.options.get("silent"):
            raise check_failed(None)
        raise self.fail(alarms, message)


class CheckAlarms(_AlarmCheck):
    """Alarms anywhere in the cluster."""

    passed = "reported no alarms, local or clusterwide"

    def fail(self, alarms: list[Any], message: Any) -> Exception:
        """Bare lines."""
        return check_failed("\n".join(alarm_lines(alarms)))

    def failed_json(self, alarms: list[Any], message: Any) -> dict[str, object]:
        """Local and others."""
        return self.json_report(message, "error")


class CheckLocalAlarms(_AlarmCheck):
    """Alarms of the target node."""

    passed = "reported no local alarms"

    def considered(self, message: Any) -> list[Any]:
        """Only the node's own."""
        return self.split(message)[0]

    def fail(self, alarms: list[Any], message: Any) -> Exception:
        """Observed: 3.10.8 puts "Error:" above these, not above check_alarms'."""
        return error("\n".join(alarm_lines(alarms)))

    def failed_json(self, alarms: list[Any], message: Any) -> dict[str, object]:
        """Only local."""
        return {
            "result": "error",
            "local": alarm_lines(alarms),
            "message": f"Node {self.invocation.node} reported local alarms",
        }


class NodeHealthCheck(_OfAlarms):
    """The check of old scripts: fails on alarms in effect."""

    def output(self, message: Any) -> Result:
        """Exit 70 on an alarm."""
        local, _ = self.split(message)
        if not local:
            return Value("Health check passed")
        terms = ",".join(f"{{resource_limit,{a.resource},{a.node}}}" for a in local)
        raise error(
            f"Error: health check failed. Message: resource alarm(s) in effect:[{terms}]",
            exit_codes.SOFTWARE,
        )
