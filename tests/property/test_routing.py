"""Routing through any graph of exchanges against a naive reachability model."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mqd.broker.bindings import BindingTable, auto_deleted, key_of
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.base import Offered
from mqd.broker.exchanges.registry import make_exchange
from mqd.broker.routing import route, route_by_key

NAMES = ["x0", "x1", "x2", "x3"]
KEYS = ["k", "l"]
NAME = st.sampled_from(NAMES)
KEY = st.sampled_from(KEYS)
EXCHANGES = st.fixed_dictionaries(
    {
        name: st.tuples(
            st.sampled_from(["direct", "fanout", "headers"]), st.none() | NAME, st.booleans()
        )
        for name in NAMES
    }
)
DESTINATION = st.one_of(
    st.tuples(st.just("exchange"), NAME), st.tuples(st.just("queue"), st.sampled_from("qrs"))
)
VALUE = st.sampled_from([("signedint", 1), ("signedint", 2)])
HEADERS = st.dictionaries(st.sampled_from(["a", "b"]), VALUE)
BINDINGS = st.lists(st.tuples(NAME, DESTINATION, KEY, HEADERS), max_size=12)


def build(exchanges, bindings):
    live = {}
    for name, (kind, alternate, auto_delete) in exchanges.items():
        arguments = {"alternate-exchange": ("longstr", alternate.encode())} if alternate else {}
        live[name] = make_exchange(
            ExchangeDefinition("/", name, kind, auto_delete=auto_delete, arguments=arguments)
        )
    table = BindingTable()
    for source, (kind, destination), key, arguments in bindings:
        binding = BindingDefinition("/", source, kind, destination, key, arguments)
        if table.add(binding):
            live[source].bind(binding)
    return live, table


def follows(kind, binding, keys, headers):
    if kind == "fanout":
        return True
    if kind == "direct":
        return binding.binding_key in keys
    return all(headers.get(name) == field for name, field in binding.arguments.items())


def naive(exchanges, table, start, keys, headers):
    """Fixed point over the edges, alternates being edges of an exchange without a match."""
    reached, queues, changed = {start}, set(), True
    while changed:
        changed = False
        for name in sorted(reached):
            kind, alternate, _ = exchanges[name]
            ends = [
                (binding.destination_kind, binding.destination)
                for binding in table
                if binding.source == name and follows(kind, binding, keys, headers)
            ]
            if not ends and alternate:
                ends = [("exchange", alternate)]
            for end_kind, end in ends:
                seen = queues if end_kind == "queue" else reached
                changed |= end not in seen
                seen.add(end)
    return queues


@given(EXCHANGES, BINDINGS, NAME, st.lists(KEY, min_size=1, max_size=2), HEADERS)
@settings(max_examples=150, deadline=None)
def test_route(exchanges, bindings, start, keys, headers):
    live, table = build(exchanges, bindings)

    names = route(live, live[start], keys, Offered(headers=headers))

    assert len(names) == len(set(names))
    assert set(names) == naive(exchanges, table, start, keys, headers)


@given(EXCHANGES, BINDINGS, NAME, KEY, st.lists(HEADERS, max_size=3))
@settings(max_examples=150, deadline=None)
def test_what_may_be_kept_is_true_for_every_message_of_that_key(
    exchanges, bindings, start, key, messages
):
    live, _ = build(exchanges, bindings)

    kept = route_by_key(live, live[start], key)

    for headers in messages:
        names = route(live, live[start], [key], Offered(headers=headers))
        if kept is not None:
            assert set(kept) == set(names)
    if not any(kind == "headers" for kind, _, _ in exchanges.values()):
        assert kept is not None


@given(EXCHANGES, BINDINGS, st.sampled_from("qrs"))
@settings(max_examples=200, deadline=None)
def test_auto_delete_leaves_no_auto_delete_exchange_that_lost_all_it_had(
    exchanges, bindings, queue
):
    live, table = build(exchanges, bindings)
    had = {name for name in NAMES if table.has_source(name)}
    removed = table.remove_destination("queue", queue)

    gone = auto_deleted(table, live, removed)

    assert all(live[name].definition.auto_delete for name in gone)
    for name in gone:
        table.remove_destination("exchange", name)
    for name in gone:
        assert not table.has_source(name)
        live.pop(name)
    for name in had & set(live):
        assert table.has_source(name) or not live[name].definition.auto_delete
    assert len({key_of(binding) for binding in table}) == len(table)
