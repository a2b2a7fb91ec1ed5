"""What mqd answers otherwise than RabbitMQ 3.10.8, on purpose: the status, and why."""

from __future__ import annotations

_CRASH = "3.10.8 fails with 500, or shows a stack trace"
_HASH = "{'password_hash': 'aGVsbG93b3JsZA==', 'hashing_algorithm': 'no', 'tags': ''}"
_HELLO = "'routing_key': 'q1', 'payload': 'hello', 'payload_encoding': 'string'"

DIFFERS: dict[str, tuple[int, str]] = {
    f"PUT /users/u3 {_HASH}": (400, "3.10.8 keeps a user whom no password fits"),
    "GET /extensions by u1:p": (200, "there are no pages, so that they have no scripts"),
    "PUT /users/u3 {'password': 5, 'tags': ''}": (400, _CRASH),
    "PUT /users/u3 {'password': 'a', 'tags': 5}": (400, _CRASH),
    "PUT /permissions/%2F/u1 {'configure': 5, 'write': '.*', 'read': '.*'}": (400, _CRASH),
    "POST /users/bulk-delete {'users': 5}": (400, _CRASH),
    "PUT /exchanges/%2F/x2 {'type': 5}": (400, _CRASH),
    "PUT /exchanges/%2F/x2 {'arguments': 5}": (400, _CRASH),
    "POST /bindings/%2F/e/x1/z/none {}": (404, _CRASH),
    f"POST /exchanges/%2F/amq.default/publish {{'properties': 5, {_HELLO}}}": (400, _CRASH),
    "POST /queues/%2F/q1/get {'count': 5, 'ackmode': 'bogus', 'encoding': 'auto'}": (400, _CRASH),
    "POST /queues/%2F/none/actions {'action': 'sync'}": (404, _CRASH),
    "PUT /policies/%2F/p2 {'pattern': 'a', 'definition': 5}": (400, _CRASH),
    "DELETE /user-limits/none/max-connections": (404, _CRASH),
    "PUT /cluster-name {'name': 5}": (400, _CRASH),
    "GET /nodes/none": (404, _CRASH),
    "POST /queues/%2F/man1/actions {'action': 'sync'} by adm:p": (404, _CRASH),
    "GET /feature-flags?columns=name by adm:p": (200, "two of them are of plugins"),
    **{
        f"{method} /connections/username/guest by {who}:p": (status, _CRASH)
        for method, status, those in (("GET", 200, "man pol"), ("DELETE", 401, "man pol mon"))
        for who in those.split()
    },
    **{
        f"GET /user-limits{path} by {who}:p": (
            200,
            "limits of users whom one may not see",
        )
        for path in ("", "/u1")
        for who in ("man", "pol")
    },
}
