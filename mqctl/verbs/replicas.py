"""Verbs on quorum queues that differ from the common behaviour; streams share some of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.client import Refused
from mqctl.failures import Failure, Invalid, check_failed, error
from mqctl.output.results import Result, Rows, Silence, Value
from mqctl.output.terms import Atom, Octets, Row, Term, from_table

STRATEGIES = ("all", "even")
MEMBERSHIPS = ("promotable", "voter", "non_voter")


class TitledRows(Behaviour):
    """Rows whose columns have titles for people, not info keys."""

    def titled(self, rows: Iterable[Row]) -> list[Row]:
        """The keys as each format wants them. Raises Failure where it knows info keys only."""
        rows = list(rows)  # what the node refuses comes first
        name = self.invocation.formatter
        if name in ("csv", "string_per_line") or (
            name == "table" and self.invocation.table_headers
        ):
            # observed: 3.10.8 crashes here
            text = f"{self.verb.name} has no {name} format: use pretty_table, json or erlang"
            raise error(text, exit_codes.SOFTWARE)
        key: type[str] = Atom if name in ("json", "json_stream") else str
        return [[(key(title), value) for title, value in row] for row in rows]  # type: ignore[misc]

    def rows(self, messages: Iterable[Any]) -> Result:
        """A listing under titles."""
        listing = super().rows(messages)
        assert isinstance(listing, Rows)
        return Rows(self.titled(listing.rows), listing.collected)


class QuorumStatus(TitledRows):
    """Nothing else differs."""


class _ErrorsAsObjects(Behaviour):
    """A refusal is an object in json."""

    def explain(self, refused: Refused) -> Exception:
        """Observed: 3.10.8 says more of a queue of the wrong kind, and names no node."""
        codes = ("NOT_FOUND", "PRECONDITION_FAILED")
        if not self.invocation.is_json or refused.code not in codes:
            return super().explain(refused)
        from mqctl.output.json import encode

        failed = "Failed to perform the operation: " * (refused.code == "PRECONDITION_FAILED")
        body = {"result": "error", "message": failed + refused.detail}
        return Failure(exit_codes.UNAVAILABLE, encode(body))


class ReclaimQuorumMemory(_ErrorsAsObjects):
    """Nothing else differs."""


class Peek(TitledRows, _ErrorsAsObjects):
    """A message as a list of what is set in it."""

    def build_request(self) -> Any:
        """The position may have a tail, which is ignored (observed: 3.10.8)."""
        import re

        words = self.invocation.arguments
        found = re.match(r"[+-]?\d+", words[1])
        if not found or not 0 < int(found[0]) < 1 << 63:
            raise Invalid('"position value must be a positive integer"')
        self._typed = words[1]
        self.invocation.arguments = [words[0], found[0]]
        request = self.verb.request_class(
            vhost=self.invocation.vhost, queue=words[0], position=int(found[0])
        )
        self.invocation.arguments = words
        return request

    def banner(self) -> str:
        """As typed."""
        return self.invocation.fill(self.verb.spec.banner, {"position": self._typed})

    def output(self, message: Any) -> Result:
        """One object in json, rows otherwise."""
        found = dict(self._parts(message))
        if self.invocation.is_json:
            return Value({"result": "ok", "message": found})
        return Rows(
            self.titled(
                [(Atom("keys"), name), (Atom("values"), value)] for name, value in found.items()
            )
        )

    @staticmethod
    def _parts(message: Any) -> Iterable[tuple[str, Term]]:
        """Properties last to first, where it was published to, its payload, its headers."""
        properties = {name: value for name, _, value in from_table(message.properties)}
        headers = {name: value for name, _, value in properties.pop("headers", [])}
        yield from reversed(properties.items())
        yield "routing_keys", [message.routing_key]
        yield "exchange", message.exchange
        yield "payload (max 64 bytes)", _payload(message.payload)
        headers["x-delivery-count"] = message.delivery_count
        for name in sorted(headers):
            yield f"header.{name}", headers[name]


def _payload(data: bytes) -> Term:
    """Text where it is text; a character that the cut went through does not count."""
    for end in range(len(data), max(len(data) - 4, -1), -1):
        try:
            text = data[:end].decode()
        except UnicodeDecodeError:
            continue
        if end == len(data) or len(data) == 64:
            return text if _is_shown(text) else Octets(data.decode("latin-1"))
    return Octets(data.decode("latin-1"))


def _is_shown(text: str) -> bool:
    return all(character.isprintable() or character in "\n\r\t\b\f\v\x1b" for character in text)


class Growth(Behaviour):
    """Where replicas are to be added."""

    def validate(self) -> None:
        """The strategy, and what new replicas are."""
        super().validate()
        request = self.invocation.request
        if request.strategy not in STRATEGIES:
            raise Invalid(f"\"strategy '{request.strategy}' is not recognised.\"")
        check_membership(request)


class AddMember(Behaviour):
    """One replica."""

    def validate(self) -> None:
        """What it is."""
        super().validate()
        check_membership(self.invocation.request)


def check_membership(request: Any) -> None:
    """Refuse one that does not exist."""
    membership = getattr(request, "membership", MEMBERSHIPS[0])
    if membership not in MEMBERSHIPS:
        raise Invalid(f"\"voter status '{membership}' is not recognised.\"")


class Rebalance(TitledRows):
    """How many leaders each node has afterwards."""

    KINDS = ("all", "classic", "quorum")

    def validate(self) -> None:
        """An unknown kind is no usage error in 3.10.8."""
        super().validate()
        kind = self.invocation.arguments[0]
        if kind not in self.KINDS:
            raise error(f"type {kind} is not supported. Try one of all, classic, quorum.")

    def output(self, message: Any) -> Result:
        """A list of rows, empty when there was no queue."""
        rows = [
            [
                (Atom("Node name"), Atom(entry.node)),
                (Atom("Number of quorum queues"), entry.quorum_queues),
                (Atom("Number of replicated classic queues"), entry.mirrored_queues),
            ]
            for entry in message.nodes
        ]
        if not rows:
            return Value([], wrapped=True)
        if self.invocation.is_json:  # observed: pairs, where other reports are objects
            return Value([[[str(k), v] for k, v in row] for row in rows], wrapped=True)
        return Value(self.titled(rows), wrapped=True)


class QueueCheck(Behaviour):
    """A health check that names the queues that do not pass it."""

    passed = ""
    failed = ""

    def output(self, message: Any) -> Result:
        """Exit 69 when there is one."""
        node = self.invocation.node
        names = [f"{queue.name} in virtual host {queue.vhost}" for queue in message.queues]
        if names:
            if self.invocation.is_json:
                from mqctl.output.json import encode

                queues = [{"virtual_host": q.vhost, "name": q.name} for q in message.queues]
                body = {"result": "error", "queues": queues, "message": self.failed.format(node)}
                raise Failure(exit_codes.UNAVAILABLE, encode(body))
            raise error("\n".join([self.failed.format(node) + ":", *names]))
        if self.invocation.is_json:
            return Value({"result": "ok", "message": self.passed.format(node)})
        if self.options.get("silent"):
            return Silence()
        return Value(self.passed.format(node))


class CheckInitialSync(QueueCheck):
    """Replicas that still catch up."""

    passed = "Node {} reported no queues with promotable replicas"
    failed = "Node {} reported queues with promotable replicas"


class CheckLeaders(QueueCheck):
    """Queues without a leader."""

    passed = "Node {} reported all matching quorum queues as having a leader"
    failed = "Node {} reported quorum queues without an elected leader"

    def banner(self) -> str:
        """In one vhost or in all."""
        request = self.invocation.request
        where = "all vhosts" if request.across_all_vhosts else f"vhost {request.vhost}"
        return self.invocation.fill(self.verb.spec.banner, {"where": where})


class CheckCritical(Behaviour):
    """Whether stopping this node would cost queues their quorum, or their only copy."""

    def build_request(self) -> Any:
        """Which of the two verbs it is."""
        request = super().build_request()
        request.mirrors = self.verb.name == "check_if_node_is_mirror_sync_critical"
        return request

    def output(self, message: Any) -> Result:
        """Exit 69 when there are such queues."""
        node, mirrors = self.invocation.node, self.invocation.request.mirrors
        if message.queues:
            raise self._failure(message.queues)
        why = "the only one in a single node cluster" if message.alone else ""
        if message.in_maintenance:
            why = "in maintenance mode"
        if why:
            who = "Target node" if self.invocation.is_json else f"Node {node}"
            return self._passed(f"{who} seems to be {why}, the check does not apply")
        if self.invocation.is_json:
            return Value({"result": "ok"})
        kind = "quorum queues with minimum quorum"
        if mirrors:
            kind = "classic mirrored queues without online synchronised mirrors"
        return self._passed(f"Node {node} reported no {kind}")

    def _failure(self, queues: Any) -> Exception:
        node, mirrors = self.invocation.node, self.invocation.request.mirrors
        if self.invocation.is_json:
            from mqctl.output.json import encode

            kind = "queues with minimum online quorum"
            if mirrors:
                kind = "classic mirrored queues without online synchronised mirrors"
            body = {
                "result": "error",
                "queues": [
                    {
                        "readable_name": _readable(queue),
                        "name": queue.name,
                        "virtual_host": queue.vhost,
                        "type": "classic" if mirrors else "quorum",
                    }
                    for queue in queues
                ],
                "message": f"Node {node} reported local {kind}",
            }
            return check_failed(encode(body))
        if self.options.get("silent"):
            return check_failed(None)
        loss = "its only synchronised replica (master)" if mirrors else "quorum"
        lines = [f"{_readable(q)} would lose {loss} if node {node} is stopped" for q in queues]
        return check_failed("\n".join(lines))

    def _passed(self, text: str) -> Result:
        if self.invocation.is_json:
            return Value({"result": "ok", "message": text})
        return Silence() if self.options.get("silent") else Value(text)


def _readable(queue: Any) -> str:
    return f"queue '{queue.name}' in vhost '{queue.vhost}'"
