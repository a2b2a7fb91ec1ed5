"""Verbs that end a node's process, or prepare its next start."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

from mqctl.behaviour import Behaviour
from mqctl.client import Unreachable
from mqctl.failures import Invalid, error
from mqctl.invocation import Invocation
from mqctl.node_names import short_host
from mqctl.output.results import OK, Lines, Result, Value

POLL_S = 0.05


def is_alive(pid: int) -> bool:
    """A process that exists and has not ended: a zombie has."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def wait_for_end(pid: int) -> None:
    """Return when the process has ended."""
    while is_alive(pid):
        time.sleep(POLL_S)


class Shutdown(Behaviour):
    """Ends the node and, on this machine, waits for its process."""

    def validate(self) -> None:
        """Waiting is for local nodes."""
        if self.options.get("wait") is not False:
            self._check_local()
        super().validate()

    def check_arity(self) -> None:
        """stop's pid file is no argument of this verb."""
        if self.invocation.arguments:
            raise Invalid("too many arguments.")

    def _check_local(self) -> None:
        node = self.invocation.node
        host, here = node.partition("@")[2], short_host()
        local = {"localhost", here, os.uname().nodename}
        if host in local:
            return
        raise Invalid(
            f"\nThis command can only --wait for shutdown of local nodes but node {node} seems to "
            f"be remote (local hostname: {here}, remote: {host}).\n"
            f"Pass --no-wait to shut node {node} down without waiting.\n"
        )

    def run(self) -> Result:
        """One request; the rest is watching."""
        if not self.invocation.request.wait:
            self.send().one()
            return OK
        pid = self.probe_pid()
        return Lines(self._steps(pid))

    def probe_pid(self) -> int:
        """The process id, before it is asked to end."""
        from mqd.rpc.v1 import nodes_pb2

        reply = self.client.call(
            "/mqd.rpc.v1.Nodes/Probe", nodes_pb2.ProbeRequest(), nodes_pb2.ProbeReply
        ).one()
        return int(reply.pid)

    def _steps(self, pid: int) -> Iterator[str]:
        node = self.invocation.node
        yield f"Shutting down RabbitMQ node {node} running at PID {pid}"
        self.send().one()
        yield f"Waiting for PID {pid} to terminate"
        wait_for_end(pid)
        yield f"RabbitMQ node {node} running at PID {pid} successfully shut down"


class Stop(Behaviour):
    """Ends the node; with a pid file, waits for the process named there."""

    def banner(self) -> str:
        """Names the pid file when there is one."""
        pidfile = self.invocation.request.pidfile
        watched = f" (will monitor pid file {pidfile})" if pidfile else ""
        return f"Stopping and halting node {self.invocation.node}{watched} ..."

    def run(self) -> Result:
        """--idempotent accepts a node that is down."""
        request = self.invocation.request
        pid = self._pid_from_file(request.pidfile) if request.pidfile else None
        try:
            self.send().one()
        except Unreachable:
            if pid is None and not request.idempotent:
                raise
            if request.idempotent:
                return Value(f"Node {self.invocation.node} is no longer running")
        if pid is None:
            return OK
        wait_for_end(pid)
        return Value(f"process {pid} (take from pid file {request.pidfile}) is no longer running")

    @staticmethod
    def _pid_from_file(path: str) -> int:
        contents: str | None = None
        while contents is None:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    contents = file.read()
            except FileNotFoundError:
                time.sleep(POLL_S)
            except OSError as problem:
                detail = f"could not read pid from file {path}. Error: {problem.strerror}"
                raise error(detail) from problem
        found = re.match(r"\s*(\d+)", contents)
        if not found:
            raise error(f"could not read pid from file {path}. File contents: {contents}")
        return int(found[1])


class ForceBoot(Behaviour):
    """Asks a running node, or marks the files of one that is down."""

    def execute(self) -> Result:
        """A node that cannot be reached is down."""
        try:
            return super().execute()
        except Unreachable:
            return self._mark()

    def _mark(self) -> Result:
        directory = data_directory(self.invocation)
        try:
            os.makedirs(directory, exist_ok=True)  # observed: 3.10.8
            with open(os.path.join(directory, "force_load"), "wb"):
                return OK
        except OSError as problem:
            text = f"cannot write {directory}/force_load: {problem.strerror}"
            raise error(text) from problem


def data_directory(invocation: Invocation) -> str:
    """As the node finds its own: the option, the environment, the system's place."""
    option = invocation.options.get("mnesia_dir")
    for name in ("RABBITMQ_MNESIA_DIR", "MQD_MNESIA_DIR"):
        option = option or os.environ.get(name)
    if option:
        return str(option)
    base = os.environ.get("RABBITMQ_MNESIA_BASE") or os.environ.get("MQD_MNESIA_BASE")
    return os.path.join(base or "/var/lib/rabbitmq/mnesia", invocation.node)
