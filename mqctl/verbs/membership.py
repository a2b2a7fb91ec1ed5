"""Verbs on the members of a cluster that differ from the common behaviour."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Client, Refused, TimedOut, Unreachable, find_cookie
from mqctl.failures import BadEnvironment, Failure, Invalid, bad_argument, error
from mqctl.invocation import Invocation
from mqctl.node_names import resolve, wants_long
from mqctl.output.results import Lines, Result, Value
from mqctl.verbs.stopping import data_directory

NEED_NODE_STOPPED = "this command requires the target node to be stopped."
_TYPE_FAULT = "The node type must be either disc or ram."


def answers(client: Client) -> Any:
    """What the node says of itself. Raises Unreachable."""
    from mqd.rpc.v1 import nodes_pb2

    try:
        return client.call(
            "/mqd.rpc.v1.Nodes/Probe", nodes_pb2.ProbeRequest(), nodes_pb2.ProbeReply
        ).one()
    except (Refused, TimedOut) as problem:
        raise Unreachable(str(problem) or "it does not answer in time") from problem


class _WithAnother(Behaviour):
    """A verb that brings the node together with another one, whose name may lack its host."""

    def build_request(self) -> Any:
        """The other one's full name; a name that cannot be one is left as it is."""
        request = super().build_request()
        self._typed = request.target
        if "@" not in request.target:
            long_names = wants_long(self.options.get("longnames"))
            try:
                request.target = resolve(request.target, long_names, self.verb.name)
            except Failure:
                request.target = self._typed
        return request

    def banner(self) -> str:
        """As typed."""
        return self.invocation.fill(self.verb.spec.banner, {"target": self._typed})

    def explain(self, refused: Refused) -> Exception:
        """A target that does not answer the node is reported as one that does not answer us."""
        if refused.code != "NOT_FOUND":
            return super().explain(refused)
        from mqctl.unreachable import report

        target = self.invocation.request.target
        return Failure(exit_codes.UNAVAILABLE, report(self.invocation, refused.detail, target))


class UpdateClusterNodes(_WithAnother):
    """Nothing else differs."""


class JoinCluster(_WithAnother):
    """As one type of member or the other, not both."""

    def check_arity(self) -> None:
        """The types are looked at first."""
        if self.options.get("disc") and self.options.get("ram"):
            raise bad_argument(_TYPE_FAULT)
        super().check_arity()

    def output(self, message: Any) -> Result:
        """One that is a member of that cluster is told so."""
        if message.already_member:
            text = "The node is already a member of this cluster"
            return Value({"message": text} if self.invocation.is_json else text)
        return super().output(message)


class ChangeClusterNodeType(Behaviour):
    """disc, which may be written disk, or ram."""

    def validate(self) -> None:
        """Only these."""
        super().validate()
        if self.invocation.request.kind not in ("disc", "disk", "ram"):
            raise bad_argument(_TYPE_FAULT)

    def output(self, message: Any) -> Result:
        """A node that is of that type is told so."""
        if message.changed:
            return super().output(message)
        kind = "ram" if self.invocation.request.kind == "ram" else "disc"
        return Value(f"Node type is already {kind}", wrapped=True)

    def explain(self, refused: Refused) -> Exception:
        """A node that reaches nobody is reported as one that is not reached (observed: 3.10.8)."""
        if refused.code != "NOT_FOUND":
            return super().explain(refused)
        from mqctl.unreachable import report

        return Failure(exit_codes.UNAVAILABLE, report(self.invocation, refused.detail))


class ForgetClusterNode(Behaviour):
    """Online through a member, offline on the files of one that is down."""

    def banner(self) -> str:
        """With a warning for offline use."""
        warning = ". Warning: quorum queues cannot be shrunk in offline mode"
        offline = self.invocation.request.offline
        return self.invocation.fill(self.verb.spec.banner, {"warning": warning * offline})

    def execute(self) -> Result:
        """A node that runs has its files to itself."""
        if not self.invocation.request.offline:
            return super().execute()
        need_node_stopped(self)
        self.print_banner()
        if self.options.get("dry_run"):
            return Lines(())
        steps = self._offline()
        if self.invocation.is_json:
            list(steps)  # an array that a failure leaves open is no JSON
        return Lines(steps)

    def _offline(self) -> Iterator[str]:
        node, target = self.invocation.node, self.invocation.request.target
        yield f"  * Impersonating node: {node}..."
        yield " done"
        yield f"  * Mnesia directory: {data_directory(self.invocation)}..."
        _offline(self.invocation, "forget", target)
        yield "ok"


def _offline(invocation: Invocation, what: str, *names: str) -> None:
    """Have the daemon's own program change the files: this tool knows none of them."""
    words = [what, data_directory(invocation), invocation.node, *names]
    given = invocation.options.get("erlang_cookie")
    cookie = find_cookie(None if given is None else str(given), invocation.node)
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "mqd.daemon.offline", *words],
        stdout=subprocess.PIPE,
        env=os.environ | {"RABBITMQ_ERLANG_COOKIE": cookie or ""},
        text=True,
        check=False,
    )
    if done.returncode:
        raise error(done.stdout.strip() or f"the files of {invocation.node} could not be changed")


def need_node_stopped(behaviour: Behaviour) -> None:
    """Raises BadEnvironment when the node answers."""
    try:
        answers(behaviour.client)
    except Unreachable:
        return
    raise BadEnvironment(NEED_NODE_STOPPED)


class RenameClusterNode(Behaviour):
    """Pairs of an old name and a new one."""

    def check_arity(self) -> None:
        """One pair at least."""
        if len(self.invocation.arguments) < 2:
            raise Invalid("not enough arguments.")

    def execute(self) -> Result:
        """What is wrong with the pairs comes before the node is looked for (observed: 3.10.8)."""
        names = self.invocation.arguments
        if len(names) % 2:
            text = "Bad argument: Argument list should contain even number of nodes"
            raise BadEnvironment(text, exit_codes.DATA)
        need_node_stopped(self)
        self.print_banner()
        if self.options.get("dry_run"):
            return Lines(())
        node = self.invocation.node
        _offline(self.invocation, "rename", *names)
        directory = data_directory(self.invocation)
        after = dict(zip(names[::2], names[1::2], strict=True)).get(node, node)
        return Lines(
            line
            for name in (node, after)
            for line in (
                f"  * Impersonating node: {name}... done",
                f"  * Mnesia directory  : {directory}",
            )
        )

    def banner(self) -> str:
        """A pair a line."""
        names = self.invocation.arguments
        pairs = zip(names[::2], names[1::2], strict=True)
        listed = "\n".join(f"{old} -> {new} " for old, new in pairs)
        return f"Renaming cluster nodes: \n {listed}\n"
