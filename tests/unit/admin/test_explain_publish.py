"""Where a message would go, and what would become of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.admin.explain_publish import explain, table_of
from mqd.admin.explaining import Answer
from mqd.amqp.fields import Table
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.routing import route
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import PutParameter
from mqd.plugins.catalogue import exchange_types
from mqd.plugins.table import PLUGINS
from tests.unit.admin.stand import Stand


class Place:
    """A virtual host to publish to."""

    def __init__(self) -> None:
        self.stand = Stand()
        self.vhost = self.stand.broker.vhosts["/"]

    def exchange(self, name: str, kind: str, internal: bool = False, **arguments: str) -> None:
        given: Table = {k.replace("_", "-"): ("longstr", v.encode()) for k, v in arguments.items()}
        self.vhost.apply_put_exchange(
            ExchangeDefinition("/", name, kind, internal=internal, arguments=given)
        )

    def bind(
        self, source: str, to: str, key: str = "", kind: str = "queue", arguments: Any = None
    ) -> None:
        self.vhost.apply_put_binding(BindingDefinition("/", source, kind, to, key, arguments or {}))

    def ask(self, exchange: str, key: str, headers: str = "", user: str = "") -> Answer:
        state = self.stand.metadata.state
        return explain(self.vhost, state, exchange, key, table_of(headers), user)


@pytest.fixture
def place() -> Place:
    return Place()


def kinds(answer: Answer) -> list[str]:
    return [reason.kind for reason in answer.reasons]


def test_the_default_exchange(place: Place) -> None:
    place.stand.queue("orders")
    for name in ("", "amq.default"):
        answer = place.ask(name, "orders")
        assert (answer.outcome, list(answer.queues)) == ("routed", ["orders"])
    answer = place.ask("", "order")
    assert (answer.outcome, kinds(answer)) == ("unroutable", ["no_queue", "unroutable"])
    assert answer.reasons[0].says == "no queue is called 'order'; there is 'orders'"


def test_no_exchange(place: Place) -> None:
    answer = place.ask("amq.topik", "k")
    assert (answer.outcome, kinds(answer)) == ("refused", ["no_exchange"])
    assert "'amq.topic'" in answer.reasons[0].says


def test_an_internal_exchange(place: Place) -> None:
    place.exchange("inner", "fanout", internal=True)
    assert kinds(place.ask("inner", "k")) == ["internal_exchange"]


def test_nearly(place: Place) -> None:
    place.stand.queue("q")
    place.bind("amq.topic", "q", "order.*")
    place.bind("amq.direct", "q", "Order")
    place.bind("amq.headers", "q", arguments={"a": ("longstr", b"1"), "b": ("longstr", b"2")})
    for exchange, key, headers in (
        ("amq.topic", "order.a.b", ""),
        ("amq.direct", "order", ""),
        ("amq.headers", "", '{"a": "1"}'),
    ):
        answer = place.ask(exchange, key, headers)
        assert kinds(answer) == ["no_binding_matches", "nearly", "unroutable"], exchange


def test_few_near_bindings_are_told(place: Place) -> None:
    for number in range(9):
        place.stand.queue(f"q{number}")
        place.bind("amq.direct", f"q{number}", "K")
    assert kinds(place.ask("amq.direct", "k")).count("nearly") == 5


def test_alternates(place: Place) -> None:
    place.stand.queue("rest")
    place.exchange("x", "direct", alternate_exchange="amq.fanout")
    place.bind("amq.fanout", "rest")
    answer = place.ask("x", "k")
    assert list(answer.queues) == ["rest"]
    assert kinds(answer) == ["no_binding_matches", "alternate_exchange", "binding"]
    place.exchange("y", "direct", alternate_exchange="amq.fanut")
    answer = place.ask("y", "k")
    assert (answer.outcome, kinds(answer)[1]) == ("unroutable", "alternate_exchange_missing")
    assert "'amq.fanout'" in answer.reasons[1].says


def test_an_alternate_by_policy(place: Place) -> None:
    value = {"pattern": "^x$", "apply-to": "exchanges", "priority": 0}
    value["definition"] = {"alternate-exchange": "amq.fanout"}
    place.exchange("x", "direct")
    place.stand.metadata.propose_now(PutParameter("/", "policy", "alt", value))
    assert "(policy 'alt')" in place.ask("x", "k").reasons[1].says


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"x-max-length": ("long", 1)}, "drops_head", "its oldest message goes for it"),
        ({"x-max-length": ("long", 0)}, "drops_head", "it is dropped itself"),
        (
            {"x-max-length": ("long", 1), "x-overflow": ("longstr", b"reject-publish")},
            "rejected",
            "basic.nack",
        ),
        ({"x-message-ttl": ("long", 9)}, "message_ttl", "after 9 ms"),
    ],
)
def test_what_a_queue_does_with_it(place: Place, arguments: Table, kind: str, text: str) -> None:
    place.stand.publish(place.stand.queue("q", arguments=arguments))
    reasons = {reason.kind: reason.says for reason in place.ask("", "q").reasons}
    assert text in reasons[kind]


def test_many_queues_are_all_found_and_not_all_told(place: Place) -> None:
    for number in range(30):
        place.stand.queue(f"q{number}")
        place.bind("amq.fanout", f"q{number}")
    answer = place.ask("amq.fanout", "")
    assert len(answer.queues) == 30
    assert kinds(answer) == ["binding"] * 10 + ["more_bindings"]


def test_an_alarm(place: Place) -> None:
    place.stand.queue("q")
    place.stand.broker.set_alarm("disk", True)
    assert kinds(place.ask("", "q"))[-1] == "alarm"


def test_a_user_who_may_not(place: Place) -> None:
    place.stand.add_user("bob")
    answer = place.ask("amq.topic", "k", user="bob")
    assert (answer.outcome, kinds(answer)) == ("refused", ["no_permissions"])
    assert place.ask("", "k", user="guest").outcome == "unroutable"


def test_further_keys(place: Place) -> None:
    place.stand.queue("a")
    place.stand.queue("b")
    assert list(place.ask("", "a", '{"CC": ["b"]}').queues) == ["a", "b"]


def test_delays(place: Place) -> None:
    place.stand.broker.use_exchange_types(exchange_types(PLUGINS))
    place.exchange("late", "x-delayed-message", x_delayed_type="direct")
    assert place.ask("late", "k", '{"x-delay": 500}').outcome == "delayed"
    place.stand.queue("q")
    place.bind("late", "q", "k")
    answer = place.ask("late", "k", '{"x-delay": 500}')
    assert (answer.outcome, kinds(answer)) == ("routed", ["delayed", "binding"])
    assert kinds(place.ask("late", "K"))[:2] == ["no_binding_matches", "nearly"]
    assert len(place.vhost.delays) == 0


def test_a_history_does_not_remember_the_question(place: Place) -> None:
    place.stand.broker.use_exchange_types(exchange_types(PLUGINS))
    place.exchange("recent", "x-recent-history")
    place.ask("recent", "k")
    exchange: Any = place.vhost.exchanges["recent"]
    assert not exchange._history


def test_a_type_that_is_not_there(place: Place) -> None:
    place.exchange("r", "x-random")
    answer = place.ask("r", "k")
    assert (answer.outcome, kinds(answer)) == ("refused", ["exchange_type_missing"])
    assert answer.reasons[0].command == "mq-plugins enable rabbitmq_random_exchange"


@pytest.mark.parametrize("text", ["x", "[]", "7", '{"a": 1e999}', '{"a": 99999999999999999999}'])
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(MqdError) as caught:
        table_of(text)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert text in caught.value.detail


def test_headers() -> None:
    assert table_of("") == {}
    assert table_of('{"a": null, "b": true, "c": 5, "d": 1.5, "e": "x", "f": [1], "g": {}}') == {
        "a": ("void", None),
        "b": ("bool", True),
        "c": ("long", 5),
        "d": ("double", 1.5),
        "e": ("longstr", b"x"),
        "f": ("array", [("long", 1)]),
        "g": ("table", {}),
    }


NAMES = st.sampled_from(["amq.direct", "amq.topic", "amq.fanout", "amq.headers", "x", "y"])
BINDING_KEYS = st.sampled_from(["a", "a.b", "*", "#", "a.*", ""])
BINDINGS = st.lists(
    st.tuples(NAMES, st.one_of(NAMES, st.sampled_from(["q1", "q2"])), BINDING_KEYS), max_size=12
)


@given(bindings=BINDINGS, start=NAMES, key=st.sampled_from(["a", "a.b", "b", ""]))
def test_the_walk_is_the_routers(
    bindings: list[tuple[str, str, str]], start: str, key: str
) -> None:
    place = Place()
    place.exchange("x", "direct", alternate_exchange="y")
    place.exchange("y", "fanout")
    for name in ("q1", "q2"):
        place.stand.queue(name)
    for source, to, binding_key in bindings:
        place.bind(source, to, binding_key, "queue" if to in ("q1", "q2") else "exchange")
    exchanges = place.vhost.exchanges
    found = route(exchanges, exchanges[start], [key], Offered())
    assert set(place.ask(start, key).queues) == set(found)
