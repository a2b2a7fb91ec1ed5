"""A client of the API: one request, one answer."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any, NamedTuple

from tests.ports import free_ports
from tests.waiting import PATIENCE_S


class Reply(NamedTuple):
    """headers: names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> Any:
        return self.json["reason"]


class Api:
    """Of a broker that listens on this port."""

    def __init__(self, port: int, who: str | None = "guest:guest") -> None:
        self.port = port
        self.who = who

    def by(self, who: str | None) -> Api:
        return Api(self.port, who)

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        prefix: str = "/api",
    ) -> Reply:
        """body: JSON, or bytes as they are."""
        sent = dict(headers or {})
        if self.who is not None:
            sent["Authorization"] = f"Basic {base64.b64encode(self.who.encode()).decode()}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, prefix + path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The JSON of a GET that succeeds."""
        reply = self("GET", path)
        assert reply.status == 200, reply
        return reply.json


def settings(**more: str) -> tuple[int, dict[str, str]]:
    """A free port, and the configuration that listens on it."""
    (port,) = free_ports(1)
    given = {"management.tcp.port": str(port), "management.tcp.ip": "127.0.0.1"}
    return port, given | {name.replace("__", "."): value for name, value in more.items()}
