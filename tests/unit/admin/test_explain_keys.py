"""What keeps a binding from matching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.admin import explain_keys as keys
from mqd.amqp.fields import Table
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.topic import TopicExchange
from tests.unit.admin.stand import Stand

WORDS = st.lists(st.sampled_from(["a", "b", "*", "#", ""]), max_size=5).map(".".join)
KEYS = st.lists(st.sampled_from(["a", "b", ""]), max_size=5).map(".".join)


@given(pattern=WORDS, key=KEYS)
def test_topics_match_as_the_exchange_has_it(pattern: str, key: str) -> None:
    exchange = TopicExchange(ExchangeDefinition("/", "t", "topic"), Stand().broker.vhosts["/"])
    exchange.bind(BindingDefinition("/", "t", "queue", "q", pattern))
    assert keys.topic_matches(pattern, key) == bool(exchange.route(key, Offered()))


@pytest.mark.parametrize(
    ("binding_key", "routing_key", "why"),
    [
        ("k", "k", ""),
        ("K", "k", "upper and lower case count"),
        ("k ", "k", "blanks count"),
        ("order.*", "order.x", "it is a pattern, and this exchange compares keys letter by letter"),
        ("orders", "order", "it is spelt otherwise"),
        ("apples", "pears", ""),
    ],
)
def test_direct(binding_key: str, routing_key: str, why: str) -> None:
    assert keys.of_direct(binding_key, routing_key) == why


@pytest.mark.parametrize(
    ("binding_key", "routing_key", "why"),
    [
        ("order.*", "order.x", ""),
        ("order.*", "Order.x", "upper and lower case count"),
        ("order.*", "order/x", "words stand between dots, not '/'"),
        ("order*", "orders", "* and # stand for whole words, not for parts of one"),
        (
            "order.*",
            "order.x.eu",
            "it matches the first 2 words; '.eu' is left ('.#' would match it)",
        ),
        ("order.new.*", "order.old.eu", "word 2 is 'old', not 'new'"),
        ("*.order.*", "order", "it wants 3 words, and the key has 1"),
        ("*.*", "", ""),
        ("aaaa.bbbb", "aaaa.bbbc.x", "it is spelt otherwise"),
        ("apples", "pears.b", ""),
    ],
)
def test_topic(binding_key: str, routing_key: str, why: str) -> None:
    assert keys.of_topic(binding_key, routing_key) == why


A1: Table = {"a": ("longstr", b"1")}
AB: Table = {"a": ("longstr", b"1"), "b": ("longstr", b"2")}


@pytest.mark.parametrize(
    ("arguments", "headers", "why"),
    [
        (AB, A1, "header 'b' is not there"),
        (AB, A1 | {"b": ("longstr", b"3")}, "header 'b' is '3', not '2'"),
        (A1, {"a": ("long", 1)}, "header 'a' is 1 (long), not '1'"),
        (AB, {}, ""),
        ({"x-match": ("longstr", b"any"), "a": ("void", None)}, {}, ""),
        ({"x-foo": ("bool", True)} | AB, A1, "header 'b' is not there"),
    ],
)
def test_headers(arguments: Table, headers: Table, why: str) -> None:
    assert keys.of_headers(arguments, headers) == why
