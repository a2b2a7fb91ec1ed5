"""What is asked of both brokers, in order: every request depends on those before it.

`{node}` stands for the node's name. DIFFERS names the requests to which mqd answers otherwise on
purpose, with the status it answers and why; mqd-differences(7) tells operators.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Json = Any


class Ask(NamedTuple):
    """body: JSON, text that is sent as it is (`raw`), or None. who: name:password, None: nobody."""

    method: str
    path: str
    body: Json = None
    who: str | None = "guest:guest"
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    raw: bool = False

    @property
    def key(self) -> str:
        body = f" {self.body}" if self.body is not None else ""
        who = "" if self.who in ("guest:guest", None) else f" by {self.who}"
        return f"{self.method} {self.path}{body}{who}"


def _raw(method: str, path: str, body: str, kind: str = "application/json") -> Ask:
    return Ask(method, path, body, headers={"Content-Type": kind}, raw=True)


def _by(who: str | None, *asks: Ask) -> list[Ask]:
    return [ask._replace(who=who) for ask in asks]


def _get(*paths: str) -> list[Ask]:
    return [Ask("GET", path) for path in paths]


def _put(path: str, *bodies: Json) -> list[Ask]:
    return [Ask("PUT", path, body) for body in bodies]


def _post(path: str, *bodies: Json) -> list[Ask]:
    return [Ask("POST", path, body) for body in bodies]


def _delete(*paths: str) -> list[Ask]:
    return [Ask("DELETE", path) for path in paths]


_ALL = {"configure": ".*", "write": ".*", "read": ".*"}

EDGE = [
    *_by(None, *_get("/whoami", "/nosuch", "/auth"), Ask("DELETE", "/overview")),
    *_by(None, Ask("OPTIONS", "/overview"), Ask("OPTIONS", "/queues/%2F/x")),
    *_by("guest:x", *_get("/whoami")),
    *_get("/whoami", "/whoami/", "/nosuch", "/queues/%2F/none", "/queues/none"),
    Ask("PATCH", "/overview"),
    Ask("HEAD", "/whoami"),
    Ask("GET", "/overview", headers={"Accept": "text/html"}),
]

USERS = [
    *_put("/users/u1", {}, [1], {"password": "p", "tags": "management"}),
    *_put("/users/u1", {"password": "p", "tags": "management"}),
    _raw("PUT", "/users/u1", "x"),
    *_put("/users/u2", {"password_hash": "", "tags": ["management", "x"]}),
    *_put("/users/u3", {"tags": ""}, {"password_hash": "!!", "tags": ""}),
    *_put(
        "/users/u3", {"password_hash": "aGVsbG93b3JsZA==", "hashing_algorithm": "no", "tags": ""}
    ),
    *_put("/users/u3", {"password": "", "tags": ""}, {"password": 5, "tags": ""}),
    *_put("/users/u3", {"password": "a", "password_hash": "aGVsbG93b3JsZA==", "tags": ""}),
    *_put("/users/u3", {"password": "a", "tags": 5}),
    *_get("/users", "/users/u2", "/users/none", "/users/without-permissions"),
    *_by(
        "u1:p",
        *_get("/nodes", "/users", "/parameters", "/queues/%2F", "/queues/nov", "/policies/%2F"),
        *_get("/vhosts", "/definitions", "/global-parameters", "/vhosts/%2F", "/feature-flags"),
        *_get("/vhost-limits", "/whoami", "/extensions", "/user-limits"),
        *_get("/health/checks/alarms", "/permissions", "/auth/attempts/{node}", "/queues"),
        *_put("/queues/%2F/a", {}),
        *_put("/policies/%2F/a", {}),
    ),
    *_put("/users/nomgmt", {"password": "p", "tags": ""}),
    *_by("nomgmt:p", *_get("/whoami")),
    *_put("/permissions/%2F/none", _ALL),
    *_put("/permissions/none/guest", _ALL),
    *_put("/permissions/%2F/u1", {"configure": ""}, {**_ALL, "configure": "("}),
    *_put("/permissions/%2F/u1", {**_ALL, "configure": 5}, _ALL, _ALL),
    *_get("/permissions", "/permissions/%2F/u1", "/permissions/%2F/none"),
    *_get("/vhosts/%2F/permissions", "/users/u1/permissions", "/users/none/permissions"),
    *_by("u1:p", *_get("/queues/%2F", "/vhosts", "/policies/%2F", "/vhosts/%2F/permissions")),
    *_put("/topic-permissions/%2F/u1", {"exchange": "amq.topic", "write": "(", "read": ""}),
    *_put("/topic-permissions/%2F/u1", {"exchange": "amq.topic", "write": ".*", "read": ".*"}),
    *_put("/topic-permissions/%2F/u1", {"exchange": "amq.topic", "write": ".*", "read": ".*"}),
    *_get("/topic-permissions", "/topic-permissions/%2F/u1", "/vhosts/%2F/topic-permissions"),
    *_get("/users/u1/topic-permissions"),
    *_delete("/topic-permissions/%2F/u1/none", "/topic-permissions/%2F/u1/amq.topic"),
    *_delete("/topic-permissions/%2F/u1", "/permissions/%2F/none", "/permissions/none/guest"),
    *_get("/topic-permissions/%2F/u1"),
    *_delete("/users/none"),
    *_post("/users/bulk-delete", {}, {"users": ["none"]}, {"users": 5}, {"users": ["u2"]}),
]

_TAGS = {"description": "d", "tags": "a,b"}
VHOSTS = [
    *_put("/vhosts/v1", _TAGS, {"description": "d2", "tags": ["x"]}),
    *_get("/vhosts/v1"),
    Ask("PUT", "/vhosts/v2"),
    *_put("/vhosts/v2", {"tracing": True}),
    *_get("/vhosts/v2", "/vhosts", "/vhosts/none", "/vhosts/v1/permissions"),
    *_put("/vhosts/v2", {"tracing": False}),
    *_post("/vhosts/v1/start/{node}", None),
    *_post("/vhosts/v1/start/none", None),
    *_post("/vhosts/nov/start/{node}", None),
    *_delete("/vhosts/v2", "/vhosts/v2"),
    *_get("/vhosts?page=1&columns=name", "/vhosts/%2F/connections", "/vhosts/nov/connections"),
    *_get("/vhosts/%2F/channels"),
]

TOPOLOGY = [
    *_put("/exchanges/%2F/x1", {}, {"type": "fanout"}),
    *_put("/exchanges/%2F/x2", {"type": "bogus"}, {"type": 5}, {"arguments": 5}),
    *_put("/exchanges/nov/x2", {}),
    *_put("/exchanges/%2F/amq.foo", {}),
    *_put("/exchanges/%2F/x3", {"type": "topic", "durable": "yes"}),
    *_put(
        "/exchanges/%2F/x4",
        {"type": "topic", "durable": "true", "arguments": {"alternate-exchange": "x1"}},
        {"type": "topic", "arguments": {"alternate-exchange": "x1"}},
    ),
    *_put("/exchanges/%2F/x5", {"name": "other", "bogus": 1}),
    _raw("PUT", "/exchanges/%2F/x6", "{{"),
    *_get("/exchanges/%2F/x5", "/exchanges/%2F/amq.default", "/exchanges/%2F/none"),
    *_delete("/exchanges/%2F/amq.default", "/exchanges/%2F/amq.topic", "/exchanges/%2F/none"),
    *_put("/queues/%2F/q1", {}, {}, {"durable": False}, {"durable": True}),
    *_put("/queues/%2F/q2", {"arguments": {"x-message-ttl": "abc"}}, {"auto_delete": "x"}),
    *_put("/queues/%2F/q2", {"arguments": {"x-queue-type": "bogus"}}, {"node": "none@x"}),
    *_put("/queues/%2F/q2", {"arguments": {"x-message-ttl": 60000, "z": [1, 2, {"a": 1.5}]}}),
    *_put("/queues/nov/q2", {}),
    *_put("/queues/%2F/amq.q2", {}),
    *_put("/queues/%2F/qq", {"arguments": {"x-queue-type": "quorum"}}),
    *_put("/queues/%2F/qq", {"durable": True, "arguments": {"x-queue-type": "quorum"}}),
    *_put("/queues/%2F/qs", {"durable": True, "arguments": {"x-queue-type": "stream"}}),
    *_put(f"/queues/%2F/{'q' * 300}", {}),
    *_put("/queues/%2F/a%2Fb", {}),
    *_get("/queues/%2F/a%2Fb?columns=name", "/queues/%2F/q2?columns=name,arguments,durable"),
    *_post("/bindings/%2F/e/x1/q/q1", {}, {"routing_key": "a", "arguments": {"x": 1}}),
    *_post("/bindings/%2F/e/x1/q/q1", {"routing_key": "a b/c~d", "arguments": {}}),
    *_get("/bindings/%2F/e/x1/q/q1", "/bindings/%2F/e/x1/q/q1/~", "/bindings/%2F/e/x1/q/q1/none"),
    *_get("/bindings/%2F/e/x1/q/q1/a~9nmLZQ", "/bindings/%2F/e/x1/q/q1/a%2Bb%252Fc%257Ed"),
    *_post("/bindings/%2F/e/none/q/q1", {}),
    *_post("/bindings/%2F/e/x1/q/none", {}),
    *_post("/bindings/nov/e/x1/q/none", {}),
    *_post("/bindings/%2F/e/x1/z/none", {}),
    *_post("/bindings/%2F/e/x1/e/x4", {"routing_key": "k"}),
    *_get("/bindings/%2F/e/x1/e/x4", "/bindings/%2F/e/x1/q/none", "/bindings/%2F/e/none/q/q1"),
    *_delete("/bindings/%2F/e/x1/q/q1/none", "/bindings/%2F/e/x1/q/q1/~"),
    *_get("/bindings/%2F", "/queues/%2F/q1/bindings", "/exchanges/%2F/x1/bindings/source"),
    *_get("/exchanges/%2F/x1/bindings/destination", "/exchanges/%2F/x4/bindings/destination"),
    *_get("/exchanges/%2F/amq.default/bindings/source", "/bindings", "/bindings/nov"),
    *_post("/bindings/%2F/e/amq.default/q/q1", {}),
    *_get("/queues?page=1&page_size=2&columns=name", "/queues?page=9&page_size=2"),
    *_get("/queues?page=0", "/queues?page=x", "/queues?page=1&page_size=501"),
    *_get("/queues?page=1&name=Q1&columns=name", "/queues?page=1&name=(&use_regex=true"),
    *_get("/queues?page=1&name=%5Eq1&use_regex=true&columns=name,arguments.x-queue-type"),
    *_get("/queues?columns=name&sort=name&sort_reverse=true", "/queues?page=1&name=nope"),
    *_get("/queues?page=2&name=nope", "/queues?name=q1&columns=name", "/queues/nov"),
    *_get("/queues?page=1&name=x&use_regex=bogus&columns=name"),
    *_get("/exchanges?page=1&page_size=3&columns=name&sort=name", "/exchanges/nov"),
    *_get("/exchanges/v1?columns=name,type,durable,vhost,internal,auto_delete"),
]

_TO = "/exchanges/%2F/amq.default/publish"
_HELLO = {
    "properties": {},
    "routing_key": "q1",
    "payload": "hello",
    "payload_encoding": "string",
}
_EVERY = {
    "delivery_mode": 2,
    "headers": {"a": 1, "b": "x", "c": [True, 1.5]},
    "content_type": "t/p",
    "timestamp": 123,
    "priority": 3,
    "expiration": "600000",
    "user_id": "guest",
    "message_id": "m",
    "type": "t",
    "app_id": "ap",
    "correlation_id": "c",
    "reply_to": "r",
    "content_encoding": "e",
    "cluster_id": "cl",
}
_GET = {"count": 5, "ackmode": "ack_requeue_true", "encoding": "auto"}
_FROM = "/queues/%2F/q1/get"
MESSAGES = [
    *_post(_TO, _HELLO, {**_HELLO, "routing_key": "none"}, {}),
    *_post("/exchanges/%2F/none/publish", _HELLO),
    *_post("/exchanges/nov/x/publish", _HELLO),
    *_post(_TO, {**_HELLO, "payload_encoding": "bogus"}, {**_HELLO, "payload": 5}),
    *_post(_TO, {**_HELLO, "payload_encoding": "base64", "payload": "%%"}),
    *_post(_TO, {**_HELLO, "payload_encoding": "base64", "payload": "AAH/"}),
    *_post(_TO, {**_HELLO, "properties": _EVERY}, {**_HELLO, "properties": {"bogus": 2}}),
    *_post(_TO, {**_HELLO, "properties": {"delivery_mode": "x"}}, {**_HELLO, "properties": 5}),
    *_post(_TO, {**_HELLO, "properties": {"user_id": "other"}}),
    *_post(_TO, {**_HELLO, "properties": {"expiration": "abc"}}),
    *_post(_FROM, _GET, {**_GET, "truncate": 2}, {**_GET, "encoding": "base64", "count": 1}),
    *_post(_FROM, {**_GET, "encoding": "bogus"}, {**_GET, "ackmode": "bogus"}, {}),
    *_post(_FROM, {**_GET, "count": "x"}, {**_GET, "count": "1"}, {**_GET, "count": 0}),
    *_post(_FROM, {**_GET, "count": -1}),
    *_post("/queues/%2F/none/get", _GET),
    *_post("/queues/nov/none/get", _GET),
    *_post("/queues/%2F/qs/get", _GET),
    *_post(_FROM, {**_GET, "ackmode": "reject_requeue_true"}),
    *_post(_FROM, {**_GET, "ackmode": "reject_requeue_false", "count": 1}),
    *_post(_FROM, {**_GET, "ackmode": "ack_requeue_false"}, _GET),
    *_put("/queues/%2F/full", {"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}}),
    *_post(_TO, {**_HELLO, "routing_key": "full"}, {**_HELLO, "routing_key": "full"}),
    *_delete("/queues/%2F/full/contents", "/queues/%2F/none/contents", "/queues/%2F/qs/contents"),
    *_post("/queues/%2F/q1/actions", {"action": "sync"}, {"action": "x"}, {}),
    *_post("/queues/%2F/none/actions", {"action": "sync"}),
    *_post(_TO, _HELLO),
    *_delete("/queues/%2F/q1?if-empty=true", "/exchanges/%2F/x1?if-unused=true"),
    *_delete("/queues/%2F/none", "/queues/%2F/full?if-unused=true&if-empty=true"),
    *_get("/queues/%2F/q1/contents", "/queues/%2F/q1/get"),
]

_SHORT = {"max-length": 5}
_P, _O, _L = "/policies/%2F/", "/operator-policies/%2F/", "/parameters/vhost-limits/%2F"
RULES = [
    *_put(f"{_P}p1", {"pattern": "^a", "definition": _SHORT}),
    *_put(f"{_P}p1", {"pattern": "^a", "definition": _SHORT, "priority": 3, "apply-to": "queues"}),
    *_get(f"{_P}p1", "/policies", "/policies/%2F", "/policies/nov", f"{_P}none"),
    *_put(f"{_P}p2", {"pattern": "(", "definition": _SHORT}, {"pattern": "a"}),
    *_put(f"{_P}p2", {"pattern": "a", "definition": {"bogus": 5}}),
    *_put(f"{_P}p2", {"pattern": "a", "definition": {}}, {"pattern": "a", "definition": 5}),
    *_put(f"{_P}p2", {"pattern": "a", "definition": _SHORT, "priority": "x"}),
    *_put(f"{_P}p2", {"pattern": "a", "definition": _SHORT, "apply-to": "x"}),
    *_put("/policies/nov/p2", {"pattern": "a", "definition": _SHORT}),
    *_delete(f"{_P}none", f"{_P}p1"),
    *_put(f"{_O}o1", {"pattern": "^a", "definition": _SHORT}),
    *_put(f"{_O}o2", {"pattern": "^a", "definition": {"ha-mode": "all"}}),
    *_get("/operator-policies", f"{_O}o1", "/operator-policies/%2F", f"{_O}none"),
    *_get("/parameters", "/parameters/operator_policy/%2F/o1", "/parameters/operator_policy"),
    *_delete("/parameters/operator_policy/%2F/none"),
    *_delete(f"{_O}o1", f"{_O}o1"),
    *_get("/parameters", "/parameters/vhost-limits", "/parameters/bogus", "/parameters/bogus/%2F"),
    *_put("/parameters/bogus/%2F/x", {"value": 1}),
    *_put(f"{_L}/limits", {"value": {"max-queues": 100}}, {"value": {"max-queues": 100}}, {}),
    *_get("/parameters", f"{_L}/limits", _L, "/parameters/vhost-limits/nov"),
    *_put("/parameters/policy/%2F/x", {"value": {}}),
    *_get("/parameters/policy/%2F", "/vhost-limits", "/vhost-limits/%2F", "/vhost-limits/nov"),
    *_put("/vhost-limits/%2F/max-queues", {"value": 50}),
    *_put("/vhost-limits/%2F/max-connections", {"value": "x"}, {"value": "60"}, {}),
    *_put("/vhost-limits/%2F/bogus", {"value": 1}),
    *_put("/vhost-limits/nov/max-queues", {"value": 1}),
    *_delete("/vhost-limits/%2F/max-queues", "/vhost-limits/%2F/bogus"),
    *_get("/vhost-limits"),
    *_delete(f"{_L}/limits", f"{_L}/limits"),
    *_put("/user-limits/u1/max-connections", {"value": 5}),
    *_put("/user-limits/u1/max-channels", {"value": -1}),
    *_put("/user-limits/u1/bogus", {"value": 5}),
    *_put("/user-limits/none/max-channels", {"value": 5}),
    *_get("/user-limits", "/user-limits/u1", "/user-limits/none"),
    *_delete("/user-limits/u1/max-connections", "/user-limits/none/max-connections"),
    *_get("/user-limits/u1"),
    *_put("/global-parameters/gp", {"value": {"a": [1]}}, {"value": "x"}, {}),
    *_get("/global-parameters/gp"),
    *_delete("/global-parameters/gp", "/global-parameters/gp"),
    *_get("/global-parameters/gp"),
    *_put("/cluster-name", {"name": "mine"}, {}, {"name": 5}),
    *_get("/cluster-name"),
    *_put("/feature-flags/quorum_queue/enable", {"name": "quorum_queue"}),
    *_put("/feature-flags/bogus/enable", {"name": "bogus"}),
]

_FORM = "application/x-www-form-urlencoded"
_IMPORTED = {"name": "imp", "durable": True, "auto_delete": False, "arguments": {}}
_CHECKS = "/health/checks"
OTHERS = [
    *_by(
        None,
        _raw("POST", "/login", "username=guest&password=guest", _FORM),
        _raw("POST", "/login", "username=guest&password=x", _FORM),
    ),
    *_get("/aliveness-test/%2F", "/aliveness-test/nov", "/healthchecks/node"),
    *_get("/healthchecks/node/{node}", "/healthchecks/node/none"),
    *_get(f"{_CHECKS}/alarms", f"{_CHECKS}/local-alarms", f"{_CHECKS}/virtual-hosts"),
    *_get(f"{_CHECKS}/certificate-expiration/1/days", f"{_CHECKS}/certificate-expiration/x/days"),
    *_get(f"{_CHECKS}/certificate-expiration/1/bogus", f"{_CHECKS}/port-listener/x"),
    *_get(f"{_CHECKS}/protocol-listener/amqp091", f"{_CHECKS}/protocol-listener/http"),
    *_get(f"{_CHECKS}/node-is-mirror-sync-critical", f"{_CHECKS}/node-is-quorum-critical"),
    *_get(f"{_CHECKS}/bogus", "/auth/attempts/{node}/source", "/auth/hash_password/x", "/version"),
    *_delete("/auth/attempts/{node}", "/reset", "/reset/{node}", "/reset/none"),
    *_post("/rebalance/queues", None, {}),
    *_get("/connections", "/connections/none", "/connections/username/none", "/channels"),
    *_get("/channels/none", "/consumers", "/consumers/nov", "/nodes/none"),
    *_delete("/connections/none", "/connections/username/none"),
    _raw("POST", "/definitions", "x", "text/plain"),
    _raw("POST", "/definitions", "x"),
    *_post("/definitions", []),
    *_post("/definitions/%2F", {"queues": [_IMPORTED]}),
    *_post("/definitions/nov", {"queues": []}),
    *_get("/definitions/nov", "/queues/%2F/imp?columns=name,durable"),
    _raw(
        "POST",
        "/definitions",
        '--XX\r\nContent-Disposition: form-data; name="file"; filename="d.json"\r\n'
        'Content-Type: application/json\r\n\r\n{"queues":[{"name":"mp","vhost":"/",'
        '"durable":true,"auto_delete":false,"arguments":{}}]}\r\n--XX--\r\n',
        "multipart/form-data; boundary=XX",
    ),
    *_get("/queues/%2F/mp?columns=name,durable", "/definitions", "/definitions/%2F"),
]

# what each kind of user may, with permissions in / and in no other vhost
_MADE = [
    *_put("/users/mon", {"password": "p", "tags": "monitoring"}),
    *_put("/users/pol", {"password": "p", "tags": "policymaker"}),
    *_put("/users/man", {"password": "p", "tags": "management"}),
    *_put("/users/adm", {"password": "p", "tags": "administrator"}),
    *_put("/permissions/%2F/mon", _ALL),
    *_put("/permissions/%2F/pol", _ALL),
    *_put("/permissions/%2F/man", {**_ALL, "configure": "^man", "read": "^man"}),
    *_put("/queues/v1/other", {}),
    *_put("/policies/v1/p", {"pattern": "^a", "definition": _SHORT}),
    *_put("/vhost-limits/v1/max-queues", {"value": 50}),
    *_put("/user-limits/u1/max-channels", {"value": 5}),
]
_MAY = [
    *_get("/queues?columns=name,vhost", "/queues/%2F?columns=name", "/queues/v1?columns=name"),
    *_get(
        "/exchanges?columns=name,vhost", "/exchanges/v1?columns=name", "/queues/v1/other/bindings"
    ),
    *_get("/bindings/v1", "/policies", "/policies/v1", "/policies/v1/p", "/policies/%2F/none"),
    *_get("/operator-policies", "/parameters", "/parameters/vhost-limits", "/global-parameters"),
    *_get("/parameters/vhost-limits/v1", "/parameters/vhost-limits/v1/limits", "/vhost-limits"),
    *_get(
        "/vhost-limits/v1",
        "/user-limits",
        "/user-limits/u1",
        "/vhosts?columns=name",
        "/vhosts/v1?columns=name,tracing",
    ),
    *_get(
        "/vhosts/v1/permissions",
        "/vhosts/v1/connections",
        "/users?columns=name",
        "/permissions/v1/adm",
    ),
    *_get("/topic-permissions", "/connections", "/channels", "/consumers", "/consumers/v1"),
    *_get("/nodes?columns=name", "/cluster-name", "/definitions/v1", "/feature-flags?columns=name"),
    *_get("/auth/attempts/{node}/source", "/overview?columns=rates_mode", "/aliveness-test/v1"),
    *_get("/connections/username/guest", "/health/checks/virtual-hosts", "/users/u1/permissions"),
    *_put("/policies/%2F/mine", {"pattern": "^zz", "definition": _SHORT}),
    *_put("/policies/v1/mine", {"pattern": "^zz", "definition": _SHORT}),
    *_put("/operator-policies/%2F/mine", {"pattern": "^zz", "definition": _SHORT}),
    *_put("/parameters/vhost-limits/v1/limits", {"value": {}}),
    *_put("/global-parameters/mine", {"value": 1}),
    *_put("/vhost-limits/%2F/max-queues", {"value": 500}),
    *_put("/queues/%2F/man1", {}),
    *_put("/queues/%2F/adm1", {}),
    *_put("/queues/v1/adm1", {}),
    *_put("/exchanges/%2F/adm1", {}),
    *_post("/bindings/%2F/e/amq.topic/q/man1", {"routing_key": "a"}),
    *_post(_TO, {**_HELLO, "routing_key": "man1"}),
    *_post("/exchanges/v1/amq.topic/publish", _HELLO),
    *_post("/queues/%2F/man1/get", {**_GET, "ackmode": "ack_requeue_false"}),
    *_post("/queues/%2F/imp/get", _GET),
    *_post("/queues/v1/other/get", _GET),
    *_post("/queues/%2F/man1/actions", {"action": "sync"}),
    *_delete("/queues/%2F/man1/contents", "/queues/%2F/imp/contents", "/queues/v1/other/contents"),
    *_delete("/queues/%2F/man1", "/queues/%2F/adm1", "/exchanges/%2F/adm1", "/policies/%2F/mine"),
    *_delete("/connections/username/guest", "/reset", "/global-parameters/mine", "/queues/v1/adm1"),
]
ROLES = [*_MADE]
for _who in ("man:p", "pol:p", "mon:p", "adm:p"):
    ROLES += _by(_who, *_MAY)

ASKED = [*EDGE, *USERS, *VHOSTS, *TOPOLOGY, *MESSAGES, *RULES, *OTHERS, *ROLES]
