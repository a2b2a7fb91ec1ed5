"""Listeners: listed, looked for, connected to."""

from __future__ import annotations

from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import Failure, check_failed, error
from mqctl.output.results import Result, Rows, Value
from mqctl.output.terms import Atom, Chars, Row, Term, address, from_term

_SAME = {
    "amqp": "amqp091 amqp0.9.1 amqp0-9-1 amqp0_9_1 amqp10 amqp1.0 amqp1-0 amqp1_0",
    "amqp/ssl": "amqps",
    "mqtt": "mqtt3.1 mqtt3.1.1 mqtt31 mqtt311 mqtt3_1 mqtt3_1_1",
    "mqtt/ssl": "mqtts mqtt+tls mqtt+ssl",
    "stomp": "stomp1.0 stomp1.1 stomp1.2 stomp10 stomp11 stomp12 stomp1_0 stomp1_1 stomp1_2",
    "stomp/ssl": "stomps stomp+tls stomp+ssl",
    "http": "http1 http1.1 http_api management management_ui ui",
    "clustering": "cli distribution",
    "http/web-mqtt": "webmqtt web-mqtt web_mqtt",
    "http/web-stomp": "webstomp web-stomp web_stomp",
    "https/web-mqtt": "webmqtt/tls web-mqtt/tls webmqtt/ssl web-mqtt/ssl webmqtt+tls web-mqtt+tls",
    "https/web-stomp": "webstomp/tls web-stomp/tls webstomp/ssl web-stomp/ssl webstomp+tls",
}


def normalize_protocol(name: str) -> str:
    """The many names people give a protocol -> the one listeners carry."""
    lower = name.lower()
    return next((known for known, others in _SAME.items() if lower in others.split()), lower)


def listener_line(listener: Any) -> str:
    """One listener as a sentence."""
    return (
        f"Interface: {listener.interface}, port: {listener.port}, "
        f"protocol: {listener.protocol}, purpose: {listener.purpose}"
    )


def listener_term(listener: Any) -> dict[str, Any]:
    """One listener as JSON carries it."""
    return {
        "node": listener.node,
        "protocol": listener.protocol,
        "interface": listener.interface,
        "port": listener.port,
        "purpose": listener.purpose,
    }


def listener_record(listener: Any) -> Term:
    """One listener as the node keeps it."""
    return (
        Atom("listener"),
        Atom(listener.node),
        Atom(listener.protocol),
        Chars(listener.host),
        address(listener.interface.strip("[]")),
        listener.port,
        from_term(listener.options) or [],
    )


def _row(listener: Any) -> Row:
    return [
        (Atom("node"), Atom(listener.node)),
        (Atom("protocol"), Atom(listener.protocol)),
        (Atom("interface"), listener.interface),
        (Atom("port"), listener.port),
        (Atom("purpose"), listener.purpose),
    ]


def _encode(report: dict[str, Any]) -> str:
    from mqctl.output.json import encode

    return encode(report)


class Listeners(Behaviour):
    """The list."""

    def output(self, message: Any) -> Result:
        """Sentences, rows or objects, as the format wants."""
        listeners = list(message.listeners)
        node = self.invocation.node
        if self.options.get("formatter") in ("csv", "erlang"):
            return Rows([_row(listener) for listener in listeners])
        if self.invocation.is_json:
            terms = [listener_term(listener) for listener in listeners]
            return Value({"result": "ok", "node": node, "listeners": terms})
        if not listeners:
            return Value(f"Node {node} reported no enabled listeners.")
        return Value("\n".join(map(listener_line, listeners)))


class CheckPortListener(Behaviour):
    """Is anything listening on that port."""

    def output(self, message: Any) -> Result:
        """Exit 69 when not."""
        node, port = self.invocation.node, self.invocation.arguments[0]
        if any(str(listener.port) == port for listener in message.listeners):
            if self.invocation.is_json:
                return Value({"result": "ok", "node": node, "port": port})
            return Value(f"A listener for port {port} is running on node {node}.")
        ports = [listener.port for listener in message.listeners]
        if self.invocation.is_json:
            terms = [listener_term(listener) for listener in message.listeners]
            report = {"result": "error", "missing": port, "ports": ports, "listeners": terms}
            raise check_failed(_encode(report))
        raise check_failed(
            f"No listener for port {port} is active on node {node}. Found listeners that use the "
            f"following ports: {', '.join(map(str, sorted(ports)))}"
        )


class CheckProtocolListener(Behaviour):
    """Is anything listening for that protocol."""

    def output(self, message: Any) -> Result:
        """Exit 69 when not."""
        node = self.invocation.node
        wanted = normalize_protocol(self.invocation.arguments[0])
        found = [listener.protocol for listener in message.listeners]
        if wanted in found:
            if self.invocation.is_json:
                return Value({"result": "ok", "node": node, "protocol": wanted})
            return Value(f"A listener for protocol {wanted} is running on node {node}.")
        if self.invocation.is_json:
            terms = [listener_term(listener) for listener in message.listeners]
            report = {
                "result": "error",
                "missing": wanted,
                "protocols": found,
                "listeners": terms,
            }
            raise Failure(exit_codes.UNAVAILABLE, _encode(report))
        raise error(
            f"No listener for protocol {wanted} is active on node {node}. Found listeners for the "
            f"following protocols: {', '.join(sorted(found))}"
        )


class CheckPortConnectivity(Behaviour):
    """Connects to every listener from here."""

    def output(self, message: Any) -> Result:
        """Exit 69 when one does not accept."""
        node = self.invocation.node
        failed = [listener for listener in message.listeners if not self._accepts(listener)]
        if failed:
            raise self._failure(failed)
        if self.invocation.is_json:
            terms = [listener_term(listener) for listener in message.listeners]
            return Value({"result": "ok", "node": node, "listeners": terms})
        ports = ", ".join(map(str, sorted(listener.port for listener in message.listeners)))
        return Value(f"Successfully connected to ports {ports} on node {node}.")

    def _failure(self, failed: list[Any]) -> Exception:
        node = self.invocation.node
        if self.invocation.is_json:
            terms = [listener_term(listener) for listener in failed]
            report = {"result": "error", "node": node, "failures": terms}
            return Failure(exit_codes.UNAVAILABLE, _encode(report))
        head = f"Connection to ports of the following listeners on node {node} failed: "
        return error("\n".join([head, *map(listener_line, failed)]))

    def _accepts(self, listener: Any) -> bool:
        import socket

        address = listener.interface.strip("[]")
        any_address = {"::": ("::1", "127.0.0.1"), "0.0.0.0": ("127.0.0.1",)}  # noqa: S104
        timeout = self.invocation.timeout_s
        for host in any_address.get(address, (address,)):
            try:
                socket.create_connection((host, listener.port), timeout).close()
            except OSError:
                continue
            return True
        return False
