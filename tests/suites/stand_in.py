"""A few paths of the management API, for suites that tidy up through it.

Decides how each of them is done to the broker under test: over AMQP where AMQP can, by its control
program otherwise. Both brokers get the same one, so that what is compared is AMQP alone.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import amqp

from tests.suites.brokers import Running

_Answer = tuple[int, object]


class StandIn:
    """Listens on `port` of 127.0.0.1. A context manager."""

    def __init__(self, broker: Running) -> None:
        handler = type("Handler", (_Handler,), {"broker": broker})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _delete_queue(broker: Running, _: Any, vhost: str, name: str) -> _Answer:
    return _over_amqp(broker, vhost, lambda channel: channel.queue_delete(name))


def _delete_exchange(broker: Running, _: Any, vhost: str, name: str) -> _Answer:
    return _over_amqp(broker, vhost, lambda channel: channel.exchange_delete(name))


def _publish(broker: Running, wanted: Any, vhost: str, exchange: str) -> _Answer:
    def call(channel: amqp.Channel) -> None:
        name = "" if exchange == "amq.default" else exchange
        message = amqp.Message(wanted["payload"])
        channel.basic_publish_confirm(message, name, wanted["routing_key"])

    _over_amqp(broker, vhost, call)
    return 200, {"routed": True}


def _put_vhost(broker: Running, _: Any, name: str) -> _Answer:
    broker.control("add_vhost", name)
    return 201, None


def _delete_vhost(broker: Running, _: Any, name: str) -> _Answer:
    broker.control("delete_vhost", name)
    return 204, None


def _put_permission(broker: Running, wanted: Any, vhost: str, user: str) -> _Answer:
    patterns = (wanted["configure"], wanted["write"], wanted["read"])
    broker.control("set_permissions", "-p", vhost, user, *patterns)
    return 201, None


def _delete_permission(broker: Running, _: Any, vhost: str, user: str) -> _Answer:
    broker.control("clear_permissions", "-p", vhost, user)
    return 204, None


_ROUTES: tuple[tuple[str, str, Callable[..., _Answer]], ...] = (
    ("DELETE", "queues/([^/]+)/([^/]+)", _delete_queue),
    ("DELETE", "exchanges/([^/]+)/([^/]+)", _delete_exchange),
    ("POST", "exchanges/([^/]+)/([^/]+)/publish", _publish),
    ("PUT", "vhosts/([^/]+)", _put_vhost),
    ("DELETE", "vhosts/([^/]+)", _delete_vhost),
    ("PUT", "permissions/([^/]+)/([^/]+)", _put_permission),
    ("DELETE", "permissions/([^/]+)/([^/]+)", _delete_permission),
)


def _over_amqp(broker: Running, vhost: str, call: Callable[[amqp.Channel], object]) -> _Answer:
    link = amqp.Connection(
        f"127.0.0.1:{broker.port}", "guest", "guest", virtual_host=vhost, confirm_publish=True
    )
    with link:
        call(link.channel())
    return 204, None


class _Handler(BaseHTTPRequestHandler):
    """One request. `broker` is set by the subclass that StandIn makes."""

    broker: Running
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        status, answer = self._answer(json.loads(body) if body else None)
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_DELETE = do_GET = do_POST = do_PUT = _any  # noqa: N815 (http.server's names)

    def _answer(self, wanted: Any) -> _Answer:
        for method, pattern, call in _ROUTES:
            found = re.fullmatch(f"/api/{pattern}", self.path)
            if found and method == self.command:
                try:
                    return call(self.broker, wanted, *map(unquote, found.groups()))
                except (OSError, RuntimeError, amqp.AMQPError) as error:
                    return 500, {"error": "stand-in", "reason": str(error)}
        return 404, {"error": "Object Not Found", "reason": f"{self.command} {self.path}"}

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        """Silent: the suites say what failed."""
