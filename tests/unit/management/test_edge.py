"""The edge: who is let in, what is refused before any resource sees it."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator

import pytest

import mqd.embedded
from mqd import limits
from tests.unit.management.api import Api, settings
from tests.waiting import PATIENCE_S, eventually

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    port, config = settings(
        management__cors__allow_origins__1="https://pages.example",
        management__http__max_body_size="2000",
    )
    with mqd.embedded.Broker(plugins=["rabbitmq_management"], config=config):
        yield Api(port)


def test_nobody(api: Api) -> None:
    reply = api.by(None)("GET", "/whoami")
    assert (reply.status, reply.body) == (401, b"")
    assert reply.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'


@pytest.mark.parametrize("who", ["guest:wrong", "guest:", "nobody:guest", ":"])
def test_a_login_that_fails(api: Api, who: str) -> None:
    reply = api.by(who)("GET", "/whoami")
    assert reply.status == 401
    assert reply.json == {"error": "not_authorized", "reason": "Login failed"}


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic Zm9v", "Bearer abc"])
def test_a_header_that_says_nothing(api: Api, header: str) -> None:
    assert api.by(None)("GET", "/whoami", headers={"Authorization": header}).status == 401


def test_unknown_paths_come_before_logins(api: Api) -> None:
    for who in ("guest:guest", None):
        reply = api.by(who)("GET", "/nosuch")
        assert (reply.status, reply.json) == (404, NOT_FOUND)


def test_methods(api: Api) -> None:
    reply = api.by(None)("DELETE", "/overview")
    assert (reply.status, reply.body) == (405, b"")
    assert reply.headers["allow"] == "HEAD, GET, OPTIONS"
    reply = api.by(None)("OPTIONS", "/cluster-name")
    assert (reply.status, reply.headers["allow"]) == (200, "HEAD, GET, PUT, OPTIONS")
    head = api("HEAD", "/whoami")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(api("GET", "/whoami").body)


def test_what_the_caller_takes(api: Api) -> None:
    assert api("GET", "/whoami", headers={"Accept": "text/html"}).status == 406
    assert api("GET", "/whoami", headers={"Accept": "text/html, */*;q=0.1"}).status == 200
    reply = api("GET", "/overview", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["vary"] == "accept, accept-encoding, origin"


def test_the_slash_at_the_end_means_nothing(api: Api) -> None:
    assert api("GET", "/whoami/").status == 200
    assert api("GET", "").headers["location"] == "/api/index.html"
    assert b"HTTP API" in api("GET", "/index.html").body
    assert b"HTTP API" in api("GET", "/", prefix="").body


def test_bodies_are_bounded(api: Api) -> None:
    reply = api("PUT", "/cluster-name", b"x" * 2001)
    assert reply.status == 413
    assert "2000 bytes" in reply.reason
    assert api("PUT", "/cluster-name", b"x" * 2000).reason == "not_json"


def test_bodies_of_nobody_are_short(api: Api) -> None:
    assert api.by(None)("POST", "/login", b"x" * 16_385).status == 413
    assert api.by(None)("POST", "/login", b"x" * 16_384).status == 401


def test_connections_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", 2)
    with contextlib.ExitStack() as opened:

        def holds_one_more() -> bool:  # once those of earlier requests are known to have ended
            held = opened.enter_context(socket.create_connection(("127.0.0.1", api.port)))
            with contextlib.suppress(ConnectionError):
                held.sendall(b"GET /api/auth HTTP/1.1\r\nhost: x\r\n\r\n")
                return held.recv(100).startswith(b"HTTP/1.1 200")
            return False

        for _ in range(2):
            eventually(holds_one_more)
        more = opened.enter_context(socket.create_connection(("127.0.0.1", api.port)))
        more.settimeout(PATIENCE_S)
        assert more.recv(100) == b""
    monkeypatch.undo()
    assert api("GET", "/whoami").status == 200


@pytest.mark.parametrize("body", [b"[1]", b"{", b"5", b"\xff", b"[" * 1500, b'{"name": NaN}'])
def test_bodies_that_are_no_object(api: Api, body: bytes) -> None:
    reply = api("PUT", "/cluster-name", body)
    assert (reply.status, reply.reason) == (400, "not_json")


def test_other_sites(api: Api) -> None:
    reply = api("GET", "/whoami", headers={"Origin": "https://pages.example"})
    assert reply.headers["access-control-allow-origin"] == "https://pages.example"
    reply = api("GET", "/whoami", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in reply.headers
    asked = {
        "Origin": "https://pages.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    reply = api.by(None)("OPTIONS", "/cluster-name", headers=asked)
    assert reply.headers["access-control-allow-methods"] == "PUT"
    assert reply.headers["access-control-allow-headers"] == "authorization"
    assert reply.headers["access-control-max-age"] == "1800"


def test_login(api: Api) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = api.by(None)("POST", "/login", b"username=guest&password=guest", form)
    assert (reply.status, reply.json) == (200, "ok")
    cookie = base64.b64encode(b"guest:guest").decode()
    assert reply.headers["set-cookie"].startswith(f"auth={cookie};")
    reply = api.by(None)("POST", "/login", b"username=guest&password=x", form)
    assert (reply.status, reply.reason) == (401, "Login failed")
    assert api.by(None)("POST", "/login", b"").status == 401


def test_checks(api: Api) -> None:
    assert api.get("/health/checks/alarms") == {"status": "ok"}
    assert api.get("/health/checks/local-alarms") == {"status": "ok"}
    assert api.get(f"/health/checks/port-listener/{api.port}") == {
        "status": "ok",
        "port": api.port,
    }
    reply = api("GET", "/health/checks/port-listener/1")
    assert (reply.status, reply.json["missing"]) == (503, 1)
    assert api("GET", "/health/checks/port-listener/x").reason == "Invalid port"
    assert api.get("/health/checks/protocol-listener/amqp091")["protocol"] == "amqp"
    reply = api("GET", "/health/checks/protocol-listener/bogus")
    assert (reply.status, reply.json["missing"]) == (503, "bogus")
    assert api.get("/health/checks/virtual-hosts") == {"status": "ok"}
    for name in ("mirror-sync", "quorum"):
        found = api.get(f"/health/checks/node-is-{name}-critical")
        assert found == {"status": "ok", "reason": "single node cluster"}
    assert api.get("/aliveness-test/%2F") == {"status": "ok"}
    assert api("GET", "/aliveness-test/nosuch").json == NOT_FOUND
    assert api("GET", "/healthchecks/node/nosuch").json == NOT_FOUND


def test_names_that_are_no_utf_8(api: Api) -> None:
    """AMQP takes them; what is text for the tools does not."""
    assert api("PUT", "/queues/%2F/%FF", {}).status == 201
    assert api("GET", "/queues/%2F/%FF").status == 200
    assert api("DELETE", "/queues/%2F/%FF").status == 204
    for path in ("/vhosts/%FF", "/policies/%2F/%FF", "/global-parameters/%FF"):
        body = {"tags": "", "pattern": "a", "definition": {"max-length": 1}, "value": 1}
        reply = api("PUT", path, body)
        assert (reply.status, reply.json["error"]) == (400, "bad_request"), path


def test_names_are_decoded_once(api: Api) -> None:
    assert api("PUT", "/queues/%2F/a%2525", {}).status == 201
    assert api("GET", "/queues/%2F/a%2525").json["name"] == "a%25"
    assert api("GET", "/queues/%2F/a%25").status == 404
    assert api("DELETE", "/queues/%2F/a%2525").status == 204
