"""Verbs that wait for a node to start."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from mqctl.behaviour import Behaviour
from mqctl.client import Refused, TimedOut, Unreachable
from mqctl.failures import Invalid, error
from mqctl.output.results import OK, Lines, Result
from mqctl.verbs.stopping import is_alive

POLL_S = 0.1


class AwaitStartup(Behaviour):
    """Returns when the application runs; a node that is not there is not waited for."""

    def check_timeout(self) -> None:
        """No time at all still lets a running node answer."""

    def run(self) -> Result:
        """The node waits for us."""
        if self.invocation.timeout_s == 0:
            return self._now()
        try:
            self.send().one()
        except (TimedOut, Refused) as problem:
            if isinstance(problem, Refused) and problem.code not in ("TIMEOUT", "APP_STOPPED"):
                raise
            raise error("rabbit_is_not_running") from problem  # observed: 3.10.8
        return OK

    def _now(self) -> Result:
        from mqd.rpc.v1 import nodes_pb2

        self.close()
        self.options["timeout"] = 1
        self._client = None
        reply = self.client.call(
            "/mqd.rpc.v1.Nodes/Probe", nodes_pb2.ProbeRequest(), nodes_pb2.ProbeReply
        ).one()
        if reply.app != nodes_pb2.APP_STATE_RUNNING:
            raise error("rabbit_is_not_running")
        return OK


class Wait(Behaviour):
    """Watches a pid file or a process until the node it belongs to runs."""

    def validate(self) -> None:
        """One of the two, not both."""
        words, pid = self.invocation.arguments, self.options.get("pid")
        if len(words) > 1:
            raise Invalid("too many arguments.")
        if words and pid is not None:
            raise Invalid('"Cannot specify both pid and pidfile"')
        if not words and pid is None:
            raise Invalid('"No pid or pidfile specified"')
        super().validate()

    def run(self) -> Result:
        """Each step says what it waits for."""
        steps = self._steps()
        return Lines(() if self._drain(steps) else steps)

    def _drain(self, steps: Iterator[str]) -> bool:
        if not self.options.get("quiet"):
            return False
        for _ in steps:
            pass
        return True

    def _steps(self) -> Iterator[str]:
        node = self.invocation.node
        limit = self.invocation.timeout_s or 0
        words = self.invocation.arguments
        if words:
            yield f"Waiting for pid file '{words[0]}' to appear"
            pid = self._await_pid_file(words[0], limit)
            yield f"pid is {pid}"
        else:
            pid = int(self.options["pid"])
        process = f"while OS process '{pid}' is running"
        yield f"Waiting for erlang distribution on node '{node}' {process}"
        self._await_answer(pid, limit)
        yield f"Waiting for applications 'rabbit_and_plugins' to start on node '{node}'"
        self._await_application()
        yield f"Applications 'rabbit_and_plugins' are running on node '{node}'"

    def _await_pid_file(self, path: str, limit: float) -> int:
        end = time.monotonic() + limit  # noqa: TID251 - a tool has no clock to be given
        while time.monotonic() < end:  # noqa: TID251
            pid = self._read(path)
            if pid is not None and is_alive(pid) and self._answers():
                return pid
            time.sleep(POLL_S)
        raise TimedOut

    @staticmethod
    def _read(path: str) -> int | None:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found = re.match(r"[+-]?\d+", file.read())
        except FileNotFoundError:
            return None
        except OSError as problem:
            reason = f"Error: could not read pid. Detail: {problem.strerror}"
            raise error(reason) from problem
        if not found:
            raise error("Error: garbage in pid file.")
        return int(found[0])

    def _await_answer(self, pid: int, limit: float) -> None:
        end = time.monotonic() + limit  # noqa: TID251
        while time.monotonic() < end:  # noqa: TID251
            if not is_alive(pid):
                raise error("process_not_running")
            if self._answers():
                return
            time.sleep(POLL_S)
        raise TimedOut

    def _answers(self) -> bool:
        """With a cookie found anew: whose root needs is known once the node's socket is there."""
        from mqd.rpc.v1 import nodes_pb2

        self.close()
        self._client = None
        try:
            self.client.call(
                "/mqd.rpc.v1.Nodes/Probe", nodes_pb2.ProbeRequest(), nodes_pb2.ProbeReply
            ).one()
        except (Unreachable, TimedOut, Refused):
            return False
        return True

    def _await_application(self) -> None:
        from mqd.rpc.v1 import nodes_pb2, values_pb2

        self.client.timeout_s = None  # observed: 3.10.8 waits for the application without limit
        self.client.call(
            "/mqd.rpc.v1.Nodes/AwaitStartup", nodes_pb2.AwaitStartupRequest(), values_pb2.Done
        ).one()
