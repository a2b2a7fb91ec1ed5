"""The table of bindings, and what auto-delete follows from it."""

from mqd.broker.bindings import BindingTable, auto_deleted, default_binding, key_of
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition
from mqd.broker.exchanges.registry import make_exchange

ONE, TWO = ("signedint", 1), ("signedint", 2)


def binding(source, destination, key="", kind="queue", arguments=None):
    return BindingDefinition("/", source, kind, destination, key, arguments or {})


def test_binding_is_its_five_parts():
    table = BindingTable()
    base = binding("x", "q", "k")

    assert table.add(base)
    assert not table.add(binding("x", "q", "k"))
    for other in (
        binding("y", "q", "k"),
        binding("x", "r", "k"),
        binding("x", "q", "l"),
        binding("x", "q", "k", "exchange"),
        binding("x", "q", "k", arguments={"a": ONE}),
        binding("x", "q", "k", arguments={"a": ("long", 1)}),
    ):
        assert other not in table
        assert table.add(other)
        assert other in table
    assert len(table) == 7


def test_order_of_arguments_does_not_count():
    first = binding("x", "q", arguments={"a": ONE, "b": TWO})
    second = binding("x", "q", arguments={"b": TWO, "a": ONE})

    assert key_of(first) == key_of(second)


def test_remove():
    table = BindingTable()
    table.add(binding("x", "q", "k"))

    assert not table.remove(binding("x", "q", "other"))
    assert not table.remove(binding("y", "q", "k"))
    assert table.remove(binding("x", "q", "k"))
    assert not table.remove(binding("x", "q", "k"))
    assert len(table) == 0
    assert not table.has_source("x")


def test_found_from_either_end_oldest_first():
    table = BindingTable()
    for key in ("c", "a", "b"):
        table.add(binding("x", "q", key))
        table.add(binding("y", "q", key))
    table.add(binding("x", "r"))

    assert [item.binding_key for item in table.of_source("x")] == ["c", "a", "b", ""]
    assert [item.source for item in table.of_destination("queue", "q")] == ["x", "y"] * 3
    assert table.of_destination("exchange", "q") == []
    assert table.of_source("nope") == []
    assert table.count_of_source("x") == 4
    assert table.count_of_source("nope") == 0
    assert len(list(table)) == 7


def test_removal_by_end_takes_all_and_returns_them():
    table = BindingTable()
    for source in ("x", "y"):
        for queue in ("q", "r"):
            table.add(binding(source, queue))

    assert {item.source for item in table.remove_destination("queue", "q")} == {"x", "y"}
    assert table.remove_destination("queue", "q") == []
    assert [item.destination for item in table.remove_source("x")] == ["r"]
    assert list(table) == [binding("y", "r")]


def test_table_keeps_nothing_of_what_is_gone():
    table = BindingTable()
    for number in range(100):
        table.add(binding(f"x{number}", f"q{number}"))
    for number in range(100):
        table.remove_destination("queue", f"q{number}")

    assert not table._by_source
    assert not table._by_destination


def test_default_binding_is_what_listings_show():
    assert default_binding("/v", "q") == BindingDefinition("/v", "", "queue", "q", "q")


def exchanges(**auto_delete):
    return {
        name: make_exchange(ExchangeDefinition("/", name, "direct", auto_delete=value))
        for name, value in auto_delete.items()
    }


def test_auto_delete_exchange_goes_with_its_last_binding():
    table = BindingTable()
    table.add(binding("x", "q"))
    table.add(binding("x", "r"))
    live = exchanges(x=True, y=False)

    assert auto_deleted(table, live, table.remove_destination("queue", "q")) == []
    assert auto_deleted(table, live, table.remove_destination("queue", "r")) == ["x"]


def test_auto_delete_runs_up_a_chain_and_stops_at_what_stays():
    table = BindingTable()
    table.add(binding("a", "b", kind="exchange"))
    table.add(binding("b", "c", kind="exchange"))
    table.add(binding("c", "q"))
    table.add(binding("kept", "c", kind="exchange"))

    removed = table.remove_destination("queue", "q")
    assert auto_deleted(table, exchanges(a=True, b=True, c=True, kept=False), removed) == [
        "c",
        "b",
        "a",
    ]
    assert auto_deleted(table, exchanges(a=True, b=False, c=True), removed) == ["c"]


def test_auto_delete_ends_in_a_cycle():
    table = BindingTable()
    table.add(binding("a", "b", kind="exchange"))
    table.add(binding("b", "a", kind="exchange"))
    table.add(binding("b", "q"))

    removed = table.remove_destination("queue", "q")
    assert auto_deleted(table, exchanges(a=True, b=True), removed) == []
    gone = table.remove_source("a")
    assert auto_deleted(table, exchanges(a=True, b=True), gone) == ["a", "b"]
