"""Requests that make no sense are answered with what is wrong, never with a 500."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

import mqd.embedded
from mqd.management.routes import ROUTES, Route
from tests.unit.management.api import Api, settings

Json = Any

FIELDS = [
    "name",
    "value",
    "tags",
    "password",
    "password_hash",
    "hashing_algorithm",
    "configure",
    "write",
    "read",
    "exchange",
    "type",
    "durable",
    "auto_delete",
    "internal",
    "arguments",
    "node",
    "routing_key",
    "properties",
    "payload",
    "payload_encoding",
    "count",
    "ackmode",
    "encoding",
    "truncate",
    "action",
    "pattern",
    "definition",
    "priority",
    "apply-to",
    "users",
    "vhosts",
    "queues",
    "exchanges",
    "bindings",
    "permissions",
    "parameters",
    "policies",
    "global_parameters",
    "topic_permissions",
    "description",
    "default_queue_type",
    "tracing",
]
VALUES: tuple[Json, ...] = (
    *(None, True, 5, -1, 2**70, 1.5, "", "x", "x" * 300, "\x00", "é", "true", "all", "string"),
    *([], ["x"], [5], [[]], [{}], {}, {"x": None}, {"x": [{}]}, {"headers": 5}, "auto"),
    *({"x-message-ttl": -1}, {"x-queue-type": []}, {"max-length": "x"}, "ack_requeue_true"),
)
NAMES = ("%2F", "none", "amq.topic", "q", "x", "guest", "%00", "e", "~", "a" * 300, "limits", "%FF")
SEEDS = (1, 2, 3, 124)  # 124: an ackmode that is an object


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    port, config = settings()
    with mqd.embedded.Broker(plugins=["rabbitmq_management"], config=config):
        found = Api(port)
        found("PUT", "/queues/%2F/q", {})
        found("PUT", "/exchanges/%2F/x", {})
        yield found


def path_of(route: Route, chance: random.Random) -> str:
    parts = route.path.removeprefix("/api").split("/")
    drawn = [chance.choice(NAMES) if part.startswith("{") else part for part in parts]
    return "/".join(drawn)


def body_of(chance: random.Random) -> Json:
    if chance.random() < 0.1:
        return chance.choice(VALUES)
    names = chance.sample(FIELDS, chance.randint(0, len(FIELDS)))
    return {name: chance.choice(VALUES) for name in names}


# they end what the others ask
LEFT_ALONE = ("/api/users", "/api/vhosts/{vhost}", "/api/permissions", "/api/definitions")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_request_is_too_much(api: Api, seed: int) -> None:
    chance = random.Random(seed)
    failed = []
    for route in ROUTES:
        if route.method == "DELETE" and route.path.startswith(LEFT_ALONE):
            continue
        for _ in range(3):
            path = path_of(route, chance)
            if route.path == "/api/users/{user}" and path.endswith("/guest"):
                continue
            body = None if route.method in ("GET", "DELETE") else body_of(chance)
            reply = api(route.method, path, body)
            told = json.loads(reply.body) if reply.body else None
            if reply.status >= 500 and not path.startswith("/health"):
                failed.append((route.method, path, body, reply.status, told))
            if reply.status in (400, 409):
                assert told["reason"], (route, reply)
    assert failed == []


@pytest.mark.parametrize(
    "query",
    [
        "page=1&name=((((((&use_regex=true",
        "page=-5",
        "page=99999999999999999999",
        "columns=,,,.,..",
        "columns=a.b.c.d.e",
        "sort=.",
        "sort=nosuch.nosuch&sort_reverse=x",
        "msg_rates_age=x&msg_rates_incr=0",
        "lengths_age=-1&lengths_incr=-1",
        "&".join(f"a{n}=1" for n in range(200)),
        "%FF=%FF&page=1&name=%FF",
        "page=1&page_size=",
    ],
)
@pytest.mark.parametrize("path", ["/queues", "/overview", "/exchanges/%2F", "/vhosts", "/nodes"])
def test_no_query_is_too_much(api: Api, path: str, query: str) -> None:
    assert api("GET", f"{path}?{query}").status in (200, 400)
