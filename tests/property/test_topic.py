"""The topic trie against a naive matcher, through binds and unbinds."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.broker.bindings import BindingTable
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.registry import make_exchange

WORDS = st.sampled_from(["a", "b", "aa", "", "é", "*x"])
KEYS = st.lists(WORDS, max_size=5).map(".".join)
PATTERNS = st.lists(st.one_of(st.sampled_from(["*", "#"]), WORDS), max_size=5).map(".".join)
BINDINGS = st.tuples(PATTERNS, st.sampled_from(["q1", "q2", "q3"]), st.integers(0, 1))


def naive(pattern: str, key: str) -> bool:
    """Words as text: each is '<word>', so that a regular expression can count them."""
    words = "".join(f"<{word}>" for word in (key.split(".") if key else []))
    expression = ""
    for word in pattern.split(".") if pattern else []:
        if word == "*":
            expression += "<[^<>]*>"
        elif word == "#":
            expression += "(<[^<>]*>)*"
        else:
            expression += f"<{re.escape(word)}>"
    return re.fullmatch(expression, words) is not None


@given(PATTERNS, KEYS)
@settings(max_examples=200, deadline=None)
def test_one_pattern(pattern, key):
    topic = make_exchange(ExchangeDefinition("/", "t", "topic"))
    topic.bind(BindingDefinition("/", "t", "queue", "q", pattern))

    assert bool(topic.route(key, Offered())) is naive(pattern, key)


@given(
    st.lists(st.tuples(st.booleans(), BINDINGS), max_size=30),
    st.lists(KEYS, min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_many_patterns_coming_and_going(steps, keys):
    topic = make_exchange(ExchangeDefinition("/", "t", "topic"))
    table = BindingTable()
    for adds, (pattern, queue, argument) in steps:
        arguments = {"n": ("signedint", argument)}
        binding = BindingDefinition("/", "t", "queue", queue, pattern, arguments)
        if adds and table.add(binding):
            topic.bind(binding)
        elif not adds and table.remove(binding):
            topic.unbind(binding)

    for key in keys:
        found = list(topic.route(key, Offered()))
        wanted = {("queue", item.destination) for item in table if naive(item.binding_key, key)}
        assert len(found) == len(set(found))
        assert set(found) == wanted

    for binding in list(table):
        table.remove(binding)
        topic.unbind(binding)
    assert topic._root.is_empty
